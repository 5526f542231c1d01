"""The open incidents, and indexes of their alerts. Pure.

Two clocks matter. *Event time* (``ts`` of the line) decides what belongs together, so that a replay
of old logs gives the incidents that they would have given then. *Arrival* (the newest stage time)
decides when an incident of old lines has been quiet long enough to be closed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence

from aiops_core.models import Evidence
from correlation_service.alerts import Alert, Place, place_of
from correlation_service.incident import OpenIncident

MEMBERS_KEPT = (
    200_000  # of all alerts, 0.9 KB each; beyond, alerts that get more cannot move any more
)


class AlertIndex:
    """Alerts under keys, in the order of their places: the same whenever they were filed.

    While an alert is filed its place must not change.
    """

    def __init__(self) -> None:
        self.filed: dict[Hashable, list[Alert]] = {}

    def __getitem__(self, key: Hashable) -> Sequence[Alert]:
        return self.filed.get(key, ())

    def near(self, key: Hashable, place: Place, most: int) -> Sequence[Alert]:
        """The alerts next to *place*, at most *most* on each side."""
        filed = self[key]
        at = bisect_left(filed, place, key=place_of)
        return filed[max(at - most, 0) : at + most]

    def add(self, key: Hashable, alert: Alert) -> None:
        filed = self.filed.setdefault(key, [])
        at = bisect_left(filed, alert.place, key=place_of)
        if filed[at : at + 1] != [alert]:
            filed.insert(at, alert)

    def remove(self, key: Hashable, alert: Alert) -> None:
        filed = self.filed.get(key, [])
        at = bisect_left(filed, alert.place, key=place_of)
        if filed[at : at + 1] == [alert]:
            del filed[at]
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
        self.alerts[alert.id] = alert
        self._add(alert)
        self.incidents[alert.incident_id].take(alert)

    def absorb(self, alert: Alert, member: Evidence) -> None:
        if member.ts < alert.first:  # its place changes
            self._take_out(alert)
            alert.absorb(member)
            self._add(alert)
        else:
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
        self._take_out(alert)
        self.members -= alert.kept
        alert.unite(other, self._members_kept)
        self.members += alert.kept
        self._add(alert)
        incident = self.incidents[alert.incident_id]
        incident.count += other.count
        incident.widen(alert.first, alert.last)
        for key in alert.add_keys(other.keys):
            self.sharing.add(key, alert)

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

    def forget(self, alert_id: str) -> None:
        """Take an alert out, wherever it is."""
        if alert := self.alerts.get(alert_id):
            self._remove(alert)

    def _keep(self, alert: Alert, member: Evidence) -> None:
        self.members -= alert.kept
        alert.keep(member, self._members_kept if self.members < MEMBERS_KEPT else 0)
        self.members += alert.kept

    def _remove(self, alert: Alert) -> None:
        self.members -= alert.kept
        del self.alerts[alert.id]
        self._take_out(alert)
        self.incidents[alert.incident_id].give(alert)

    def _add(self, alert: Alert) -> None:
        for index, key in self._entries(alert):
            index.add(key, alert)

    def _take_out(self, alert: Alert) -> None:
        for index, key in self._entries(alert):
            index.remove(key, alert)

    def _entries(self, alert: Alert) -> Iterator[tuple[AlertIndex, Hashable]]:
        """Where *alert* is found."""
        ship, device, _ = alert.key
        yield self.of_key, alert.key
        yield self.on, (ship, device)
        for key in alert.keys:
            yield self.sharing, key
        for upper in alert.upstream:
            yield self.below, (ship, upper)
        for name in alert.kin:
            yield self.kin, (ship, name)
        if not alert.believed:
            yield self.strays, ship
