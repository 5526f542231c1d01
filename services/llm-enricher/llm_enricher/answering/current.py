"""Pure: ``evolve`` folds a fact into the incident as it is now, with its members by kind and what
has explained it.

The incident is the one that the API shows, as far as an explanation needs it: the same facts, the
same rules (``aiops_core.membership``, ``aiops_core.standing``), in any order of arrival.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aiops_core.bounded import BoundedDict
from aiops_core.membership import absorbed, parted, said_of
from aiops_core.models import (
    EnrichedIncident,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    LlmInsights,
    SimilarIncident,
    Stages,
)
from aiops_core.standing import MERGED, StatusNow, Turn, TurnKind, Turns
from llm_enricher.answering.due import ExplainedState, explained_state, state_of
from llm_enricher.answering.members import MemberTable
from llm_enricher.question import MemberKind

MISSING_KEPT = 2048  # revisions that may still arrive late
BY_OPERATOR = 1 << 60  # a revision above all others: what a person decided stays
BY_MODEL = ("llm", "cache")  # sources of which a model is the author
OPEN_KEPT = 2000  # those of which nothing was heard for longest are forgotten
CLOSED_KEPT = 500  # they may open again
EARLY_KEPT = 64  # incidents of which facts have come before their creation
EARLY_FACTS = 8  # of each; an incident that is older than what is read at start has no creation

IncidentFact = Incident | IncidentUpdated | IncidentCleared | IncidentTransitioned

TURNS: Mapping[str, TurnKind] = {
    "ack": "ack",
    "resolve": "resolve",
    "merge": "resolve",
    "reopen": "reopen",
}


@dataclass(frozen=True)
class CurrentIncident:
    """*answered* is the newest state that anything has explained, *modelled* the newest one that
    the model has, or an answer of it that was kept."""

    incident: Incident
    turns: Turns
    members: MemberTable
    quiet_since: datetime | None = None
    change: int = 0
    missing: tuple[int, ...] = ()
    decided: Mapping[str, int] = field(default_factory=dict)
    answered: ExplainedState | None = None
    modelled: ExplainedState | None = None

    @property
    def is_open(self) -> bool:
        return self.turns.standing.is_open

    @property
    def state(self) -> ExplainedState:
        return state_of(self.incident, self.change)

    @property
    def kinds(self) -> tuple[MemberKind, ...]:
        return tuple(self.members.listed())

    def lacks(self, revision: int) -> bool:
        return revision > self.incident.revision or revision in self.missing


def created(incident: Incident) -> CurrentIncident:
    shown = {name: getattr(incident, name) for name in Incident.model_fields}
    standing = StatusNow(status=incident.status, resolve_reason=incident.resolve_reason)
    return CurrentIncident(
        incident=Incident.model_construct(**shown),
        turns=Turns(settled=standing),
        members=MemberTable().joined(incident.evidence, incident.revision),
        quiet_since=incident.quiet_since,
        change=incident.llm_insights.of_change if isinstance(incident, EnrichedIncident) else 0,
    )


def evolve(known: CurrentIncident, fact: IncidentFact) -> CurrentIncident:
    """The incident after *fact*; the same object when it was folded before."""
    match fact:
        case EnrichedIncident():
            return _answered(known, fact)
        case IncidentUpdated() if known.lacks(fact.revision):
            return _updated(known, fact)
        case IncidentCleared() if known.lacks(fact.revision):
            return _cleared(known, fact)
        case IncidentTransitioned() if fact.change > known.change:
            return _transitioned(known, fact)
    return known


def _updated(known: CurrentIncident, fact: IncidentUpdated) -> CurrentIncident:
    decided = known.decided
    said = {n: v for n, v in said_of(fact).items() if decided.get(n, 1) < fact.revision}
    turns, members = known.turns, known.members.joined(fact.members, fact.revision)
    if fact.reopens:
        turns = turns.having(Turn(revision=fact.revision, kind="return"))
    if fact.departed:
        members = members.departed(fact.departed, fact.revision, fact.affected_devices)
    if fact.cleared:
        members = members.cleared(fact.cleared, fact.ts)
    after = replace(
        known,
        turns=turns,
        members=members,
        quiet_since=said.get("quiet_since", known.quiet_since),
        decided={**decided, **dict.fromkeys(said, fact.revision)},
    )
    changes = said | absorbed(known.incident, fact.members) | parted(known.incident, fact)
    return _advanced(after, changes, fact.revision, fact.joined)


def _cleared(known: CurrentIncident, fact: IncidentCleared) -> CurrentIncident:
    changes: dict[str, Any] = {}
    members = known.members
    if fact.merged_into:  # the other has its members
        changes = {"evidence": (), "anomaly_count": 0, "tracking_ids": ()}
        members = MemberTable()
    reason = f"{MERGED} into {fact.merged_into}" if fact.merged_into else fact.resolve_reason
    turn = Turn(revision=fact.revision, kind="clear", reason=reason)
    after = replace(known, turns=known.turns.having(turn), members=members)
    return _advanced(after, changes, fact.revision)


def _transitioned(known: CurrentIncident, fact: IncidentTransitioned) -> CurrentIncident:
    edits = {
        name: value
        for name in ("assignee", "severity", "title")
        if (value := getattr(fact, name)) is not None
    }
    turns = known.turns
    if kind := TURNS.get(fact.kind):
        place = {"revision": fact.revision or known.incident.revision, "change": fact.change}
        reason = _reason(fact) if kind == "resolve" else None
        turns = turns.having(Turn(kind=kind, reason=reason, **place))
    after = replace(
        known,
        change=fact.change,
        turns=turns,
        decided={**known.decided, **dict.fromkeys(edits, BY_OPERATOR)},
    )
    return _advanced(after, edits, None)


def _reason(fact: IncidentTransitioned) -> str:
    if fact.merged_into:
        return f"{MERGED} into {fact.merged_into}"
    return fact.resolve_reason or "resolved by operator"


def _advanced(
    after: CurrentIncident,
    changes: dict[str, Any],
    revision: int | None,
    joined: Sequence[int] = (),
) -> CurrentIncident:
    """*after* with *changes* of its incident, and *revision* ticked off."""
    standing = after.turns.standing
    changes |= {"status": standing.status, "resolve_reason": standing.resolve_reason}
    changes["quiet_since"] = after.quiet_since if standing.is_open else None
    missing, newest = after.missing, after.incident.revision
    if revision:
        overtaken = range(newest + 1, revision)[-MISSING_KEPT:]
        here = {revision, *joined}
        missing = tuple(r for r in (*missing, *overtaken) if r not in here)[-MISSING_KEPT:]
        changes["revision"] = max(newest, revision)
    return replace(after, incident=after.incident.model_copy(update=changes), missing=missing)


def _answered(known: CurrentIncident, fact: EnrichedIncident) -> CurrentIncident:
    if fact.revision > known.incident.revision:
        known = _caught_up(known, fact)
    state = explained_state(fact)
    modelled = known.modelled
    if fact.llm_insights.source in BY_MODEL:
        modelled = _newer(modelled, state)
    return replace(known, answered=_newer(known.answered, state), modelled=modelled)


def _caught_up(known: CurrentIncident, fact: EnrichedIncident) -> CurrentIncident:
    """The incident as *fact* contains it, when updates before that were not read."""
    snapshot = created(fact)
    return replace(
        snapshot,
        change=max(known.change, snapshot.change),
        decided=known.decided,
        answered=known.answered,
        modelled=known.modelled,
    )


def _newer(known: ExplainedState | None, state: ExplainedState) -> ExplainedState:
    return max(known, state, key=lambda one: one.place) if known else state


class Incidents:
    """Every incident that is known, by its id."""

    def __init__(self) -> None:
        self._open = BoundedDict[str, CurrentIncident](OPEN_KEPT)
        self._closed = BoundedDict[str, CurrentIncident](CLOSED_KEPT)
        self._early = BoundedDict[str, tuple[IncidentFact, ...]](EARLY_KEPT)

    def __len__(self) -> int:
        return len(self._open) + len(self._closed)

    def get(self, incident_id: str) -> CurrentIncident | None:
        return self._open.get(incident_id) or self._closed.get(incident_id)

    def open(self) -> Sequence[CurrentIncident]:
        """The open ones: those first of which something was heard last."""
        return [*reversed(self._open.values())]

    def fold(self, fact: IncidentFact) -> CurrentIncident | None:
        """The incident after *fact*; None while its creation is not known.

        Where that is older than what is read at start, a published explanation contains the
        incident as it was then.
        """
        incident_id = incident_of(fact)
        known = self.get(incident_id)
        if known is None and not isinstance(fact, Incident):
            facts = self._early.get(incident_id, ())
            self._early.put(incident_id, (*facts, fact)[-EARLY_FACTS:])
            return None
        if known is None and isinstance(fact, Incident):
            known = created(fact)
            for early in self._early.pop(incident_id, ()):
                known = evolve(known, early)
        assert known
        known = evolve(known, fact)
        self._open.pop(incident_id, None)
        self._closed.pop(incident_id, None)
        (self._open if known.is_open else self._closed).put(incident_id, known)
        return known


def incident_of(fact: IncidentFact) -> str:
    """The id of the incident that *fact* is about."""
    return fact.id if isinstance(fact, Incident) else fact.incident_id


def answer_of(
    current: CurrentIncident,
    insights: LlmInsights,
    similar: Sequence[SimilarIncident],
    stages: Stages,
) -> EnrichedIncident:
    """The incident as it is, with the explanation of that state. *stages* are its cause's."""
    fields = {name: getattr(current.incident, name) for name in Incident.model_fields}
    place = {"of_revision": current.incident.revision, "of_change": current.change}
    return EnrichedIncident.model_validate(
        fields
        | {
            "stages": stages,
            "llm_insights": insights.model_copy(update=place),
            "similar_incidents": tuple(similar),
        }
    )
