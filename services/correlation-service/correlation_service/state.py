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
    ProblemEdited,
    Status,
)
from correlation_service.alerts import Alert, AlertKey, arrival_of
from correlation_service.incident import OpenIncident
from correlation_service.inhibition import Inhibitions
from correlation_service.kinds import attacker_of
from correlation_service.open_incidents import OpenIncidents
from correlation_service.policy import CorrelatePolicy
from correlation_service.problem import EXPIRED, MERGED, RESOLVED, WAITING, End, Start
from correlation_service.problems import Problems
from correlation_service.recoveries import Recoveries, RecoveryScope, SeriesEnd
from correlation_service.signatures import signature_of

V = TypeVar("V")
ENDED_BY = {"resolve": RESOLVED, "merge": MERGED}

SEEN_KEPT = 200_000  # anomaly ids, newest, so that a redelivery changes nothing; 150 bytes each
CLOSED_KEPT = 10_000  # incidents; a fact that was overtaken by their end does not open them again
GUESS_KEPT = 300  # characters of the reason why something is probably over
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
        self.problems = Problems(policy)
        self.seen: OrderedDict[str, None] = OrderedDict()
        self.closed: OrderedDict[str, None] = OrderedDict()  # newest incidents that are over
        self.acknowledged: OrderedDict[str, bool] = OrderedDict()  # newest orders of people
        self.latest: OrderedDict[str, datetime] = OrderedDict()  # event time of each ship
        self.emptied: dict[str, str] = {}
        self.merging: dict[str, str] = {}
        self.touched: set[str] = set()

    def keys_of(self, cleared: AnomalyCleared) -> list[AlertKey]:
        """The alerts that *cleared* may be about."""
        known = self.inventory.resolve(cleared.device_id, cleared.host)
        device = known or cleared.device
        return [AlertKey(cleared.ship_id, device, kind) for kind in cleared.anomaly_types]

    def may_go_on(self, incident_id: str) -> bool:
        """Whether nothing has it end as part of another one."""
        return incident_id not in self.emptied and incident_id not in self.merging

    def evolve(self, fact: Message) -> None:
        """Facts come in the order in which they were published. The facts of others (recoveries,
        transitions) may stand before facts that were decided without knowing them."""
        match fact:
            case IncidentUpdated():
                self._update(fact)
            case Incident():
                self._open(fact)
            case IncidentCleared():
                self._clear_incident(fact)
            case AnomalyCleared():
                self.inhibitions.clear(fact)
                for key in self.keys_of(fact):
                    self.recoveries.remember(key, fact)
            case IncidentTransitioned() | ProblemEdited():
                self._order(fact)
            case AnomalySuppressed():
                self._see(fact.anomaly_id)

    def restore(
        self,
        incident: OpenIncident,
        inferred: str,
        alerts: Sequence[tuple[Alert, Sequence[datetime]]],
    ) -> None:
        """Put an *incident* that was kept in force, with its *alerts* and when each recovered.

        Facts before it may have told of a part of it. One that was closed stays so, and what a
        person did meanwhile counts.
        """
        if incident.id in self.closed:
            return
        self.open.close(incident.id)
        incident.acknowledged = self.acknowledged.get(incident.id, incident.acknowledged)
        self.open.incidents[incident.id] = incident
        self.open.infer(incident, inferred)
        for alert, flaps in alerts:
            self.open.forget(alert.id)
            self.open.file(alert)
            for at in flaps:
                self.recoveries.flap(alert.key, at, self._policy.flapping.within)
            self.inhibitions.note(incident.id, incident.ship_id, [alert.head])
            self._pass(incident.ship_id, min(alert.said, alert.arrival))
        self.touched.add(incident.id)

    def _open(self, fact: Incident) -> None:
        """Incidents that were made by hand have no evidence, and absorb nothing."""
        if not fact.evidence or fact.id in self.open.incidents or fact.id in self.closed:
            for member in fact.evidence:
                self._see(member.anomaly_id)
            return
        incident = OpenIncident(fact.id, fact.ship_id, fact.revision, fact.severity)
        self.open.incidents[fact.id] = incident
        if (root := fact.root_cause) and root.device and root.anomaly is None:
            self.open.infer(incident, root.device)
        incident.root = fact.root_cause
        self._join(incident, fact.evidence)
        self._begin(incident, fact, fact.evidence[0])
        self.touched.add(incident.id)

    def _begin(
        self, incident: OpenIncident, fact: Incident | IncidentUpdated, opener: Evidence
    ) -> None:
        """*opener* begins an occurrence of a problem."""
        if fact.recurrence:
            self.problems.begin(
                Start(
                    recurrence=fact.recurrence,
                    incident=incident.id,
                    revision=fact.revision,
                    ship=incident.ship_id,
                    signature=signature_of(incident.ship_id, opener, self._policy),
                    at=opener.ts,
                    severity=opener.severity,
                    device=_root_of(incident) or opener.device,
                    announce=fact.announce,
                    lasts=opener.state,
                    peer=attacker_of(opener, self._policy),
                )
            )

    def _update(self, fact: IncidentUpdated) -> None:
        incident = self.open.incidents.get(fact.incident_id)
        if self._returns(fact, incident):
            incident = self._return(fact, incident)
        elif incident is None or fact.revision <= incident.revision:
            for member in fact.members:
                self._see(member.anomaly_id)
            return
        incident.revision = fact.revision
        incident.severity = fact.severity or incident.severity
        self._hush(incident, fact)
        incident.root = fact.root_cause or incident.root
        if fact.inferred not in (None, incident.inferred):
            self.open.infer(incident, fact.inferred or "")
        self._join(incident, fact.members)
        if fact.cleared:
            self._clear(incident, fact, fact.cleared)
        if fact.continues:
            self._continue(incident, fact.continues, fact.ts)
        if fact.cleared or fact.continues or fact.moved_from:
            self.touched.add(incident.id)
        self._tell_problem(incident, fact)

    def _tell_problem(self, incident: OpenIncident, fact: IncidentUpdated) -> None:
        """What *fact* says of the problem, but for its beginning."""
        if fact.announce and not fact.recurrence:
            self.problems.announce(incident.id, incident.severity, _root_of(incident))
        if fact.quiet_since and fact.recurrence:
            self._wait(incident, fact)

    def _returns(self, fact: IncidentUpdated, incident: OpenIncident | None) -> bool:
        """Whether *fact* begins another occurrence; not when a person ended the incident before
        correlation knew."""
        if not (fact.recurrence and fact.members):
            return False
        if incident:
            return fact.revision > incident.revision
        return fact.reopens or fact.incident_id not in self.closed

    def _return(self, fact: IncidentUpdated, former: OpenIncident | None) -> OpenIncident:
        """The incident with another occurrence and without its *former* alerts."""
        problem = self.problems.table.of_incident(fact.incident_id)
        if former and problem and fact.revision > problem.revision:
            self.problems.pause(former, EXPIRED)
        self.open.close(fact.incident_id)
        self.inhibitions.forget(fact.incident_id)
        self.closed.pop(fact.incident_id, None)
        incident = OpenIncident(fact.incident_id, fact.ship_id, fact.revision, root=fact.root_cause)
        incident.acknowledged = self.acknowledged.get(incident.id, False)
        self.open.incidents[incident.id] = incident
        self._begin(incident, fact, fact.members[0])
        if problem := self.problems.table.of_incident(incident.id):
            incident.earlier, incident.since = problem.earlier, problem.since
        self.touched.add(incident.id)
        return incident

    def _wait(self, incident: OpenIncident, fact: IncidentUpdated) -> None:
        """The occurrence is over; the incident stays open without its alerts."""
        note = fact.recurrence.resolved_before if fact.recurrence else ""
        end = End(WAITING, note, fact.ts, fact.revision, self._sure_root(incident))
        self.problems.end(incident.id, incident, end)
        self.inhibitions.forget(incident.id)
        self.open.close(incident.id)

    def _sure_root(self, incident: OpenIncident) -> str:
        """The signature of its root alert; empty when that means little or says nothing itself."""
        root = incident.root.anomaly if incident.root else None
        for alert in incident.alerts.values():
            if alert.shown.anomaly_id == root and alert.believed and not alert.doubtful:
                return signature_of(incident.ship_id, alert.head, self._policy)
        return ""

    def _hush(self, incident: OpenIncident, fact: IncidentUpdated) -> None:
        """Its next member ends the quiet of an incident that stays open."""
        if fact.members and incident.quiet_since:
            incident.quiet_since = None
            self.touched.add(incident.id)
        elif fact.quiet_since:
            incident.quiet_since = fact.quiet_since

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
        for origin in dict.fromkeys(m.moved_from for m in members if m.moved_from):
            self.inhibitions.leave(origin, members)
            if (gone := self.open.incidents.get(origin)) and not gone.alerts:
                self.emptied[origin] = incident.id

    def _alert_of(self, member: Evidence) -> Alert | None:
        return self.open.alerts.get(member.alerts[0]) if member.alerts else None

    def _clear(self, incident: OpenIncident, fact: IncidentUpdated, cleared: AlertsCleared) -> None:
        scope, recovery = RecoveryScope.of(cleared), SeriesEnd(fact.ts, cleared.confidence)
        if cleared.confidence < 1:
            incident.guess = fact.reason[:GUESS_KEPT]
        for alert in filter(None, map(self.open.alerts.get, cleared.alerts)):
            scope.clear(alert, recovery)
            self.recoveries.flap(alert.key, fact.ts, self._policy.flapping.within)

    def _continue(self, incident: OpenIncident, gone: str, at: datetime) -> None:
        """*incident* has the alerts of *gone*, whose members stay where they were published."""
        if origin := self.open.incidents.get(gone):
            for alert in list(origin.alerts.values()):
                self.open.move(alert, incident)
            self._close(gone, End(MERGED, "", at, into=incident.id))

    def _order(self, fact: IncidentTransitioned | ProblemEdited) -> None:
        """A person changes something."""
        if isinstance(fact, ProblemEdited):
            self.problems.edit(fact)
        else:
            self._transition(fact)

    def _transition(self, fact: IncidentTransitioned) -> None:
        """The facts of a merge follow, or the order itself comes again. Edits and comments end
        nothing, whatever the status was."""
        if fact.to_status != Status.RESOLVED:
            self._acknowledge(fact.incident_id, fact.to_status == Status.ACK)
            self.problems.hold(fact.incident_id, fact.kind, fact.to_status)
        elif fact.kind == "merge" and fact.merged_into in self.open.incidents:
            self.merging[fact.incident_id] = fact.merged_into
        elif fact.kind in ENDED_BY:
            said = f": {fact.comment}" if fact.comment else ""
            ending, note = ENDED_BY[fact.kind], f"{fact.kind}d by {fact.actor}{said}"
            self._close(fact.incident_id, End(ending, note, fact.ts, into=fact.merged_into))

    def _acknowledge(self, incident_id: str, acknowledged: bool) -> None:
        """What is acknowledged does not expire; what is so no more may be over."""
        _remember(self.acknowledged, incident_id, acknowledged, CLOSED_KEPT)
        if incident := self.open.incidents.get(incident_id):
            incident.acknowledged = acknowledged
            self.touched.add(incident_id)

    def _clear_incident(self, fact: IncidentCleared) -> None:
        incident = self.open.incidents.get(fact.incident_id)
        root = self._sure_root(incident) if incident else ""
        ending, note = fact.resolve_reason, f"{fact.resolve_reason}: {fact.note}"
        end = End(ending, note, fact.ts, fact.revision, root, fact.merged_into)
        self._close(fact.incident_id, end)

    def _close(self, incident_id: str, end: End) -> None:
        """Incidents that were to be merged into it end with it: nothing is left that has their
        members."""
        self.problems.end(incident_id, self.open.incidents.get(incident_id), end)
        self.emptied.pop(incident_id, None)
        self.merging.pop(incident_id, None)
        self.inhibitions.forget(incident_id)
        _remember(self.closed, incident_id, None, CLOSED_KEPT)
        self.open.close(incident_id)
        for gone in [gone for gone, into in self.merging.items() if into == incident_id]:
            self._close(gone, End(MERGED, "", end.at))

    def _see(self, anomaly_id: str) -> bool:
        """Whether the anomaly was not known."""
        if anomaly_id in self.seen:
            return False
        _remember(self.seen, anomaly_id, None, SEEN_KEPT)
        return True

    def _pass(self, ship: str, at: datetime) -> None:
        """Time on *ship* has come to *at*. A clock that is ahead does not make all others late."""
        _remember(self.latest, ship, max(at, self.latest.get(ship, at)), SHIPS_KEPT)


def _root_of(incident: OpenIncident) -> str:
    return (incident.root.device if incident.root else "") or ""


def _remember(table: OrderedDict[str, V], key: str, value: V, most: int) -> None:
    """*key* is the last to be forgotten; the longest unused is forgotten."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)
