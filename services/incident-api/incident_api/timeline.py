"""Facts in words, and the bounded timeline that an incident carries. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from aiops_core.models import (
    EnrichedIncident,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Recurrence,
    TimelineEntry,
)

TIMELINE_KEPT = 100  # newest entries that an incident carries; incident_events has all
CORRELATION = "correlation-service"
PROBABLY = "probably"  # of an end that nobody stated


def describe(fact: Message) -> TimelineEntry:
    """The fact in words, as the timeline shows it."""
    return _WORDS[type(fact)](fact)


def _creation_words(fact: Incident) -> TimelineEntry:
    return creation(fact.timeline) or TimelineEntry(
        ts=fact.ts, kind="created", text=fact.title, actor=CORRELATION
    )


def _update_words(fact: IncidentUpdated) -> TimelineEntry:
    parts = [fact.reason] if fact.reason else []
    if fact.members:
        joined = len(fact.members)
        parts.append(f"{joined} anomalies joined" if joined > 1 else "1 anomaly joined")
    if fact.severity:
        parts.append(f"severity is now {fact.severity}")
    kind = "reopened" if fact.reopens else "quiet" if fact.quiet_since else "updated"
    text = "; ".join(parts) or kind
    if fact.reopens:
        text = f"reopened: {'; '.join([*_times(fact.recurrence), *parts]) or 'it is back'}"
    return TimelineEntry(ts=fact.ts, kind=kind, text=text, actor=CORRELATION)


def _times(recurrence: Recurrence | None) -> list[str]:
    if recurrence is None or recurrence.occurrence == 1:
        return []
    often = f", {recurrence.cadence}" if recurrence.cadence else ""
    return [f"occurrence {recurrence.occurrence}{often}"]


def _clear_words(fact: IncidentCleared) -> TimelineEntry:
    ending = "merged" if fact.merged_into else ending_of(fact)
    if fact.confidence < 1:
        ending += f" ({fact.confidence:.0%} sure)"
    note = note_of(fact)
    text = f"{ending}: {note}" if note else ending
    return TimelineEntry(ts=fact.ts, kind="cleared", text=text, actor=CORRELATION)


def ending_of(fact: IncidentCleared) -> str:
    """How it ended, in a few words; an end that is inferred says so."""
    if fact.merged_into:
        return f"{fact.resolve_reason} into {fact.merged_into}"
    return fact.resolve_reason if fact.confidence == 1 else f"{PROBABLY} {fact.resolve_reason}"


def note_of(fact: IncidentCleared) -> str:
    """Why it is over, without repeating that this is only probable."""
    return fact.note.removeprefix(f"{PROBABLY}: ")


def _transition_words(fact: IncidentTransitioned) -> TimelineEntry:
    said = {
        "assignee": fact.assignee,
        "severity": fact.severity,
        "title": fact.title,
        "reason": fact.resolve_reason,
        "merged into": fact.merged_into,
    }
    parts = [f"{name} {value}" for name, value in said.items() if value]
    text = "; ".join([fact.comment, *parts] if fact.comment else parts) or fact.kind
    return TimelineEntry(ts=fact.ts, kind=fact.kind, text=text, actor=fact.actor)


def _insight_words(fact: EnrichedIncident) -> TimelineEntry:
    insight = fact.llm_insights
    text = f"explained by {insight.source}: {insight.root_cause}"
    at = fact.stages.get("insight", fact.ts)
    return TimelineEntry(ts=at, kind="insight", text=text, actor="llm-enricher")


_WORDS: dict[type[Message], Callable[[Any], TimelineEntry]] = {
    Incident: _creation_words,
    IncidentUpdated: _update_words,
    IncidentCleared: _clear_words,
    IncidentTransitioned: _transition_words,
    EnrichedIncident: _insight_words,
}


PLACE = attrgetter("ts", "kind", "text", "actor")


def creation(timeline: Sequence[TimelineEntry]) -> TimelineEntry | None:
    return next((entry for entry in timeline if entry.kind == "created"), None)


def with_entry(incident: Incident, entry: TimelineEntry) -> tuple[TimelineEntry, ...]:
    entries = (*incident.timeline, entry)
    is_sorted = len(entries) > 1 and PLACE(entries[-2]) <= PLACE(entry)
    if is_sorted and len(entries) <= TIMELINE_KEPT:  # the common case
        return entries
    return newest_entries(entries)


def newest_entries(entries: Sequence[TimelineEntry]) -> tuple[TimelineEntry, ...]:
    """The newest in order of time, and always the creation, first."""
    created = creation(entries)
    others = sorted((entry for entry in entries if entry is not created), key=PLACE)
    return (*((created,) if created else ()), *others[-(TIMELINE_KEPT - 1) :])
