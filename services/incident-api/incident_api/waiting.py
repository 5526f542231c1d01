"""Rows that wait for the store. A fact waits once, however often its message is delivered, so the
messages in flight bound what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple, TypeVar

from aiops_core.models import Evidence
from aiops_core.runtime.received import MessageKey
from incident_api.folding import StoredIncident
from incident_api.rows import (
    Batch,
    EventRow,
    IncidentRow,
    MemberFact,
    MemberRow,
    TableRow,
    fact_incident_id,
    incident_row,
    members_of,
)

V = TypeVar("V")


class WaitingEvent(NamedTuple):
    row: EventRow
    cause: MessageKey | None


class ChangedIncident(NamedTuple):
    """The newest version of an incident, and the messages that changed it since it was written."""

    stored: StoredIncident
    causes: frozenset[MessageKey] = frozenset()


@dataclass
class Waiting:
    """*placements* and *events* by the fact that they come from, *incidents* by their id."""

    placements: dict[str, MemberFact] = field(default_factory=dict)
    events: dict[str, WaitingEvent] = field(default_factory=dict)
    incidents: dict[str, ChangedIncident] = field(default_factory=dict)
    members: int = 0  # of all placements

    def __bool__(self) -> bool:
        return bool(self.placements or self.events or self.incidents)

    @property
    def size(self) -> int:
        """About so many rows."""
        return self.members + len(self.placements) + len(self.events) + len(self.incidents)

    def add_placement(self, fact_id: str, placement: MemberFact) -> None:
        """A placement that comes again keeps the time at which it was shown first."""
        if before := self.placements.get(fact_id):
            placement = placement._replace(shown_at=before.shown_at)
        else:
            self.members += len(members_of(placement.fact))
        self.placements[fact_id] = placement

    def add_event(self, row: EventRow, cause: MessageKey | None) -> None:
        self.events[row.event_id] = WaitingEvent(row, cause)

    def add_incident(self, stored: StoredIncident, cause: MessageKey | None = None) -> None:
        before = self.incidents.get(stored.incident.id)
        causes = before.causes if before else frozenset()
        self.incidents[stored.incident.id] = ChangedIncident(
            stored, causes | {cause} if cause else causes
        )

    def taken(self, only: Collection[str] | None = None) -> Waiting:
        """A copy of everything; with *only*, of these incidents without events and members."""
        if only is None:
            return Waiting(dict(self.placements), dict(self.events), dict(self.incidents))
        incidents = {id_: self.incidents[id_] for id_ in only if id_ in self.incidents}
        return Waiting(incidents=incidents)

    def remove(self, written: Waiting) -> None:
        """*written* is stored. Whatever has changed since it was taken waits on."""
        for fact_id, placement in _same(self.placements, written.placements):
            self.members -= len(members_of(placement.fact))
            del self.placements[fact_id]
        for event_id, _ in _same(self.events, written.events):
            del self.events[event_id]
        for incident_id, (stored, causes) in written.incidents.items():
            now = self.incidents.pop(incident_id, None)
            if now and now.stored is not stored:
                self.incidents[incident_id] = now._replace(causes=now.causes - causes)

    def causes_of(self, row: TableRow) -> AbstractSet[MessageKey]:
        """The messages that *row* was made of."""
        causes: set[MessageKey | None] = set()
        if isinstance(row, IncidentRow) and row.id in self.incidents:
            causes |= self.incidents[row.id].causes
        elif isinstance(row, MemberRow):
            causes = {one.cause for one in self.placements.values() if one.version == row.version}
        elif isinstance(row, EventRow):
            causes = {self.events[row.event_id].cause}
        return {cause for cause in causes if cause}

    async def batch(self) -> Batch:
        """The rows. One takes up to a millisecond to make: it yields after each."""
        members: list[MemberRow] = []
        for placement in self.placements.values():
            members += placement.rows()
            await asyncio.sleep(0)
        incidents = []
        for changed in self.incidents.values():
            incidents.append(incident_row(changed.stored))
            await asyncio.sleep(0)
        events = [event.row for event in self.events.values()]
        return Batch.of(members=members, incidents=incidents, events=events)

    def events_of(self, incident_id: str) -> list[EventRow]:
        return [e.row for e in self.events.values() if e.row.incident_id == incident_id]

    def members_of(self, incident_id: str) -> tuple[list[Evidence], AbstractSet[str]]:
        """New members of an incident, and the ids of those that have left it."""
        came: dict[str, Evidence] = {}
        gone: set[str] = set()
        for placement in sorted(self.placements.values(), key=attrgetter("version")):
            for one in members_of(placement.fact):
                if fact_incident_id(placement.fact) == incident_id:
                    came[one.anomaly_id] = one
                    gone.discard(one.anomaly_id)
                elif one.moved_from == incident_id:
                    gone.add(one.anomaly_id)
        return list(came.values()), gone


def _same(now: Mapping[str, V], before: Mapping[str, V]) -> list[tuple[str, V]]:
    return [(key, value) for key, value in before.items() if now.get(key) is value]
