"""Pure: ``evolve`` folds a fact into the incident that the API shows.

Each fact counts once: a fact of correlation-service by its ``revision``, a transition by its
``change``, an explanation by its rank. After a kill a later revision may arrive before an earlier
one. The earlier one is then listed in ``missing``: it still adds its members, while of every other
field the value with the highest revision stands. So the order of arrival does not matter once the
creation is there. The revisions in a fact's ``joined`` never arrive on their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from pydantic import Field

from aiops_core.errors import Premature
from aiops_core.models import (
    EVIDENCE_KEPT,
    TRACKING_IDS_KEPT,
    EnrichedIncident,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    LlmInsights,
    Message,
    Record,
    Role,
    SimilarIncident,
    Status,
    UtcDatetime,
)
from incident_api.timeline import describe, newest_entries, with_entry

T = TypeVar("T")

MISSING_KEPT = 2048  # revisions that may still arrive late: as many as messages may be out
AFFECTED_KEPT = 1000  # devices, and services; the newest, as senders choose their own names
BY_OPERATOR = 1 << 60  # a revision above all others: what a person decided stays
SCALARS = ("severity", "title", "description", "category", "root_cause", "corr_keys")
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
    recorded_at: UtcDatetime
    insight_at: UtcDatetime | None = None
    insight_ms: float | None = Field(None, description="from creation to the first explanation")


PLACE = attrgetter("ts", "anomaly_id")


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
    return StoredIncident(
        incident=shown,
        revision=incident.revision,
        recorded_at=incident.stages.get("correlate", incident.created_at),
    )


def _update(stored: StoredIncident, fact: IncidentUpdated) -> StoredIncident:
    if not _is_new(stored, fact.revision):
        return stored
    decided = {
        name: fact.revision
        for name in SCALARS
        if getattr(fact, name) is not None and stored.decided.get(name, 1) < fact.revision
    }
    changes: dict[str, Any] = {name: getattr(fact, name) for name in decided}
    changes |= _absorb(stored.incident, fact.members) | _part(stored.incident, fact)
    if fact.reason or any(getattr(fact, name) is not None for name in SCALARS):
        changes["timeline"] = with_entry(stored.incident, describe(fact))
    return _advanced(stored, fact, changes, decided)


def _absorb(incident: Incident, members: Sequence[Evidence]) -> dict[str, Any]:
    """What changes when *members* join: they are facts, so they count whatever the status is."""
    if not members:
        return {}
    return {
        "evidence": _newest_evidence((*incident.evidence, *members)),
        "anomaly_count": incident.anomaly_count + len(members),
        "affected_devices": _united(
            incident.affected_devices, (m.device for m in members), AFFECTED_KEPT
        ),
        "affected_services": _united(
            incident.affected_services, (m.service for m in members), AFFECTED_KEPT
        ),
        "tracking_ids": _united(
            incident.tracking_ids, (m.tracking_id for m in members), TRACKING_IDS_KEPT
        ),
        "first_seen": min(incident.first_seen, *(m.ts for m in members)),
        "last_seen": max(incident.last_seen, *(m.ts for m in members)),
    }


def _part(incident: Incident, fact: IncidentUpdated) -> dict[str, Any]:
    """What changes when members leave for another incident."""
    if not fact.departed:
        return {}
    gone = set(fact.departed)
    return {
        "evidence": tuple(one for one in incident.evidence if one.anomaly_id not in gone),
        "anomaly_count": max(incident.anomaly_count - len(gone), 0),
        "affected_devices": fact.affected_devices or incident.affected_devices,
        "affected_services": fact.affected_services or incident.affected_services,
    }


def _clear(stored: StoredIncident, fact: IncidentCleared) -> StoredIncident:
    if not _is_new(stored, fact.revision):
        return stored
    changes: dict[str, Any] = {"timeline": with_entry(stored.incident, describe(fact))}
    if stored.incident.status in (Status.OPEN, Status.ACK):
        into = f" into {fact.merged_into}" if fact.merged_into else ""
        changes |= {"status": Status.RESOLVED, "resolve_reason": fact.resolve_reason + into}
    if fact.merged_into:  # the other has its members
        changes |= {"evidence": (), "anomaly_count": 0, "tracking_ids": ()}
    return _advanced(stored, fact, changes, {})


def _transition(stored: StoredIncident, fact: IncidentTransitioned) -> StoredIncident:
    if fact.change <= stored.change:
        return stored
    edits = {
        name: value
        for name in ("assignee", "severity", "title")
        if (value := getattr(fact, name)) is not None
    }
    changes = edits | _next_status(stored.incident.status, fact)
    changes["timeline"] = with_entry(stored.incident, describe(fact))
    after = _advanced(stored, fact, changes, dict.fromkeys(edits, BY_OPERATOR))
    return after.model_copy(update={"change": fact.change})


def _next_status(now: Status, fact: IncidentTransitioned) -> dict[str, Any]:
    """What becomes of the status; nothing when correlation was faster and the way is closed."""
    if fact.kind == "ack" and now is Status.OPEN:
        return {"status": Status.ACK}
    if fact.kind in ("resolve", "merge") and now in (Status.OPEN, Status.ACK):
        reason = f"merged into {fact.merged_into}" if fact.merged_into else fact.resolve_reason
        return {"status": Status.RESOLVED, "resolve_reason": reason or "resolved by operator"}
    if fact.kind == "reopen" and now in (Status.RESOLVED, Status.SUPPRESSED):
        return {"status": Status.OPEN, "resolve_reason": None}
    return {}


def _explain(stored: StoredIncident, fact: EnrichedIncident) -> StoredIncident:
    """The best explanation stands, in whatever order they come. The first sets the latency."""
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
    before = (RANK[stored.insights.source], stored.insight_at)
    return (RANK[fact.llm_insights.source], at) > before


EVOLVE: dict[type[Message], Callable[[StoredIncident, Any], StoredIncident]] = {
    IncidentUpdated: _update,
    IncidentCleared: _clear,
    IncidentTransitioned: _transition,
    EnrichedIncident: _explain,
}


def _is_new(stored: StoredIncident, revision: int) -> bool:
    return revision > stored.revision or revision in stored.missing


def _advanced(
    stored: StoredIncident, fact: Message, changes: dict[str, Any], decided: dict[str, int]
) -> StoredIncident:
    """One version further, with the fact's revision ticked off."""
    changes["updated_at"] = max(stored.incident.updated_at, _passed_at(fact))
    update: dict[str, Any] = {
        "incident": stored.incident.model_copy(update=changes),
        "version": stored.version + 1,
        "decided": stored.decided | decided,
    }
    if isinstance(fact, IncidentUpdated | IncidentCleared):
        update |= _ticked_off(stored, fact)
    return stored.model_copy(update=update)


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


def _newest_evidence(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The newest, oldest first. Duplicates only fill the room that members leave."""
    distinct: dict[str, Evidence] = {}
    for one in evidence:
        distinct.setdefault(one.anomaly_id, one)
    everything = sorted(distinct.values(), key=PLACE)  # nearly in order already
    surplus = max(len(everything) - EVIDENCE_KEPT, 0)
    repeats = (one.anomaly_id for one in everything if one.role is not Role.MEMBER)
    gone = set(islice(repeats, surplus))
    return tuple(one for one in everything if one.anomaly_id not in gone)[-EVIDENCE_KEPT:]


def _united(known: tuple[T, ...], more: Iterable[T], most: int) -> tuple[T, ...]:
    """*known*, which is distinct, then the new ones of *more*; the newest *most* of them."""
    wanted = dict.fromkeys(more)
    if wanted.keys().isdisjoint(known):  # nearly always, where many are known
        return (*known, *wanted)[-most:]
    return tuple(dict.fromkeys((*known, *wanted)))[-most:]
