"""Problems: what came before, how often, and what a person is told when it comes again. Pure.

An incident is an *occurrence* of a *problem*: of the same trouble of the same object. The problem
is found by the signature of the anomaly that opens the incident. The table is a fold of published
facts and outlasts the stream; facts that are read again change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from aiops_core.models import ProblemEdited, Recurrence, Severity, Status, derived_id
from correlation_service.cadence import Cadence, cadence_of, differs, gaps_of
from correlation_service.incident import OpenIncident
from correlation_service.policy import CorrelatePolicy
from correlation_service.problem import (
    MERGED,
    RESOLVED,
    STOPPED,
    WAITING,
    ZERO,
    End,
    KnownProblem,
    Start,
    going_on_of,
)
from correlation_service.problem_table import WAITING_KEPT, ProblemTable
from correlation_service.spreads import SpreadPlace


class Return(NamedTuple):
    """What the fact says by which a problem comes back in its incident. *reopens*: that was over.
    *news* is what a person is told about it; empty: it is as always."""

    recurrence: Recurrence
    reopens: bool
    news: str


class Problems:
    """*table*: those that are known."""

    def __init__(self, policy: CorrelatePolicy) -> None:
        self._policy, self._rules = policy, policy.problems
        self.table = ProblemTable()

    # -- deciding ---------------------------------------------------------------------------------

    def first(self, signature: str, incident_id: str, place: SpreadPlace) -> Recurrence:
        """What a new incident says: it is the next occurrence of its problem, or a new problem.

        It is a new one, too, while the problem has another incident that is open, or a later one.
        """
        problem, kind = self.table.with_signature(signature), place.kind
        spread = self._spread(place, incident_id)
        if problem is None:
            new = derived_id("problem", signature)
        elif problem.is_open or place.at < problem.latest.began:
            new = derived_id("problem", incident_id)
        else:
            return problem.next(self._cadence(problem, place.at), kind, spread)
        return Recurrence(problem_id=new, kind=kind, spread=spread)

    def is_news(self, place: SpreadPlace, severity: Severity) -> bool:
        """Whether a person is told of a new incident there."""
        rules = self._rules
        return not self.table.spreads.is_known(place, severity, rules.spread, rules.grown)

    def _spread(self, place: SpreadPlace, *beginning: str) -> str:
        """The spread that takes what begins there, a new one if need be."""
        known = self.table.spreads.joined(place, self._rules.spread)
        return known or derived_id("spread", place.kind, *beginning)

    def again(
        self, problem: KnownProblem, place: SpreadPlace, severity: Severity, goes_on: bool
    ) -> Return | None:
        """How *problem* comes back in its newest incident, if that takes it.

        An occurrence that *goes_on*, too long for the alerts that there are, is no other one; nor
        is an anomaly of its time that comes late.
        """
        reopens, newest, at = not problem.is_open, problem.latest, place.at
        if problem.ending == MERGED or (reopens and not self._may_reopen(problem, at)):
            return None
        if goes_on or at <= (newest.ended or newest.began):
            return Return(problem.recurrence, reopens, news="")
        cadence = self._cadence(problem, at)
        spread = self._spread(place, problem.incident, str(problem.count))
        following = problem.next(cadence, place.kind, spread)
        return Return(following, reopens, self._news(problem, cadence, severity, at))

    def keeps_open(self, incident: OpenIncident, now: datetime) -> KnownProblem | None:
        """The chronic problem for which *incident* stays open now that its alerts are over."""
        problem = self.table.of_incident(incident.id)
        if problem is None or not problem.is_chronic:
            return None
        return problem if problem.held or self._until(problem, incident) >= now else None

    def stopped(self, now: datetime) -> Iterator[KnownProblem]:
        """Chronic problems that have not come back in time; and the longest quiet of too many."""
        waiting = self.table.waiting
        for place, problem in enumerate(waiting):
            late = problem.until is not None and problem.until < now and not problem.held
            if late or place < len(waiting) - WAITING_KEPT:
                yield problem

    def left_open(self, edit: ProblemEdited) -> tuple[KnownProblem, KnownProblem] | None:
        """Of the two problems that *edit* merges, the one whose incident waits and is over by that,
        and the one whose incident goes on."""
        if pair := self._merged_by(edit):
            going_on = going_on_of(*pair)
            other = pair[0] if going_on is pair[1] else pair[1]
            return (other, going_on) if other.ending == WAITING else None
        return None

    def news(
        self, problem: KnownProblem, severity: Severity, root: str, devices: int, lasted: timedelta
    ) -> str:
        """What a person is told of an occurrence that goes on; empty: nothing."""
        told, grown = problem.told, self._rules.grown
        if severity > told.severity:
            return f"severity up to {severity}"
        if root not in told.roots:
            return f"the root is {root} now"
        if problem.announced or problem.count == 1:
            return ""
        if devices >= grown * told.devices:
            return f"{devices} devices are affected, before at most {told.devices}"
        if lasted >= grown * max(told.lasted, self._policy.window):
            return f"it lasts longer than before, for {round(lasted / timedelta(minutes=1))} min"
        return ""

    def _may_reopen(self, problem: KnownProblem, at: datetime) -> bool:
        """Whether an anomaly of that time belongs into its incident, which is over."""
        if problem.ended and abs(at - problem.ended) <= self._rules.reopen_within:
            return True
        return at > problem.latest.began and self._cadence(problem, at) is not None

    def _news(
        self, problem: KnownProblem, cadence: Cadence | None, severity: Severity, at: datetime
    ) -> str:
        """What a person is told of another occurrence."""
        if problem.ending == RESOLVED:
            return f"it is back ({problem.note})"
        if problem.ending == STOPPED:
            return "it is back after it had stopped"
        if severity > problem.told.severity:
            return f"it is {severity} this time"
        if cadence and self._is_new(problem, cadence, at):
            before = f", before: {problem.cadence}" if problem.told.gap else ""
            return f"it comes {cadence.words}{before}"
        return ""

    def _is_new(self, problem: KnownProblem, cadence: Cadence, at: datetime) -> bool:
        """Whether it comes otherwise than was told, and did so three times."""
        told, change = problem.told.gap, self._rules.change
        newest = gaps_of([*problem.begins, at][-4:])
        return told is None or all(differs(gap, told, change) for gap in (cadence.gap, *newest))

    def _cadence(self, problem: KnownProblem, at: datetime) -> Cadence | None:
        return cadence_of([*problem.begins, at], self._rules)

    def _until(self, problem: KnownProblem, incident: OpenIncident) -> datetime:
        """How long it is waited for, by the host clock."""
        patience = self._rules.patience * (problem.gap or ZERO)
        return max(incident.last_seen + patience, incident.last_arrival + self._policy.settle)

    # -- changing ---------------------------------------------------------------------------------

    def begin(self, start: Start) -> None:
        """An occurrence has begun, or goes on; one that is known already changes nothing."""
        said = start.recurrence
        if said.problem_id in self.table.absorbed:
            return
        known = self.table.get(said.problem_id)
        if known is None:
            taken = self.table.with_signature(start.signature)
            self.table.put(KnownProblem.begun(start, () if taken else (start.signature,)))
        elif said.occurrence > known.count:
            self.table.put(known.added(start, self._cadence(known, start.at)))
        elif start.incident == known.incident and said.occurrence == known.count:
            self.table.put(known.going_on(start.revision))
        if start.announce:
            self.announce(start.incident, start.severity, start.device)

    def announce(self, incident_id: str, severity: Severity, device: str) -> None:
        """A person was told of what the problem of that incident is like now."""
        if problem := self.table.of_incident(incident_id):
            told = problem.announcing(severity, device)
            devices = self.table.spreads.devices(problem, self._rules.spread)
            self.table.put(told.telling_of(devices, severity))

    def pause(self, incident: OpenIncident, ending: str) -> None:
        """The newest occurrence is over, as its alerts are; its incident goes on."""
        if problem := self.table.of_incident(incident.id):
            self.table.put(problem.finished(incident, ending))

    def end(self, incident_id: str, incident: OpenIncident | None, end: End) -> None:
        """The newest occurrence is over. *incident* still has its alerts; None while it waited."""
        problem = self.table.of_incident(incident_id)
        if problem is None or (end.revision is not None and end.revision <= problem.revision):
            return
        waits = incident and incident.alerts and end.ending == WAITING
        until = self._until(problem, incident) if waits and incident else None
        is_known = self.table.with_signature(end.root) is not None
        problem = problem.over(end, incident, until).learned(end.root, is_known)
        self.table.put(problem)
        home = self.table.of_incident(end.into or "")
        if end.ending == MERGED and home and home.id != problem.id and problem.is_sign_of_another:
            self.table.forget(problem)
            self.table.put(home.absorbing(problem))

    def hold(self, incident_id: str, kind: str, status: Status) -> None:
        """A person keeps the incident open, however long it is quiet, by acknowledging it or by
        opening it again."""
        problem = self.table.of_incident(incident_id)
        if problem and kind in ("ack", "reopen"):
            ending = problem.ending if problem.is_open else WAITING
            held = status == Status.ACK or ending == WAITING
            self.table.put(problem.but(held=held, ending=ending))

    def edit(self, fact: ProblemEdited) -> None:
        """A person merges or splits problems. What names nothing known only counts: read again,
        it must not find what has become known since."""
        problem = self.table.get(fact.problem_id)
        if pair := self._merged_by(fact):
            self.table.forget(pair[0])
            self._put_anew(pair[1].united(pair[0]))
        elif problem and fact.change > problem.change:
            edited = problem.but(change=fact.change)
            parts = edited.split(fact.incident_id or "") if fact.kind == "split" else None
            for part in parts or (edited,):
                self._put_anew(part)

    def _merged_by(self, edit: ProblemEdited) -> tuple[KnownProblem, KnownProblem] | None:
        """The problem that is part of another from now on, and that one."""
        problem, into = self.table.get(edit.problem_id), self.table.get(edit.into)
        if edit.kind != "merge" or not problem or not into or edit.change <= problem.change:
            return None
        one_ship = into.ship_id == problem.ship_id
        return (problem, into) if into.id != problem.id and one_ship else None

    def _put_anew(self, problem: KnownProblem) -> None:
        self.table.put(problem.with_cadence(cadence_of(problem.begins, self._rules)))
