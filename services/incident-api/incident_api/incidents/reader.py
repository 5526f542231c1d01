"""Incidents as the API shows them: stored ones, with those in memory that cannot be stored yet.

While the store does not answer, memory alone is shown, and ``partial`` says why (decision 21).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from aiops_core.adapters.clickhouse_errors import TookTooLong
from aiops_core.errors import Unavailable
from aiops_core.models import Evidence, Incident
from aiops_core.spreads import wide_spreads
from incident_api.folding import StoredIncident
from incident_api.incidents.models import IncidentView
from incident_api.pages import PagePosition, Partial
from incident_api.problems import Problem
from incident_api.recorder import Recorder, ensure_recovered
from incident_api.rows import EventRow, micros
from incident_api.store import (
    IncidentFilter,
    IncidentStore,
    IncidentSummary,
    lines_of,
    problem_of,
    spread_places,
)

T = TypeVar("T")

TRACKING_IDS_SHOWN = 50_000


class IncidentReader:
    """Every method raises Unavailable for data that neither the store nor memory has."""

    def __init__(self, store: IncidentStore, recorder: Recorder, least: int) -> None:
        """A spread is shown as one when it is on *least* devices or more."""
        self._store, self._recorder, self._least = store, recorder, least

    async def page(
        self, where: IncidentFilter, after: PagePosition | None, most: int
    ) -> tuple[Sequence[IncidentSummary], Partial]:
        ensure_recovered(self._recorder)
        found, partial = await self._page(where, after, most)
        wide, unknown = await self._wide({one.spread for one in found if one.spread})
        widths = [{"spread_devices": wide.get(one.spread or "", 0)} for one in found]
        shown = [one.model_copy(update=n) for one, n in zip(found, widths, strict=True)]
        return shown, partial or unknown

    async def _wide(self, named: Collection[str]) -> tuple[Mapping[str, int], Partial]:
        """On how many devices those spreads are; as far as memory knows while the store is away, or
        while it takes too long."""
        known = (stored.incident for stored in self._recorder.registry.all())
        homes = self._recorder.edits.homes
        remembered = wide_spreads(spread_places(known, homes), self._least)
        try:
            return {**remembered, **await self._store.spreads(named, self._least, homes)}, None
        except Unavailable as exc:
            return remembered, f"on how many devices it is: {_why(exc)}"

    async def _page(
        self, where: IncidentFilter, after: PagePosition | None, most: int
    ) -> tuple[Sequence[IncidentSummary], Partial]:
        unstored = {
            id_: changed.stored.incident
            for id_, changed in self._recorder.unwritten().incidents.items()
        }
        homes = self._recorder.edits.homes
        where = replace(where, problem_id=homes.of(where.problem_id))
        try:
            stored = await self._store.page(where, after, most + len(unstored), homes)
        except Unavailable as exc:
            return self._remembered(where, after, most, exc), _why(exc)
        holding = {one.id for one in stored}
        newer = where.page(unstored.values(), after, most, holding, homes)
        older = [one for one in stored if one.id not in unstored]
        return where.sorted([*older, *map(self._summary, newer)])[:most], None

    def _summary(self, incident: Incident) -> IncidentSummary:
        return IncidentSummary.of(incident, self._recorder.edits.homes)

    def _remembered(
        self, where: IncidentFilter, after: PagePosition | None, most: int, problem: Unavailable
    ) -> Sequence[IncidentSummary]:
        """A line is in one incident. When that is not in memory, nothing is known of the line."""
        known = (stored.incident for stored in self._recorder.registry.all())
        found = where.page(known, after, most, homes=self._recorder.edits.homes)
        if isinstance(problem, TookTooLong) or (where.tracking_id and not found):
            raise problem
        return [self._summary(incident) for incident in found]

    async def view(self, incident_id: str) -> IncidentView:
        """Problem 404 for an unknown id."""
        ensure_recovered(self._recorder)
        return await self.viewed(await self._incident(incident_id))

    async def viewed(self, stored: StoredIncident) -> IncidentView:
        """*stored* with the tracking ids of all its members."""
        lines, partial = lines_of(stored.incident), None
        try:
            known = await self._store.tracking_ids(stored.incident.id, TRACKING_IDS_SHOWN)
            lines = dict.fromkeys((*known, *(lines if self._recorder.outage.problem else ())))
        except Unavailable as exc:
            partial = _why(exc)
        shown = self._at_home(stored)
        return IncidentView.of(shown, tuple(lines)[-TRACKING_IDS_SHOWN:], partial)

    def _at_home(self, stored: StoredIncident) -> StoredIncident:
        """*stored* with the problem that persons say it belongs to."""
        incident, homes = stored.incident, self._recorder.edits.homes
        if incident.recurrence is None:
            return stored
        home = incident.recurrence.but(problem_id=problem_of(incident, homes))
        changed = incident.model_copy(update={"recurrence": home})
        return stored.model_copy(update={"incident": changed})

    async def timeline(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> tuple[Sequence[EventRow], Partial]:
        ensure_recovered(self._recorder)
        partial = None
        try:
            stored = await self._store.timeline(incident_id, after, most)
            rows = _joined(stored, self._recorder.unwritten().events_of(incident_id), event_place)
        except Unavailable as exc:
            rows, partial = _timeline_of(self._memory_of(incident_id, exc)), _why(exc)
        found = [row for row in rows if not after or event_place(row) > after][:most]
        if not found:
            await self._incident(incident_id)
        return found, partial

    async def evidence(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> tuple[Sequence[Evidence], Partial]:
        ensure_recovered(self._recorder)
        partial = None
        try:
            stored = await self._store.evidence(incident_id, after, most)
            came, gone = self._recorder.unwritten().moves_of(incident_id)
            members = _joined(stored, came, member_place)
            rows = [one for one in members if one.anomaly_id not in gone]
        except Unavailable as exc:
            rows, partial = list(self._memory_of(incident_id, exc).evidence), _why(exc)
        found = [one for one in reversed(rows) if not after or member_place(one) < after][:most]
        if not found:
            await self._incident(incident_id)
        return found, partial

    async def find(self, incident_id: str) -> StoredIncident | None:
        known = self._recorder.registry.known(incident_id)
        return known or await self._store.incident(incident_id)

    async def _incident(self, incident_id: str) -> StoredIncident:
        stored = await self.find(incident_id)
        if stored is None:
            raise Problem(404, f"there is no incident {incident_id}")
        return stored

    def _memory_of(self, incident_id: str, problem: Unavailable) -> Incident:
        stored = self._recorder.registry.known(incident_id)
        if stored is None or isinstance(problem, TookTooLong):
            raise problem
        return stored.incident


def _why(problem: Unavailable) -> str:
    return f"{problem}; this is what incident-api has in memory"


def event_place(row: EventRow) -> tuple[int, str]:
    return row.ts, row.event_id


def member_place(one: Evidence) -> tuple[int, str]:
    return micros(one.ts), one.anomaly_id


def _joined(stored: Iterable[T], more: Iterable[T], place: Callable[[T], Any]) -> list[T]:
    """Each once, in order of *place*."""
    return sorted({place(one): one for one in (*stored, *more)}.values(), key=place)


def _timeline_of(incident: Incident) -> list[EventRow]:
    """The timeline that an incident carries, as if it were stored."""
    return [
        EventRow(f"~{n:04}", incident.id, micros(one.ts), one.kind, one.actor, one.text, "")
        for n, one in enumerate(incident.timeline)
    ]
