"""The open incidents, and indexes of their alerts. Pure.

Two clocks matter. *Event time* (``ts`` of the line) decides what belongs together, so that a replay
of old logs gives the incidents that they would have given then. *Arrival* (the newest stage time)
decides when an incident of old lines has been quiet long enough to be closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from aiops_core.models import Evidence
from correlation_service.alerts import Alert
from correlation_service.incident import OpenIncident

MEMBERS_KEPT = (
    200_000  # of all alerts, 0.9 KB each; beyond, alerts that get more cannot move any more
)
NONE: dict[str, Alert] = {}


class AlertIndex:
    """Alerts (by id) under keys, in the order in which they were filed."""

    def __init__(self) -> None:
        self.filed: defaultdict[Hashable, dict[str, Alert]] = defaultdict(dict)

    def __getitem__(self, key: Hashable) -> dict[str, Alert]:
        return self.filed.get(key, NONE)

    def add(self, key: Hashable, alert: Alert) -> None:
        self.filed[key][alert.id] = alert

    def remove(self, key: Hashable, alert: Alert) -> None:
        filed = self.filed.get(key)
        if filed is not None:
            filed.pop(alert.id, None)
            if not filed:
                del self.filed[key]


class OpenIncidents:
    """Only ``evolve`` calls its methods."""

    def __init__(self, members_kept: int) -> None:
        self._members_kept = members_kept
        self.incidents: dict[str, OpenIncident] = {}
        self.alerts: dict[str, Alert] = {}
        self.members = 0  # that alerts have kept
        self.of_key = AlertIndex()  # by AlertKey
        self.sharing = AlertIndex()  # by correlation key
        self.on = AlertIndex()  # by ship and device
        self.below = AlertIndex()  # by ship and each device that theirs depends on
        self.strays = AlertIndex()  # by ship: those with too little evidence to be believed
        self.kin = AlertIndex()  # by ship and each name of ``Alert.kin``
        self.inferred: dict[tuple[str, str], str] = {}  # ship and silent device -> incident

    def infer(self, incident: OpenIncident, device: str) -> None:
        """Hold *device*, which is silent, responsible for *incident*; empty: none any more."""
        former = incident.ship_id, incident.inferred
        if self.inferred.get(former) == incident.id:
            del self.inferred[former]
        incident.inferred = device
        if device:
            self.inferred[incident.ship_id, device] = incident.id

    def file(self, alert: Alert) -> None:
        """Make a new *alert* findable."""
        ship, device, _ = alert.key
        self.alerts[alert.id] = alert
        self.of_key.add(alert.key, alert)
        self.on.add((ship, device), alert)
        for key in alert.keys:
            self.sharing.add(key, alert)
        for upper in alert.upstream:
            self.below.add((ship, upper), alert)
        for name in alert.kin:
            self.kin.add((ship, name), alert)
        if not alert.believed:
            self.strays.add(ship, alert)
        self.incidents[alert.incident_id].take(alert)

    def absorb(self, alert: Alert, member: Evidence) -> None:
        alert.absorb(member)
        self._keep(alert, member)
        incident = self.incidents[alert.incident_id]
        incident.count += 1
        incident.widen(member.ts, member.ts)
        for key in alert.add_keys(member.keys):
            self.sharing.add(key, alert)
        if alert.doubtful and alert.believed:
            self.strays.remove(alert.key.ship, alert)

    def unite(self, alert: Alert, other: Alert) -> None:
        """One alert instead of two."""
        self._remove(other)
        self.members -= alert.kept
        alert.unite(other, self._members_kept)
        self.members += alert.kept
        incident = self.incidents[alert.incident_id]
        incident.count += other.count
        incident.widen(alert.first, alert.last)
        for key in alert.add_keys(other.keys):
            self.sharing.add(key, alert)
        if alert.believed:
            self.strays.remove(alert.key.ship, alert)

    def move(self, alert: Alert, to: OpenIncident) -> None:
        self.incidents[alert.incident_id].give(alert)
        alert.incident_id = to.id
        to.take(alert)

    def close(self, incident_id: str) -> None:
        """Nothing joins the incident any more."""
        if incident := self.incidents.get(incident_id):
            self.infer(incident, "")
            for alert in list(incident.alerts.values()):
                self._remove(alert)
            del self.incidents[incident_id]

    def _keep(self, alert: Alert, member: Evidence) -> None:
        self.members -= alert.kept
        alert.keep(member, self._members_kept if self.members < MEMBERS_KEPT else 0)
        self.members += alert.kept

    def _remove(self, alert: Alert) -> None:
        ship, device, _ = alert.key
        self.members -= alert.kept
        del self.alerts[alert.id]
        self.of_key.remove(alert.key, alert)
        self.on.remove((ship, device), alert)
        for key in alert.keys:
            self.sharing.remove(key, alert)
        for upper in alert.upstream:
            self.below.remove((ship, upper), alert)
        for name in alert.kin:
            self.kin.remove((ship, name), alert)
        self.strays.remove(ship, alert)
        self.incidents[alert.incident_id].give(alert)
