"""What a known outage of a link to the shore explains. Pure.

Only outages that somebody foretold or declared count (bucket ``ship``); a link that fails for a
reason that nobody knows makes an incident as anything else does. Event time decides: what happened
during the outage, whenever its line arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiops_core.models import EnrichedAnomaly
from aiops_core.suppression.policy import Outages
from aiops_core.suppression.ship import LinkOutage
from correlation_service.matching import Matching


class KnownOutages:
    """*upstream_of* a device is all that it needs, nearest first, as the inventory knows it."""

    def __init__(self, policy: Outages) -> None:
        self.upstream_of: Callable[[str], Sequence[str]] = lambda device: ()
        self._policy = policy
        self._downstream = [Matching.of(match) for match in policy.downstream]
        self._unknown = [Matching.of(match) for match in policy.unknown_devices]
        self._known: tuple[LinkOutage, ...] = ()

    def __len__(self) -> int:
        return len(self._known)

    def replace(self, outages: Sequence[LinkOutage]) -> None:
        self._known = tuple(sorted(outages, key=lambda outage: (outage.start, outage.id)))

    def hiding(self, anomaly: EnrichedAnomaly) -> LinkOutage | None:
        """The outage that explains *anomaly*: of its own device, or of the nearest that it needs."""
        if not self._known or anomaly.severity > self._policy.severity_at_most:
            return None
        now = [outage for outage in self._known if self._holds(outage, anomaly)]
        needs = self._needs(anomaly)
        below = [outage for outage in now if outage.device in needs]
        if below and any(match.fits(anomaly) for match in self._downstream):
            return min(below, key=lambda outage: needs.index(outage.device))
        if anomaly.context.device is None and any(match.fits(anomaly) for match in self._unknown):
            return next(iter(now), None)
        return None

    def _holds(self, outage: LinkOutage, anomaly: EnrichedAnomaly) -> bool:
        margin = self._policy.margin
        return outage.start - margin <= anomaly.ts < outage.end + margin

    def _needs(self, anomaly: EnrichedAnomaly) -> list[str]:
        """The device and all that it needs; enrichment tells of the nearest only."""
        upstream = self.upstream_of(anomaly.device) or [d.id for d in anomaly.context.upstream]
        return [anomaly.device, *upstream]
