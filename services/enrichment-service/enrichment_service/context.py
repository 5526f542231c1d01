"""What is known around an anomaly, in memory, so that no message waits for a query. No I/O, no clock.

Two sources fill it: ClickHouse with the anomalies detected before ``cutoff``, the stream with those
from it on. Which of the two counts an anomaly is thus written in the anomaly itself (its stage time
``detect``), so nothing is counted twice, in whichever order the two arrive. An anomaly that comes again
(redelivery) is recognised by its id. All counts are of *other* anomalies: itself excluded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, TypeVar

from aiops_core.fingerprints import compute_fingerprint
from aiops_core.inventory import Inventory
from aiops_core.models import Anomaly, AnomalyContext, Device, LastIncident, MaintenanceNote
from aiops_core.ship import Ship
from enrichment_service.counts import DAY, Key, MinuteCounts, minute_of
from enrichment_service.policy import Health
from enrichment_service.similar import SimilarAnomalies, as_similar, keep

A = TypeVar("A", bound=Anomaly)
ServiceHealth = Literal["healthy", "degraded", "failing", "unknown"]

DEVICES, SHIP = "devices", "ship"  # from buckets of the broker
HISTORY, SIMILAR, INCIDENTS = "history", "similar", "incidents"  # from ClickHouse
LOOKUPS = (DEVICES, SHIP, HISTORY, SIMILAR, INCIDENTS)

SEEN_KEPT = 50_000  # anomaly ids, against redelivery; many times what can be in flight
INCIDENTS_KEPT = 20_000
UPSTREAM_SHOWN = 8  # devices, nearest first; they travel in every message


class Memory:
    """The context of every anomaly to come. ``failed`` names the look-ups that are missing or stale."""

    def __init__(self, health: Health) -> None:
        self.inventory = Inventory()
        self.ship = Ship()
        self.similar = SimilarAnomalies()
        self.cutoff: datetime | None = None
        self.failed: tuple[str, ...] = LOOKUPS
        self._health = health
        self._types = MinuteCounts()  # by ship, device, anomaly type
        self._services = MinuteCounts()  # by ship, device, service
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._incidents: OrderedDict[Key, LastIncident] = OrderedDict()

    # -- the stream -------------------------------------------------------------------------------

    def locate(self, anomaly: A) -> A:
        """*anomaly* with the id that the inventory gives its device, if it knows the device."""
        id = self.inventory.resolve(anomaly.device_id, anomaly.host)
        if id is None or id == anomaly.device_id:
            return anomaly
        return anomaly.model_copy(update={"device_id": id})

    def observe(self, anomaly: Anomaly) -> AnomalyContext:
        """The context of a located *anomaly*, which from now on is part of the others' context."""
        fingerprint = compute_fingerprint(anomaly)
        context = self._around(anomaly, fingerprint, own=self._counted(anomaly))
        self.record(anomaly, fingerprint)
        return context

    def record(self, anomaly: Anomaly, fingerprint: str | None = None) -> None:
        """Count a located *anomaly* once; what was detected before the cut-off is left to the store."""
        if not self._is_old(anomaly) and anomaly.anomaly_id not in self._seen:
            minute = minute_of(anomaly.ts)
            self._types.add(_type_key(anomaly), minute)
            self._services.add(_service_key(anomaly), minute)
            keep(self._seen, anomaly.anomaly_id, None, SEEN_KEPT)
        self.similar.add(fingerprint or compute_fingerprint(anomaly), as_similar(anomaly))

    def _is_old(self, anomaly: Anomaly) -> bool:
        detected = anomaly.stages.get("detect")
        return detected is not None and self.cutoff is not None and detected < self.cutoff

    def _counted(self, anomaly: Anomaly) -> int:
        """1 when *anomaly* is already among the counts, else 0."""
        if self._is_old(anomaly):
            return int(HISTORY not in self.failed)
        return int(anomaly.anomaly_id in self._seen)

    def _around(self, anomaly: Anomaly, fingerprint: str, own: int) -> AnomalyContext:
        upstream = self.inventory.upstream_of(anomaly.device)
        key, minute = _type_key(anomaly), minute_of(anomaly.ts)
        return AnomalyContext(
            device=self.inventory.get(anomaly.device),
            upstream=tuple(self._devices(upstream[:UPSTREAM_SHOWN])),
            count_1h=max(self._types.within(key, minute, 60) - own, 0),
            count_24h=max(self._types.within(key, minute, DAY) - own, 0),
            similar_7d=self.similar.before(anomaly, fingerprint),
            service_health=self._health_of(anomaly, minute, own),
            last_incident=self._last_incident(anomaly),
            ship_mode=self.ship.mode_at(anomaly.ts),
            maintenance=self._maintenance_of(anomaly, upstream),
            partial=bool(self.failed),
            failed=self.failed,
        )

    def _health_of(self, anomaly: Anomaly, minute: int, own: int) -> ServiceHealth:
        """Counts can only be too low while history is missing: then no service is called healthy."""
        rules = self._health
        others = self._services.within(_service_key(anomaly), minute, rules.window_minutes) - own
        if others + 1 >= rules.failing:
            return "failing"
        if others + 1 >= rules.degraded:
            return "degraded"
        return "unknown" if HISTORY in self.failed else "healthy"

    def _last_incident(self, anomaly: Anomaly) -> LastIncident | None:
        """Of the device; when it never had one, of the service wherever it runs."""
        ship = anomaly.ship_id
        return self._incidents.get((ship, "device", anomaly.device)) or self._incidents.get(
            (ship, "service", anomaly.service)
        )

    def _devices(self, ids: Iterable[str]) -> Iterator[Device]:
        return (device for id in ids if (device := self.inventory.get(id)))

    def _maintenance_of(
        self, anomaly: Anomaly, upstream: tuple[str, ...]
    ) -> MaintenanceNote | None:
        """By the anomaly's own time: one that comes late still falls into the window."""
        window = self.ship.maintenance_of(anomaly.device, anomaly.service, anomaly.ts, upstream)
        if window is None:
            return None
        return MaintenanceNote(
            id=window.id, owner=window.owner, reason=window.reason, end=window.end
        )

    # -- what the store and the buckets bring --------------------------------------------------------------------------------

    def found(self, lookup: str) -> None:
        """*lookup* is complete and fresh."""
        self.failed = tuple(name for name in self.failed if name != lookup)

    def lost(self, lookup: str) -> None:
        """*lookup* could not be made or refreshed; what is known of it may be old."""
        self.failed = tuple(name for name in LOOKUPS if name == lookup or name in self.failed)

    def set_devices(self, inventory: Inventory) -> None:
        """Replace the inventory; counts of what turns out to be a known device become that device's."""
        self.inventory = inventory
        for counts in (self._types, self._services):
            for key in counts:
                id = inventory.resolve(key[1])
                if id is not None and id != key[1]:
                    counts.move(key, (key[0], id, key[2]))
        self.found(DEVICES)

    def set_ship(self, ship: Ship) -> None:
        """Replace what people declared about the ship."""
        self.ship = ship
        self.found(SHIP)

    def add_counts(
        self, ship: str, device: str, kind: str, service: str, minute: int, n: int
    ) -> None:
        """Count *n* anomalies that were detected before the cut-off."""
        device = self.inventory.resolve(device) or device
        self._types.add((ship, device, kind), minute, n)
        self._services.add((ship, device, service), minute, n)

    def set_incident(
        self, ship: str, devices: Iterable[str], services: Iterable[str], incident: LastIncident
    ) -> None:
        """*incident* is the last one of *devices* and *services*, unless a newer one is known."""
        keys = [(ship, "device", d) for d in devices] + [(ship, "service", s) for s in services]
        for key in keys:
            known = self._incidents.get(key)
            if known is None or known.id == incident.id or known.last_seen <= incident.last_seen:
                keep(self._incidents, key, incident, INCIDENTS_KEPT)

    def sizes(self) -> dict[str, int]:
        """How much is kept of what, for the metrics."""
        return {
            "devices": len(self.inventory),
            "series": len(self._types),
            "fingerprints": len(self.similar),
            "incidents": len(self._incidents),
            "seen": len(self._seen),
        }


def _type_key(anomaly: Anomaly) -> Key:
    return (anomaly.ship_id, anomaly.device, anomaly.anomaly_type)


def _service_key(anomaly: Anomaly) -> Key:
    return (anomaly.ship_id, anomaly.device, anomaly.service)
