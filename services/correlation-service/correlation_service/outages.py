"""Known outages of links to the shore suppress the anomalies that they explain. Pure.

Only foretold or declared outages count (bucket ``ship``); any other failure of a link makes an
incident. The event time of an anomaly decides, not its arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiops_core.models import EnrichedAnomaly
from aiops_core.suppression.policy import Outages
from aiops_core.suppression.ship import LinkOutage
from correlation_service.matching import Matching


class KnownOutages:
    """*upstream_of* gives all devices that one needs, nearest first, from the inventory."""

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
        """The outage of its own device or the nearest that it needs, which explains *anomaly*."""
        if not self._known or anomaly.severity > self._policy.severity_at_most:
            return None
        now = [outage for outage in self._known if self._holds(outage, anomaly)]
        needs = self._needs(anomaly)
        below = [outage for outage in now if outage.device_id in needs]
        if below and any(match.fits(anomaly) for match in self._downstream):
            return min(below, key=lambda outage: needs.index(outage.device_id))
        if anomaly.context.device is None and any(match.fits(anomaly) for match in self._unknown):
            return next(iter(now), None)
        return None

    def _holds(self, outage: LinkOutage, anomaly: EnrichedAnomaly) -> bool:
        margin = self._policy.margin
        return outage.start - margin <= anomaly.ts < outage.end + margin

    def _needs(self, anomaly: EnrichedAnomaly) -> list[str]:
        """The device and all that it needs; enrichment knows the nearest only."""
        upstream = self.upstream_of(anomaly.device) or [d.id for d in anomaly.context.upstream]
        return [anomaly.device, *upstream]
