"""Pure: ``evolve`` folds a fact into the incident that the API shows.

Each fact counts once: a fact of correlation-service by its ``revision``, a transition by its
``change``, an explanation by the state that it explains and by its rank. After a kill a later
revision may arrive before an earlier one. The earlier one is then listed in ``missing``: it still
adds its members, while of every other field the value with the highest revision stands. So the
order of arrival does not matter once the creation is there. The revisions in a fact's ``joined``
never arrive on their own. ``aiops_core.standing`` decides the status likewise, ``occurrences.py``
when the problem came and went.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import Field

from aiops_core.errors import Premature
from aiops_core.membership import absorbed, names_a_field, parted, said_of
from aiops_core.models import (
    EnrichedIncident,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    LlmInsights,
    Message,
    Record,
    SimilarIncident,
    UtcDatetime,
)
from aiops_core.standing import StatusNow, Turn, TurnKind, Turns
from incident_api.occurrences import (
    Extent,
    FoldedOccurrence,
    OccurrencePause,
    Occurrences,
    OccurrenceStart,
)
from incident_api.timeline import describe, ending_of, newest_entries, note_of, with_entry

MISSING_KEPT = 2048  # revisions that may still arrive late: as many as messages may be out
BY_OPERATOR = 1 << 60  # a revision above all others: what a person decided stays
RANK = {"rules": 0, "cache": 1, "llm": 2}


class StoredIncident(Record):
    """An incident with what is needed to fold the next fact into it."""

    incident: Incident
    insights: LlmInsights | None = None
    similar: tuple[SimilarIncident, ...] = ()
    version: int = 1
    revision: int = 1
    missing: tuple[int, ...] = Field(default=(), description="revisions that have been overtaken")
    change: int = 0
    decided: dict[str, int] = Field(
        default_factory=dict, description="per field, the revision that set it"
    )
    turns: Turns | None = Field(default=None, description="None: of a former release")
    quiet_since: UtcDatetime | None = Field(
        default=None, description="since then nothing was seen, whatever the status is"
    )
    recovered: UtcDatetime | None = Field(default=None, description="newest recovery of a part")
    occurrences: Occurrences = Field(default_factory=Occurrences)
    recorded_at: UtcDatetime
    insight_at: UtcDatetime | None = None
    insight_ms: float | None = Field(None, description="from creation to the first explanation")


def evolve(stored: StoredIncident | None, fact: Message) -> StoredIncident:
    """The incident after *fact*; the same object when the fact had been folded before.

    Raises Premature when its creation has not arrived yet.
    """
    if isinstance(fact, Incident) and not isinstance(fact, EnrichedIncident):
        return stored or create(fact)
    if stored is None:
        raise Premature("the incident's creation has not arrived yet")
    return EVOLVE[type(fact)](stored, fact)


def create(incident: Incident) -> StoredIncident:
    known = [entry for entry in incident.timeline if entry.kind != "created"]
    timeline = newest_entries((describe(incident), *known))
    shown = incident.model_copy(update={"timeline": timeline})
    stored = StoredIncident(
        incident=shown,
        revision=incident.revision,
        turns=Turns(settled=_shown_standing(incident)),
        quiet_since=incident.quiet_since,
        recorded_at=incident.stages.get("correlate", incident.created_at),
    )
    return stored.model_copy(update=_started(stored, incident, incident.first_seen))


def _update(stored: StoredIncident, fact: IncidentUpdated) -> StoredIncident:
    if not _is_new(stored, fact.revision):
        return stored
    said = {
        name: value
        for name, value in said_of(fact).items()
        if stored.decided.get(name, 1) < fact.revision
    }
    decided = dict.fromkeys(said, fact.revision)
    fold = _occurred(stored, fact)
    if "quiet_since" in said:
        fold["quiet_since"] = said.pop("quiet_since")
    if fact.reopens:
        fold["turns"] = _turns(stored).having(Turn(revision=fact.revision, kind="return"))
    changes = said | absorbed(stored.incident, fact.members) | parted(stored.incident, fact)
    if fact.reason or fact.reopens or fact.quiet_since or names_a_field(fact):
        changes["timeline"] = with_entry(stored.incident, describe(fact))
    return _advanced(stored, fact, changes, decided, fold)


def _occurred(stored: StoredIncident, fact: IncidentUpdated) -> dict[str, Any]:
    """What *fact* says of occurrences: one begins, goes on, or is over while its incident waits."""
    changes: dict[str, Any] = {}
    if fact.cleared:
        changes["recovered"] = max(stored.recovered or fact.ts, fact.ts)
    if fact.reopens or (fact.recurrence and fact.members):
        began = min((member.ts for member in fact.members), default=fact.ts)
        changes |= _started(stored, fact, began)
        known: Occurrences = changes.get("occurrences", stored.occurrences)
        changes["occurrences"] = known.paused(OccurrencePause(revision=fact.revision, at=None))
    elif fact.recurrence and fact.quiet_since:
        ending, _, note = fact.recurrence.resolved_before.partition(": ")
        changes["occurrences"] = stored.occurrences.paused(
            _pause(stored, fact.revision, fact.quiet_since, ending, note)
        )
    return changes


def _started(
    stored: StoredIncident, fact: Incident | IncidentUpdated, began: datetime
) -> dict[str, Any]:
    if (said := fact.recurrence) is None:
        return {}
    last = min(stored.incident.last_seen, began)
    start = OccurrenceStart(
        problem_id=said.problem_id,
        number=said.occurrence,
        revision=fact.revision,
        began=began,
        before=_pause(stored, fact.revision, last),
    )
    return {"occurrences": stored.occurrences.started(start)}


def _pause(
    stored: StoredIncident, revision: int, at: datetime, ending: str = "", note: str = ""
) -> OccurrencePause:
    return OccurrencePause(
        revision=revision, at=at, ending=ending, note=note, **_extent(stored.incident)._asdict()
    )


def _extent(incident: Incident) -> Extent:
    return Extent(incident.severity.value, len(incident.affected_devices))


def occurrences_of(stored: StoredIncident) -> list[FoldedOccurrence]:
    """The newest occurrences within the incident, oldest first."""
    return list(stored.occurrences.all(_extent(stored.incident)))


def _clear(stored: StoredIncident, fact: IncidentCleared) -> StoredIncident:
    if not _is_new(stored, fact.revision):
        return stored
    changes: dict[str, Any] = {"timeline": with_entry(stored.incident, describe(fact))}
    ending = ending_of(fact)
    if fact.merged_into:  # the other has its members
        changes |= {"evidence": (), "anomaly_count": 0, "tracking_ids": ()}
    turn = Turn(revision=fact.revision, kind="clear", reason=ending)
    seen = stored.incident.last_seen
    pause = _pause(
        stored, fact.revision, max(seen, stored.recovered or seen), ending, note_of(fact)
    )
    fold = {
        "turns": _turns(stored).having(turn),
        "occurrences": stored.occurrences.paused(pause),
    }
    return _advanced(stored, fact, changes, {}, fold)


TURNS_BY_OPERATOR: dict[str, TurnKind] = {
    "ack": "ack",
    "resolve": "resolve",
    "merge": "resolve",
    "reopen": "reopen",
}


def _transition(stored: StoredIncident, fact: IncidentTransitioned) -> StoredIncident:
    if fact.change <= stored.change:
        return stored
    edits = {
        name: value
        for name in ("assignee", "severity", "title")
        if (value := getattr(fact, name)) is not None
    }
    changes: dict[str, Any] = dict(edits)
    changes["timeline"] = with_entry(stored.incident, describe(fact))
    fold = {"change": fact.change} | _turned(stored, fact)
    return _advanced(stored, fact, changes, dict.fromkeys(edits, BY_OPERATOR), fold)


def _turned(stored: StoredIncident, fact: IncidentTransitioned) -> dict[str, Any]:
    """What becomes of status and occurrence."""
    kind = TURNS_BY_OPERATOR.get(fact.kind)
    if kind is None:
        return {}
    place = {"revision": fact.revision or stored.revision, "change": fact.change}
    reason = _reason(fact) if kind == "resolve" else None
    turns = _turns(stored).having(Turn(kind=kind, reason=reason, **place))
    if kind == "ack":
        return {"turns": turns}
    said = f"{fact.actor}: {fact.comment}" if fact.comment else fact.actor
    at = fact.ts if kind == "resolve" else None
    extent = _extent(stored.incident)._asdict()
    pause = OccurrencePause(at=at, ending=reason or "", note=said, **place, **extent)
    return {"turns": turns, "occurrences": stored.occurrences.paused(pause)}


def _reason(fact: IncidentTransitioned) -> str:
    if fact.merged_into:
        return f"merged into {fact.merged_into}"
    return fact.resolve_reason or "resolved by operator"


def _turns(stored: StoredIncident) -> Turns:
    return stored.turns or Turns(settled=_shown_standing(stored.incident))


def _shown_standing(incident: Incident) -> StatusNow:
    return StatusNow(status=incident.status, resolve_reason=incident.resolve_reason)


def _explain(stored: StoredIncident, fact: EnrichedIncident) -> StoredIncident:
    """Of the newest state that was explained the best explanation stands, in whatever order they
    come. The first of all sets the latency."""
    at = fact.stages.get("insight", fact.ts)
    asked = stored.incident.stages.get("correlate", stored.incident.created_at)
    took = max((at - asked).total_seconds() * 1000, 0.0)
    changes: dict[str, Any] = {}
    if stored.insight_ms is None or took < stored.insight_ms:
        changes["insight_ms"] = took
    if _is_better(stored, fact, at):
        changes |= {
            "insights": fact.llm_insights,
            "similar": fact.similar_incidents,
            "insight_at": at,
        }
    if not changes:
        return stored
    return _advanced(stored, fact, {}, {}).model_copy(update=changes)


def _is_better(stored: StoredIncident, fact: EnrichedIncident, at: datetime) -> bool:
    if stored.insights is None or stored.insight_at is None:
        return True
    return _worth(fact.llm_insights, at) > _worth(stored.insights, stored.insight_at)


def _worth(insights: LlmInsights, at: datetime) -> tuple[int, int, int, datetime]:
    return insights.of_revision, insights.of_change, RANK[insights.source], at


EVOLVE: dict[type[Message], Callable[[StoredIncident, Any], StoredIncident]] = {
    IncidentUpdated: _update,
    IncidentCleared: _clear,
    IncidentTransitioned: _transition,
    EnrichedIncident: _explain,
}


def _is_new(stored: StoredIncident, revision: int) -> bool:
    return revision > stored.revision or revision in stored.missing


def _advanced(
    stored: StoredIncident,
    fact: Message,
    changes: dict[str, Any],
    decided: dict[str, int],
    fold: dict[str, Any] | None = None,
) -> StoredIncident:
    """One version further, with the fact's revision ticked off. *changes* are of the incident,
    *fold* of what is stored with it."""
    after, standing = stored.model_copy(update=fold or {}), _shown_standing(stored.incident)
    if fold and "turns" in fold:
        standing = _turns(after).standing
        changes |= {"status": standing.status, "resolve_reason": standing.resolve_reason}
    changes["quiet_since"] = after.quiet_since if standing.is_open else None
    changes["updated_at"] = max(stored.incident.updated_at, _passed_at(fact))
    update: dict[str, Any] = {
        "incident": stored.incident.model_copy(update=changes),
        "version": stored.version + 1,
        "decided": stored.decided | decided,
    }
    if isinstance(fact, IncidentUpdated | IncidentCleared):
        update |= _ticked_off(stored, fact)
    return after.model_copy(update=update)


def _ticked_off(stored: StoredIncident, fact: IncidentUpdated | IncidentCleared) -> dict[str, Any]:
    overtaken = range(stored.revision + 1, fact.revision)[-MISSING_KEPT:]
    here = {fact.revision, *(fact.joined if isinstance(fact, IncidentUpdated) else ())}
    missing = tuple(r for r in (*stored.missing, *overtaken) if r not in here)
    return {
        "revision": max(stored.revision, fact.revision),
        "missing": missing[-MISSING_KEPT:],
    }


def _passed_at(fact: Message) -> datetime:
    """When the platform decided the fact; ``store`` is this service's own, later time."""
    passed = [at for stage, at in fact.stages.items() if stage != "store"]
    return max(passed, default=fact.ts)
