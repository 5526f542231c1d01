"""The context of anomalies, in memory, so that no message waits for a query. Pure.

Two sources fill it: ClickHouse with the anomalies detected before ``cutoff``, the stream with all
later ones. The stage time ``detect`` of an anomaly selects its source, so each counts once, in any
order of arrival. A redelivered anomaly is known by its id. Counts exclude the anomaly itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeVar

from aiops_core.bounded import BoundedDict
from aiops_core.fingerprints import compute_fingerprint
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import Anomaly, AnomalyContext, Device, LastIncident, MaintenanceNote
from aiops_core.suppression.ship import MaintenanceWindow, Ship
from enrichment_service.past import DAY, WHOLE, Key, MinuteCounts, SimilarAnomalies, minute_of
from enrichment_service.policy import Health

A = TypeVar("A", bound=Anomaly)
ServiceHealth = Literal["healthy", "degraded", "failing", "unknown"]

DEVICES, SHIP = "devices", "ship"  # from buckets of the broker
HISTORY, SIMILAR, INCIDENTS = "history", "similar", "incidents"  # from ClickHouse
LOOKUPS = (DEVICES, SHIP, HISTORY, SIMILAR, INCIDENTS)

SEEN_KEPT = 50_000  # anomaly ids, against redelivery; many times the number in flight
INCIDENTS_KEPT = 20_000
WINDOWS_KEPT = 10_000  # devices and services
LATER = timedelta(days=1)  # so much later is not the past of a line that is late, or of an old log
EVER, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
UPSTREAM_SHOWN = 8  # devices, nearest first; they travel in every message


class Case(NamedTuple):
    """An anomaly with its keys."""

    anomaly: Anomaly
    id: str
    fingerprint: str
    minute: int
    type_key: Key
    service_key: Key

    @classmethod
    def of(cls, anomaly: Anomaly) -> Case:
        ship, device = anomaly.ship_id, anomaly.device
        return cls(
            anomaly,
            anomaly.anomaly_id,
            compute_fingerprint(anomaly),
            minute_of(anomaly.ts),
            (ship, device, anomaly.anomaly_type),
            (ship, device, anomaly.service),
        )


class Memory:
    """The sources of the context. ``failed`` names the look-ups that are missing or stale."""

    def __init__(self, health: Health) -> None:
        self.inventory = Inventory()
        self.ship = Ship()
        self.similar = SimilarAnomalies()
        self.cutoff: datetime | None = None
        self.failed: tuple[str, ...] = LOOKUPS
        self._health = health
        self._types = MinuteCounts()  # by ship, device, anomaly type
        self._services = MinuteCounts()  # by ship, device, service
        self._seen: BoundedDict[str, None] = BoundedDict(SEEN_KEPT)
        self._incidents: BoundedDict[Key, LastIncident] = BoundedDict(INCIDENTS_KEPT)
        # A cache of the windows of a device and service, as their patterns match slowly.
        self._windows: BoundedDict[Key, tuple[MaintenanceWindow, ...]] = BoundedDict(WINDOWS_KEPT)

    def locate(self, anomaly: A) -> A:
        """*anomaly* with the ``device_id`` of the inventory, if it knows the device."""
        id = self.inventory.resolve(anomaly.device_id, anomaly.host)
        if id is None or id == anomaly.device_id:
            return anomaly
        return anomaly.but(device_id=id)

    def observe(self, anomaly: Anomaly) -> AnomalyContext:
        """The context of a located *anomaly*, which is then counted for later ones."""
        case = Case.of(anomaly)
        context = self._around(case, own=self._counted(case))
        self._record(case)
        return context

    def record(self, anomaly: Anomaly) -> None:
        """Count a located *anomaly* once; the store counts those before the cut-off."""
        self._record(Case.of(anomaly))

    def _record(self, case: Case) -> None:
        self.similar.add(case.fingerprint, case.id, case.anomaly)
        if self._is_old(case.anomaly) or case.id in self._seen:
            return
        slots = (
            self._types.slot(case.type_key, case.minute),
            self._services.slot(case.service_key, case.minute),
        )
        self._seen.put(case.id, None)
        for block, place in slots:  # nothing can raise between seen and counted
            block[place] += 1
            block[WHOLE] += 1

    def _is_old(self, anomaly: Anomaly) -> bool:
        detected = anomaly.stages.get("detect")
        return detected is not None and self.cutoff is not None and detected < self.cutoff

    def _counted(self, case: Case) -> int:
        """1 if the anomaly is already counted, else 0."""
        if self._is_old(case.anomaly):
            return int(HISTORY not in self.failed)
        return int(case.id in self._seen)

    def _around(self, case: Case, own: int) -> AnomalyContext:
        anomaly, device = case.anomaly, case.anomaly.device
        upstream = self.inventory.upstream_of(device)
        return AnomalyContext.of_valid(
            device=self.inventory.get(device),
            upstream=tuple(self._devices(upstream[:UPSTREAM_SHOWN])),
            count_1h=max(self._types.within(case.type_key, case.minute, 60) - own, 0),
            count_24h=max(self._types.within(case.type_key, case.minute, DAY) - own, 0),
            similar_7d=self.similar.before(case.fingerprint, case.id, anomaly.ts),
            service_health=self._health_of(case, own),
            last_incident=self._last_incident(anomaly),
            ship_mode=self.ship.mode_at(anomaly.ts),
            maintenance=self._maintenance_of(anomaly, upstream),
            partial=bool(self.failed),
            failed=self.failed,
        )

    def _health_of(self, case: Case, own: int) -> ServiceHealth:
        """Without the history counts may be too low: then no service is healthy."""
        rules = self._health
        others = self._services.within(case.service_key, case.minute, rules.window_minutes) - own
        if others + 1 >= rules.failing:
            return "failing"
        if others + 1 >= rules.degraded:
            return "degraded"
        return "unknown" if HISTORY in self.failed else "healthy"

    def _last_incident(self, anomaly: Anomaly) -> LastIncident | None:
        """The one of the device, else of the service on any device; none of the future."""
        for key in (("device", anomaly.device), ("service", anomaly.service)):
            known = self._incidents.get((anomaly.ship_id, *key))
            if known and known.last_seen - anomaly.ts <= LATER:
                return known
        return None

    def _devices(self, ids: Iterable[str]) -> Iterator[Device]:
        return (device for id in ids if (device := self.inventory.get(id)))

    def _maintenance_of(
        self, anomaly: Anomaly, upstream: tuple[str, ...]
    ) -> MaintenanceNote | None:
        """The window at the time of the anomaly, even if it arrives later."""
        key = (anomaly.device, anomaly.service)
        windows = self._windows.get(key)
        if windows is None:
            windows = tuple(w for w in self.ship.maintenance if w.concerns(*key, upstream))
            self._windows.put(key, windows)
        holding = [window for window in windows if window.holds(anomaly.ts)]
        if not holding:
            return None
        last = max(holding, key=lambda window: window.end)
        return MaintenanceNote(id=last.id, owner=last.owner, reason=last.reason, end=last.end)

    def found(self, lookup: str) -> None:
        """*lookup* is complete and fresh."""
        self.failed = tuple(name for name in self.failed if name != lookup)

    def lost(self, lookup: str) -> None:
        """*lookup* is missing or stale."""
        self.failed = tuple(name for name in LOOKUPS if name == lookup or name in self.failed)

    def set_devices(self, inventory: Inventory) -> None:
        """Replace the inventory, and move counts of host names to the devices they belong to."""
        self.inventory = inventory
        self._windows.clear()
        for counts in (self._types, self._services):
            for key in counts:
                id = inventory.resolve(key[1])
                if id is not None and id != key[1]:
                    counts.move(key, (key[0], id, key[2]))
        self.found(DEVICES)

    def set_ship(self, ship: Ship) -> None:
        """Replace mode, maintenance and outages of the ship."""
        self.ship = ship
        self._windows.clear()
        self.found(SHIP)

    def add_counts(
        self, ship: str, device: str, kind: str, service: str, minute: int, n: int
    ) -> None:
        """Count *n* anomalies that were detected before the cut-off."""
        device = self.inventory.resolve(device) or device
        self._types.add((ship, device, kind), minute, n)
        self._services.add((ship, device, service), minute, n)

    def set_incident(
        self,
        ship: str,
        devices: Iterable[str],
        services: Iterable[str],
        incident: LastIncident,
        now: datetime = NEVER,
    ) -> None:
        """Set the last incident of *devices* and *services*, unless a newer one is known.

        One seen after *now*, by a wrong clock, counts as the oldest.
        """

        def seen(one: LastIncident) -> datetime:
            return one.last_seen if one.last_seen <= now else EVER

        keys = [(ship, "device", d) for d in devices] + [(ship, "service", s) for s in services]
        for key in keys:
            known = self._incidents.get(key)
            if known is None or known.id == incident.id or seen(known) <= seen(incident):
                self._incidents.put(key, incident)

    def sizes(self) -> dict[str, int]:
        """Numbers of items, for the metrics."""
        return {
            "devices": len(self.inventory),
            "series": len(self._types),
            "fingerprints": len(self.similar),
            "incidents": len(self._incidents),
            "seen": len(self._seen),
        }
