"""Rows that wait for the store. A fact waits once, however often its message is delivered, so the
messages in flight bound what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple, TypeVar

from aiops_core.models import Evidence, Message, ProblemEdited
from aiops_core.runtime.received import MessageKey
from incident_api.folding import StoredIncident
from incident_api.rows import (
    Batch,
    EditRow,
    EventRow,
    IncidentRow,
    MemberRow,
    OccurrenceRow,
    TableRow,
    edit_row,
    fact_incident_id,
    incident_row,
    member_rows,
    members_of,
    occurrence_rows,
)

K = TypeVar("K")
V = TypeVar("V")


class MemberFact(NamedTuple):
    """A fact that says where anomalies ended: in an incident, or suppressed."""

    fact: Message
    version: int  # its sequence
    shown_at: int = 0  # microseconds
    cause: MessageKey | None = None


class WaitingEvent(NamedTuple):
    row: EventRow
    cause: MessageKey | None


class WaitingEdit(NamedTuple):
    row: EditRow
    cause: MessageKey | None


@dataclass(slots=True)
class ChangedIncident:
    """The newest version of an incident, with the messages that changed it and the occurrences
    that changed within it since it was written."""

    stored: StoredIncident
    causes: set[MessageKey] = field(default_factory=set)
    occurrences: dict[tuple[str, int], OccurrenceRow] = field(default_factory=dict)

    def copy(self) -> ChangedIncident:
        return ChangedIncident(self.stored, set(self.causes), dict(self.occurrences))

    def forget(self, written: ChangedIncident) -> None:
        """An earlier version is stored."""
        self.causes -= written.causes
        for key, _ in _same(self.occurrences, written.occurrences):
            del self.occurrences[key]


@dataclass
class Waiting:
    """Member facts and events by an id of their fact, incidents by their own, edits of problems by
    problem and number."""

    facts: dict[str, MemberFact] = field(default_factory=dict)
    events: dict[str, WaitingEvent] = field(default_factory=dict)
    incidents: dict[str, ChangedIncident] = field(default_factory=dict)
    edits: dict[tuple[str, int], WaitingEdit] = field(default_factory=dict)
    members: int = 0  # of all facts

    def __bool__(self) -> bool:
        return bool(self.facts or self.events or self.incidents or self.edits)

    @property
    def size(self) -> int:
        """About so many rows."""
        rows = self.members + len(self.facts) + len(self.events)
        return rows + len(self.incidents) + len(self.edits)

    def add_fact(self, fact_id: str, fact: MemberFact) -> None:
        """A fact that comes again keeps the time at which it was shown first."""
        if before := self.facts.get(fact_id):
            fact = fact._replace(shown_at=before.shown_at)
        else:
            self.members += len(members_of(fact.fact))
        self.facts[fact_id] = fact

    def add_event(self, row: EventRow, cause: MessageKey | None) -> None:
        self.events[row.event_id] = WaitingEvent(row, cause)

    def add_incident(
        self,
        stored: StoredIncident,
        cause: MessageKey | None = None,
        before: StoredIncident | None = None,
    ) -> None:
        """*before* is the version that *cause* has changed; None: all of it is new."""
        changed = self.incidents.setdefault(stored.incident.id, ChangedIncident(stored))
        changed.stored = stored
        for row in occurrence_rows(before, stored):
            changed.occurrences[row.problem_id, row.occurrence] = row
        if cause:
            changed.causes.add(cause)

    def add_edit(self, edit: ProblemEdited, cause: MessageKey | None) -> None:
        self.edits[edit.problem_id, edit.change] = WaitingEdit(edit_row(edit), cause)

    def taken(self, only: Collection[str] | None = None) -> Waiting:
        """A copy of everything; with *only*, of these incidents without events and members."""
        incidents = {
            id_: one.copy() for id_, one in self.incidents.items() if only is None or id_ in only
        }
        if only is not None:
            return Waiting(incidents=incidents)
        return Waiting(dict(self.facts), dict(self.events), incidents, dict(self.edits))

    def remove(self, written: Waiting) -> None:
        """*written* is stored. Whatever has changed since it was taken waits on."""
        for fact_id, fact in _same(self.facts, written.facts):
            self.members -= len(members_of(fact.fact))
            del self.facts[fact_id]
        for event_id, _ in _same(self.events, written.events):
            del self.events[event_id]
        for key, _ in _same(self.edits, written.edits):
            del self.edits[key]
        for incident_id, one in written.incidents.items():
            now = self.incidents.get(incident_id)
            if now and now.stored is one.stored:
                del self.incidents[incident_id]
            elif now:
                now.forget(one)

    def causes_of(self, row: TableRow) -> AbstractSet[MessageKey]:
        """The messages that *row* was made of."""
        causes: set[MessageKey | None] = set()
        if isinstance(row, IncidentRow) and row.id in self.incidents:
            causes |= self.incidents[row.id].causes
        elif isinstance(row, OccurrenceRow) and row.incident_id in self.incidents:
            causes |= self.incidents[row.incident_id].causes
        elif isinstance(row, EditRow):
            causes = {self.edits[row.problem_id, row.change].cause}
        elif isinstance(row, MemberRow):
            causes = {one.cause for one in self.facts.values() if one.version == row.version}
        elif isinstance(row, EventRow):
            causes = {self.events[row.event_id].cause}
        return {cause for cause in causes if cause}

    async def batch(self) -> Batch:
        """The rows. One takes up to a millisecond to make: it yields after each."""
        rows: list[TableRow] = [event.row for event in self.events.values()]
        rows += [edit.row for edit in self.edits.values()]
        for fact in self.facts.values():
            rows += member_rows(fact.fact, fact.version, fact.shown_at)
            await asyncio.sleep(0)
        for changed in self.incidents.values():
            rows += [*changed.occurrences.values(), incident_row(changed.stored)]
            await asyncio.sleep(0)
        return Batch(rows)

    def events_of(self, incident_id: str) -> list[EventRow]:
        return [e.row for e in self.events.values() if e.row.incident_id == incident_id]

    def moves_of(self, incident_id: str) -> tuple[list[Evidence], AbstractSet[str]]:
        """New members of an incident, and the ids of those that have left it."""
        came: dict[str, Evidence] = {}
        gone: set[str] = set()
        for fact in sorted(self.facts.values(), key=attrgetter("version")):
            for one in members_of(fact.fact):
                if fact_incident_id(fact.fact) == incident_id:
                    came[one.anomaly_id] = one
                    gone.discard(one.anomaly_id)
                elif one.moved_from == incident_id:
                    gone.add(one.anomaly_id)
        return list(came.values()), gone


def _same(now: Mapping[K, V], before: Mapping[K, V]) -> list[tuple[K, V]]:
    return [(key, value) for key, value in before.items() if now.get(key) is value]
