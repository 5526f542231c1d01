"""The state of correlation, and ``evolve``: the only thing that changes it. Pure.

The published facts are the state. ``evolve`` reads them one by one, as they are decided and, after
a kill, as they come from the stream. It never decides: what it needs is in the fact.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AlertsCleared,
    AnomalyCleared,
    AnomalySuppressed,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Status,
)
from correlation_service.alerts import Alert, AlertKey, arrival_of
from correlation_service.incident import OpenIncident
from correlation_service.inhibition import Inhibitions
from correlation_service.open_incidents import OpenIncidents
from correlation_service.policy import CorrelatePolicy
from correlation_service.recoveries import Recoveries, RecoveryScope

V = TypeVar("V")

SEEN_KEPT = 200_000  # anomaly ids, newest, so that a redelivery changes nothing; 150 bytes each
CLOSED_KEPT = 10_000  # incidents; a fact that was overtaken by their end does not open them again
SHIPS_KEPT = 1000  # whose newest event time is remembered; a shore hub has some hundred


class CorrelationState:
    """*emptied*: incidents whose alerts have all moved, and where to; they are not cleared yet.

    *merging*: incidents that an operator merged, and into which, until the facts say so. *touched*
    incidents may be over earlier than was known (``closing`` reads and clears it). The *inventory*
    is declared from outside.
    """

    def __init__(self, policy: CorrelatePolicy) -> None:
        self._policy = policy
        self.inventory = Inventory()
        self.open = OpenIncidents(policy.members_kept)
        self.recoveries = Recoveries()
        self.inhibitions = Inhibitions(policy.inhibit, policy.window_of, policy.settle)
        self.seen: OrderedDict[str, None] = OrderedDict()
        self.closed: OrderedDict[str, None] = OrderedDict()  # newest incidents that are over
        self.latest: OrderedDict[str, datetime] = OrderedDict()  # event time of each ship
        self.emptied: dict[str, str] = {}
        self.merging: dict[str, str] = {}
        self.touched: set[str] = set()

    def keys_of(self, cleared: AnomalyCleared) -> list[AlertKey]:
        """The alerts that *cleared* may be about."""
        known = self.inventory.resolve(cleared.device_id, cleared.host)
        device = known or cleared.device
        return [AlertKey(cleared.ship_id, device, kind) for kind in cleared.anomaly_types]

    def evolve(self, fact: Message) -> None:
        """Facts come in the order in which they were published. The facts of others (recoveries,
        transitions) may stand before facts that were decided without knowing them."""
        match fact:
            case IncidentUpdated():
                self._update(fact)
            case Incident():
                self._open(fact)
            case IncidentCleared():
                self._close(fact.incident_id)
            case AnomalyCleared():
                self.inhibitions.clear(fact)
                for key in self.keys_of(fact):
                    self.recoveries.remember(key, fact)
            case IncidentTransitioned():
                self._transition(fact)
            case AnomalySuppressed():
                self._see(fact.anomaly_id)

    def _open(self, fact: Incident) -> None:
        """Incidents that were made by hand have no evidence, and absorb nothing."""
        if not fact.evidence or fact.id in self.open.incidents or fact.id in self.closed:
            return
        incident = OpenIncident(fact.id, fact.ship_id, fact.revision, fact.severity)
        self.open.incidents[fact.id] = incident
        if (root := fact.root_cause) and root.device and root.anomaly is None:
            self.open.infer(incident, root.device)
        self._join(incident, fact.evidence)
        self.touched.add(incident.id)

    def _update(self, fact: IncidentUpdated) -> None:
        incident = self.open.incidents.get(fact.incident_id)
        if incident is None or fact.revision <= incident.revision:
            for member in fact.members:
                self._see(member.anomaly_id)
            return
        incident.revision = fact.revision
        incident.severity = fact.severity or incident.severity
        if fact.inferred not in (None, incident.inferred):
            self.open.infer(incident, fact.inferred or "")
        self._join(incident, fact.members)
        if fact.cleared:
            self._clear(fact.cleared, fact.ts)
        if fact.continues:
            self._continue(incident, fact.continues)
        if fact.cleared or fact.continues or fact.moved_from:
            self.touched.add(incident.id)

    def _join(self, incident: OpenIncident, members: Sequence[Evidence]) -> None:
        for member in members:
            alert = self._alert_of(member)
            is_new = self._see(member.anomaly_id)
            if alert is None:
                alert = Alert.opened(incident.id, incident.ship_id, member, self._policy)
                self.open.file(alert)
                is_new = True  # it may have been a member of an incident that is over
            elif alert.incident_id != incident.id:
                self.open.move(alert, incident)
            for other in filter(None, map(self.open.alerts.get, member.alerts[1:])):
                self.open.unite(alert, other)
            if is_new:
                self.open.absorb(alert, member)
                self._pass(incident.ship_id, min(member.ts, arrival_of(member)))
        self.inhibitions.note(incident.id, incident.ship_id, members)
        for origin in {member.moved_from for member in members if member.moved_from}:
            self.inhibitions.leave(origin, members)
            if (gone := self.open.incidents.get(origin)) and not gone.alerts:
                self.emptied[origin] = incident.id

    def _alert_of(self, member: Evidence) -> Alert | None:
        return self.open.alerts.get(member.alerts[0]) if member.alerts else None

    def _clear(self, cleared: AlertsCleared, at: datetime) -> None:
        scope = RecoveryScope.of(cleared)
        for alert in filter(None, map(self.open.alerts.get, cleared.alerts)):
            alert.clear(list(scope.covered(alert)), at)
            self.recoveries.flap(alert.key, at, self._policy.flapping.within)

    def _continue(self, incident: OpenIncident, gone: str) -> None:
        """*incident* has the alerts of *gone*, whose members stay where they were published."""
        if origin := self.open.incidents.get(gone):
            for alert in list(origin.alerts.values()):
                self.open.move(alert, incident)
            self._close(gone)

    def _transition(self, fact: IncidentTransitioned) -> None:
        """The facts of a merge follow, or the order itself comes again."""
        if fact.to_status != Status.RESOLVED:
            if incident := self.open.incidents.get(fact.incident_id):
                incident.acknowledged = fact.to_status == Status.ACK
            return
        if fact.kind == "merge" and fact.merged_into in self.open.incidents:
            self.merging[fact.incident_id] = fact.merged_into
        else:
            self._close(fact.incident_id)

    def _close(self, incident_id: str) -> None:
        """Incidents that were to be merged into it end with it: nothing is left that has their
        members."""
        self.emptied.pop(incident_id, None)
        self.merging.pop(incident_id, None)
        self.inhibitions.forget(incident_id)
        _remember(self.closed, incident_id, None, CLOSED_KEPT)
        self.open.close(incident_id)
        for gone in [gone for gone, into in self.merging.items() if into == incident_id]:
            self._close(gone)

    def _see(self, anomaly_id: str) -> bool:
        """Whether the anomaly was not known."""
        if anomaly_id in self.seen:
            return False
        _remember(self.seen, anomaly_id, None, SEEN_KEPT)
        return True

    def _pass(self, ship: str, at: datetime) -> None:
        """Time on *ship* has come to *at*. A clock that is ahead does not make all others late."""
        _remember(self.latest, ship, max(at, self.latest.get(ship, at)), SHIPS_KEPT)


def _remember(table: OrderedDict[str, V], key: str, value: V, most: int) -> None:
    """*key* is the last to be forgotten; the longest unused is forgotten."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)
