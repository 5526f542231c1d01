"""What a known outage of a link to the shore explains. Pure.

Only outages that somebody foretold or declared count (bucket ``ship``); a link that fails for a reason
that nobody knows makes an incident as anything else does. Event time decides: what happened during the
outage, whenever its line arrives.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiops_core.models import EnrichedAnomaly
from aiops_core.ship import LinkOutage
from aiops_core.suppress_policy import Outages
from correlation_service.matching import compiled


class KnownOutages:
    def __init__(self, policy: Outages) -> None:
        self._policy = policy
        self._services = [compiled(glob) for glob in policy.anywhere.services]
        self._known: tuple[LinkOutage, ...] = ()

    def __len__(self) -> int:
        return len(self._known)

    def replace(self, outages: Sequence[LinkOutage]) -> None:
        self._known = tuple(sorted(outages, key=lambda outage: (outage.start, outage.id)))

    def hiding(self, anomaly: EnrichedAnomaly) -> LinkOutage | None:
        """The outage that explains *anomaly*: of its own device or the nearest upstream before others."""
        if not self._known or anomaly.severity > self._policy.severity_at_most:
            return None
        now = [outage for outage in self._known if self._holds(outage, anomaly)]
        needs = [anomaly.device, *(device.id for device in anomaly.context.upstream)]
        below = [outage for outage in now if outage.device in needs]
        if below and anomaly.anomaly_type in self._policy.downstream:
            return min(below, key=lambda outage: needs.index(outage.device))
        return next(iter(now), None) if self._needs_the_shore(anomaly) else None

    def _holds(self, outage: LinkOutage, anomaly: EnrichedAnomaly) -> bool:
        margin = self._policy.margin
        return outage.start - margin <= anomaly.ts < outage.end + margin

    def _needs_the_shore(self, anomaly: EnrichedAnomaly) -> bool:
        if anomaly.anomaly_type in self._policy.anywhere.anomaly_types:
            return True
        return any(service.match(anomaly.service) for service in self._services)
