"""From a message to the facts that it causes. Pure, and the heart of the service.

``decide`` reads the state and changes nothing; ``evolve`` alone changes it, with the facts: while
the service runs, and after a kill with the same facts out of the stream.

Every anomaly causes one fact of its own: it opens an incident, joins one, or is suppressed by a
rule that is named. It causes more when it connects two incidents: their members move. An anomaly
that is delivered again causes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import Suggestions
from aiops_core.models import (
    AlertsCleared,
    AnomalyCleared,
    EnrichedAnomaly,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    ProblemEdited,
)
from correlation_service.alerts import Alert
from correlation_service.closing import Closing, IncidentEnd, StillOpen
from correlation_service.facts import FactBuilder
from correlation_service.grouping import Grouper, Placement
from correlation_service.moves import move_facts
from correlation_service.overlay import Overlay
from correlation_service.policy import CorrelatePolicy
from correlation_service.recoveries import RecoveryScope, SeriesEnd
from correlation_service.state import CorrelationState
from correlation_service.suppression import Suppression
from correlation_service.wording import words


class Correlator:
    def __init__(self, policy: CorrelatePolicy) -> None:
        self.policy = policy
        self.state = CorrelationState(policy)
        self.suppression = Suppression(policy, self.state.inhibitions)
        self._grouper = Grouper(policy)
        self._closing = Closing(policy, self.state)

    def use(self, inventory: Inventory, suggestions: Suggestions | None = None) -> None:
        """Know the devices of the ship from now on. *suggestions* only say what belongs together:
        what hides an anomaly must have been typed."""
        edges = suggestions.edges(self.policy.suggested.min_confidence) if suggestions else ()
        self.state.inventory = inventory.with_suggested(edges) if edges else inventory
        self.suppression.outages.upstream_of = inventory.upstream_of

    def handle(self, message: Message) -> Sequence[Message]:
        """The facts that *message* causes; the state has changed accordingly."""
        facts = self.decide(message)
        if not isinstance(message, EnrichedAnomaly):  # that one is known by its own fact
            self.state.evolve(message)
        for fact in facts:
            self.state.evolve(fact)
        return facts

    def evolve(self, fact: Message) -> None:
        """Learn a fact that was published before this process began."""
        self.state.evolve(fact)

    def expire(self, now: datetime) -> Iterator[IncidentCleared | IncidentUpdated]:
        """Close the incidents that are over at that time; say of others that they are quiet."""
        for fact in self._overdue(now):
            self.state.evolve(fact)
            yield fact

    # -- deciding: nothing below changes the state ------------------------------------------------

    def decide(self, message: Message) -> Sequence[Message]:
        match message:
            case EnrichedAnomaly():
                return self._correlate(message)
            case AnomalyCleared():
                return list(self._clear(message))
            case IncidentTransitioned(kind="merge"):
                return list(self._merge(message))
            case ProblemEdited():
                return list(self._edit(message))
        return []

    def _correlate(self, anomaly: EnrichedAnomaly) -> Sequence[Message]:
        anomaly_id = anomaly.anomaly_id  # it is derived at each reading
        if anomaly_id in self.state.seen:
            return []
        if suppressor := self.suppression.decide(anomaly):
            return [suppressor.fact(anomaly)]
        placement = self._grouper.place(self.state, anomaly, anomaly_id)
        return placement_facts(placement, FactBuilder(placement.overlay, anomaly))

    def _clear(self, cleared: AnomalyCleared) -> Iterator[Message]:
        """A recovery: one fact for each incident in which it ends something."""
        scope, overlay = RecoveryScope.of(cleared), Overlay(self.state, self.policy)
        ended: dict[str, list[Alert]] = {}
        for key in self.state.keys_of(cleared):
            for alert in scope.ended(self.state.open.of_key[key], cleared.ts):
                twin = alert.copy()
                scope.clear(twin, SeriesEnd(cleared.ts, cleared.confidence))
                overlay.replace(twin)
                overlay.flap(twin, cleared.ts)
                ended.setdefault(alert.incident_id, []).append(alert)
        builder = FactBuilder(overlay, cleared)
        for incident_id, alerts in ended.items():
            sure = min(_sureness(scope, alert, cleared) for alert in alerts)
            ends = AlertsCleared(
                alerts=tuple(alert.id for alert in alerts), confidence=sure, **scope._asdict()
            )
            reason = _over(alerts, cleared, sure)
            yield builder.updated(incident_id, reason=reason, cleared=ends)

    def _merge(self, change: IncidentTransitioned) -> Iterator[Message]:
        """An operator lets another incident go on for one, which has its alerts from now on. Of an
        incident with too many members only the alerts move: later anomalies join the other."""
        gone = self.state.open.incidents.get(change.incident_id)
        home = self.state.open.incidents.get(change.merged_into or "")
        if not (gone and home and gone.alerts):
            return
        overlay, reason = Overlay(self.state, self.policy), _merged(change)
        for alert in gone.in_order():
            if gone.movable:
                overlay.note(alert, reason)
            overlay.move(alert, home.id)
        builder = FactBuilder(overlay, change)
        if gone.movable:
            yield from move_facts(overlay, builder)
        else:
            yield builder.updated(home.id, reason=reason, continues=gone.id)

    def _edit(self, edit: ProblemEdited) -> Iterator[Message]:
        """Of two problems that a person merges, one that waits in an incident of its own does so
        no more."""
        if pair := self.state.problems.left_open(edit):
            yield FactBuilder(Overlay(self.state, self.policy), edit).united(*pair)

    def _overdue(self, now: datetime) -> Iterator[IncidentCleared | IncidentUpdated]:
        for incident_id, into in sorted(self.state.emptied.items()):
            home = self.state.open.incidents.get(into)
            at = home.last_seen if home and home.alerts else None
            yield self._at(now, incident_id, at).merged(incident_id, into)
        for end in self._closing.over(now):
            yield self._ended(end, now)
        for problem in list(self.state.problems.stopped(now)):
            at = problem.given_up_at(self.policy.problems.patience)
            yield self._at(now, problem.incident, at, problem.ship_id).stopped(problem)

    def _ended(
        self, end: IncidentEnd | StillOpen, now: datetime
    ) -> IncidentCleared | IncidentUpdated:
        """The incident is over, unless something in it lasts or its problem will be back."""
        incident_id = end.incident.id
        builder = self._at(now, incident_id, end.incident.over_since)
        if isinstance(end, StillOpen):
            return builder.updated(incident_id, reason=end.note, quiet_since=end.since)
        if problem := self.state.problems.keeps_open(end.incident, now):
            return builder.waits(incident_id, problem, end.why, end.note)
        return builder.closed(incident_id, end.why, end.note, confidence=end.confidence)

    def _at(
        self, now: datetime, incident_id: str, at: datetime | None, ship: str = ""
    ) -> FactBuilder:
        """A builder of facts that the passing of time causes. They happened *at* a time of the
        lines, which may be of last year, and were decided now."""
        ship = ship or self.state.open.incidents[incident_id].ship_id
        ts = min(at or now, now)
        cause = Message(tracking_id=incident_id, ship_id=ship, ts=ts, stages={"correlate": now})
        return FactBuilder(Overlay(self.state, self.policy), cause)


def placement_facts(placement: Placement, builder: FactBuilder) -> list[Message]:
    """The anomaly's own fact and those about moves.

    Where its alert itself has moved, the own fact comes last: after a kill in between the anomaly
    comes again, and the rest is decided anew.
    """
    overlay, member, incident_id = placement.overlay, placement.member, placement.incident_id
    if placement.repeats and not builder.recounts(incident_id):
        return [builder.repeated(incident_id, member)]
    placement.count()
    if any(move.holder == placement.alert.id for move in overlay.moves):
        moves = list(move_facts(overlay, builder))
        return [*moves, builder.updated(incident_id, [member], member.reason)]
    if overlay.incident(incident_id).revision:
        own: Message = builder.updated(incident_id, [member], member.reason)
    else:
        own = builder.opened(incident_id, member)
    return [own, *move_facts(overlay, builder)]


def _sureness(scope: RecoveryScope, alert: Alert, cleared: AnomalyCleared) -> float:
    return min(scope.sureness(series, cleared.confidence) for series in scope.covered(alert))


def _over(alerts: Sequence[Alert], cleared: AnomalyCleared, sure: float) -> str:
    types = ", ".join(dict.fromkeys(words(alert.key.anomaly_type) for alert in alerts))
    is_over = "is over" if sure == 1 else "is probably over"
    return f"{types} on {alerts[0].key.device} {is_over}: {cleared.reason}"


def _merged(change: IncidentTransitioned) -> str:
    return f"{change.actor} merged incident {change.incident_id} into it"
