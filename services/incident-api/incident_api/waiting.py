"""What is told and shown but not written yet. A fact waits here once, however often its message is delivered, so that
the messages that are out bound it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from aiops_core.models import Evidence
from aiops_core.runtime.bus import Delivery
from incident_api.folding import StoredIncident
from incident_api.rows import (
    Batch,
    Ended,
    EventRow,
    IncidentRow,
    MemberRow,
    TableRow,
    fact_incident_id,
    incident_row,
    members_of,
)

Causes = dict[str, dict[str, Delivery]]  # by incident; the messages by their id


class Shown(NamedTuple):
    """Anomalies that have ended, when that was shown first, and the message that says so."""

    ended: Ended
    at: int
    cause: Delivery | None


class Told(NamedTuple):
    row: EventRow
    cause: Delivery | None


@dataclass
class Waiting:
    """*shown* and *told* are by the fact that they tell of. *causes* are the messages that have changed an incident since
    its row was written."""

    shown: dict[str, Shown] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    causes: Causes = field(default_factory=dict)
    incidents: Sequence[StoredIncident] = ()
    members: int = 0  # of all that is shown

    @property
    def size(self) -> int:
        """About so many rows."""
        return self.members + len(self.shown) + len(self.told) + len(self.incidents)

    def show(self, fact_id: str, shown: Shown) -> None:
        if before := self.shown.get(fact_id):
            shown = shown._replace(at=before.at)
        else:
            self.members += len(members_of(shown.ended.fact))
        self.shown[fact_id] = shown

    def note(self, incident_id: str, cause: Delivery | None) -> None:
        if cause:
            self.causes.setdefault(incident_id, {})[cause.id] = cause

    def take(self, incidents: Sequence[StoredIncident]) -> Waiting:
        """All that waits, and *incidents*."""
        causes = self._causes_of(incidents)
        taken = Waiting(self.shown, self.told, causes, incidents, self.members)
        self.shown, self.told, self.members = {}, {}, 0
        return taken

    def take_told(self, ids: Iterable[str], incidents: Sequence[StoredIncident]) -> Waiting:
        """The events *ids*, and *incidents*."""
        told = {id_: self.told.pop(id_) for id_ in ids if id_ in self.told}
        return Waiting({}, told, self._causes_of(incidents), incidents)

    def put_back(self, taken: Waiting) -> None:
        """*taken* could not be written. What has come again meanwhile stays as it came last."""
        for fact_id, shown in self.shown.items():
            taken.show(fact_id, shown)
        self.shown, self.members = taken.shown, taken.members
        self.told = taken.told | self.told
        for incident_id, causes in taken.causes.items():
            self.causes[incident_id] = causes | self.causes.get(incident_id, {})

    def _causes_of(self, incidents: Sequence[StoredIncident]) -> Causes:
        ids = [stored.incident.id for stored in incidents]
        return {id_: self.causes.pop(id_) for id_ in ids if id_ in self.causes}

    def causes_of(self, row: TableRow) -> Sequence[Delivery]:
        """The messages that *row* was made of."""
        if isinstance(row, IncidentRow):
            return list(self.causes.get(row.id, {}).values())
        causes: list[Delivery | None] = []
        if isinstance(row, MemberRow):
            causes = [one.cause for one in self.shown.values() if one.ended.version == row.version]
        elif isinstance(row, EventRow):
            causes = [self.told[row.event_id].cause]
        return [cause for cause in causes if cause]

    def forget(self, cause: Delivery, row: IncidentRow) -> None:
        """*cause* is none of the messages any more that *row* was made of."""
        del self.causes[row.id][cause.id]
        if not self.causes[row.id]:
            del self.causes[row.id]

    async def batch(self) -> Batch:
        """The rows. To make one takes up to a millisecond: others of this process have a turn in between."""
        members: list[MemberRow] = []
        for shown in self.shown.values():
            members += shown.ended.rows(shown.at)
            await asyncio.sleep(0)
        incidents = []
        for stored in self.incidents:
            incidents.append(incident_row(stored))
            await asyncio.sleep(0)
        events = [told.row for told in self.told.values()]
        return Batch.of(members=members, incidents=incidents, events=events)


def untold(unwritten: Iterable[Waiting], incident_id: str) -> list[EventRow]:
    """The events of an incident."""
    rows = (told.row for waiting in unwritten for told in waiting.told.values())
    return [row for row in rows if row.incident_id == incident_id]


def moved(
    unwritten: Iterable[Waiting], incident_id: str
) -> tuple[Sequence[Evidence], AbstractSet[str]]:
    """The members of an incident, and the ids of those that have left it."""
    came: dict[str, Evidence] = {}
    gone: set[str] = set()
    facts = [shown.ended for waiting in unwritten for shown in waiting.shown.values()]
    for ended in sorted(facts, key=attrgetter("version")):
        for one in members_of(ended.fact):
            if fact_incident_id(ended.fact) == incident_id:
                came[one.anomaly_id] = one
                gone.discard(one.anomaly_id)
            elif one.moved_from == incident_id:
                gone.add(one.anomaly_id)
    return list(came.values()), gone
