"""The ports of incident-api to its store, in memory; they pass the contract tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from aiops_core.errors import Unavailable
from aiops_core.models import Device, Evidence, Incident, ProblemEdited, Severity, Status
from aiops_core.spreads import wide_spreads
from incident_api.devices.models import UnknownHost
from incident_api.folding import StoredIncident
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemHomes
from incident_api.recurrence.models import problem_place
from incident_api.recurrence.store import (
    Ending,
    ProblemFilter,
    ProblemSummary,
    StoredOccurrence,
    occurrence_place,
    times_of,
)
from incident_api.rows import (
    MOVED,
    AnomalyRow,
    Batch,
    DigestedRow,
    EditRow,
    EventRow,
    IncidentRow,
    MemberRow,
    OccurrenceRow,
    TableRow,
    stored_incident,
)
from incident_api.store import (
    AS_NAMED,
    IncidentFilter,
    IncidentSummary,
    problem_of,
    spread_of,
    spread_places,
)


class MemoryStore:
    """Rows by key, as ReplacingMergeTree keeps them. While *problem* is set, nothing works."""

    def __init__(self) -> None:
        self.anomalies: dict[str, AnomalyRow] = {}
        self.digested: dict[str, DigestedRow] = {}
        self.members: dict[tuple[str, str, str], MemberRow] = {}
        self.incidents: dict[str, IncidentRow] = {}
        self.events: dict[str, EventRow] = {}
        self.occurrences: dict[tuple[str, str, int], OccurrenceRow] = {}
        self.edited: dict[tuple[str, int], EditRow] = {}
        self.writes = 0
        self.problem: str | None = None

    async def write(self, batch: Batch) -> None:
        self._check()
        self.writes += 1
        for row in batch.rows:
            match row:
                case DigestedRow():
                    self.digested[row.anomaly_id] = row
                case EditRow():
                    self.edited[row.problem_id, row.change] = row
                case EventRow():
                    self.events[row.event_id] = row
                case _:
                    self._replace(row)

    def _replace(self, row: TableRow) -> None:
        """Of rows with the same key the newest version holds."""
        match row:
            case AnomalyRow():
                _keep_newest(self.anomalies, row.anomaly_id, row)
            case IncidentRow():
                _keep_newest(self.incidents, row.id, row)
            case MemberRow():
                _keep_newest(self.members, (row.tracking_id, row.anomaly_id, row.place), row)
            case OccurrenceRow():
                key = (row.problem_id, row.incident_id, row.occurrence)
                _keep_newest(self.occurrences, key, row)

    async def incident(self, incident_id: str) -> StoredIncident | None:
        self._check()
        row = self.incidents.get(incident_id)
        return stored_incident(row.body, row.fold) if row else None

    async def newest_open(self, most: int) -> Sequence[StoredIncident]:
        self._check()
        alive = [row for row in self.incidents.values() if row.status in (Status.OPEN, Status.ACK)]
        return _stored(sorted(alive, key=lambda r: (r.updated_at, r.id), reverse=True)[:most])

    async def page(
        self,
        where: IncidentFilter,
        after: PagePosition | None,
        most: int,
        homes: ProblemHomes = AS_NAMED,
    ) -> Sequence[IncidentSummary]:
        self._check()
        incidents = [one.incident for one in _stored(self.incidents.values())]
        if where.tracking_id:
            lines = {(row.incident_id, row.tracking_id) for row in self.present()}
            incidents = [one for one in incidents if (one.id, where.tracking_id) in lines]
        found = replace(where, tracking_id="").page(incidents, after, most, homes=homes)
        return [IncidentSummary.of(one, homes) for one in found]

    async def spreads(
        self, named: Collection[str], least: int, homes: ProblemHomes = AS_NAMED
    ) -> Mapping[str, int]:
        self._check()
        places = spread_places((one.incident for one in _stored(self.incidents.values())), homes)
        return wide_spreads([one for one in places if one[0] in named], least)

    async def edits(self) -> Sequence[ProblemEdited]:
        self._check()
        return [ProblemEdited.model_validate_json(row.body) for row in self.edited.values()]

    async def tracking_ids(self, incident_id: str, most: int) -> Sequence[str]:
        rows = sorted(self._members_of(incident_id), key=lambda r: (r.ts, r.tracking_id))
        return list(dict.fromkeys(row.tracking_id for row in rows))[-most:]

    async def evidence(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[Evidence]:
        rows = sorted(
            self._members_of(incident_id), key=lambda r: (r.ts, r.anomaly_id), reverse=True
        )
        page = [row for row in rows if not after or (row.ts, row.anomaly_id) < after][:most]
        return [Evidence.model_validate_json(row.body) for row in page]

    async def timeline(
        self, incident_id: str, after: PagePosition | None, most: int
    ) -> Sequence[EventRow]:
        self._check()
        rows = [row for row in self.events.values() if row.incident_id == incident_id]
        rows.sort(key=lambda r: (r.ts, r.event_id))
        return [row for row in rows if not after or (row.ts, row.event_id) > after][:most]

    def _members_of(self, incident_id: str) -> list[MemberRow]:
        self._check()
        return [r for r in self.present() if r.incident_id == incident_id]

    def present(self) -> list[MemberRow]:
        """Rows that say where an anomaly is, not where it was."""
        return [row for row in self.members.values() if row.role != MOVED]

    def _check(self) -> None:
        if self.problem:
            raise Unavailable(self.problem)


class MemoryProblems:
    """Problems of the rows in a ``MemoryStore``, found as ClickHouse finds them."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def page(
        self,
        where: ProblemFilter,
        after: PagePosition | None,
        most: int,
        homes: ProblemHomes,
        least: int,
    ) -> Sequence[ProblemSummary]:
        self._store._check()
        found = [
            problem
            for problem, parts, incidents in self._items(homes, None if where.spread else least)
            if where.spread in ("", problem.spread)
            and any(part.times >= where.least_times for part in parts)
            and where.open in (None, problem.open)
            and where.chronic in (None, any(bool(part.cadence) for part in parts))
            and where.ship_id in ("", problem.ship_id)
            and any(_affects(one, where.device) for one in incidents)
            and any(
                where.q.casefold() in text.casefold()
                for text in (
                    problem.id,
                    *(part.id for part in parts),
                    *(text for one in incidents for text in (one.title, *one.affected_devices)),
                )
            )
        ]
        found.sort(key=problem_place, reverse=True)
        return [one for one in found if not after or problem_place(one) < after][:most]

    async def problem(self, problem_id: str, homes: ProblemHomes) -> ProblemSummary | None:
        self._store._check()
        return next((one for one, _ in self._problems(homes) if one.id == problem_id), None)

    async def spread(self, spread: str, homes: ProblemHomes) -> ProblemSummary | None:
        self._store._check()
        return next((one for one, *_ in self._items(homes, 1) if one.id == spread), None)

    async def occurrences(
        self, problem_id: str, after: PagePosition | None, most: int, homes: ProblemHomes
    ) -> Sequence[StoredOccurrence]:
        self._store._check()
        found = [
            StoredOccurrence(
                0,
                row.problem_id,
                row.incident_id,
                row.occurrence,
                *(row.began, row.ended, row.ending, row.note),
                Severity(row.severity),
                row.devices,
            )
            for row in self._occurrences(problem_id, homes)
        ]
        found.sort(key=occurrence_place, reverse=True)
        placed = [one._replace(place=n) for n, one in enumerate(found, start=1)]
        return [one for one in placed if not after or occurrence_place(one) < after][:most]

    async def endings(self, problem_id: str, homes: ProblemHomes) -> Sequence[Ending]:
        self._store._check()
        last: dict[str, list[int]] = {}
        for row in self._occurrences(problem_id, homes):
            if row.ending and row.ended is not None:
                last.setdefault(row.ending, []).append(row.ended)
        found = [Ending(ending, len(ends), max(ends)) for ending, ends in last.items()]
        return sorted(found, key=lambda one: (-one.number, -one.last, one.ending))

    def _occurrences(self, problem_id: str, homes: ProblemHomes) -> list[OccurrenceRow]:
        rows = self._store.occurrences.values()
        return [row for row in rows if homes.of(row.problem_id, row.incident_id) == problem_id]

    def _items(
        self, homes: ProblemHomes, least: int | None
    ) -> Iterator[tuple[ProblemSummary, list[ProblemSummary], list[Incident]]]:
        """Problems; those of a spread on *least* devices or more are one. What each is made of, the
        newest first, and its incidents."""
        items: dict[str, list[tuple[ProblemSummary, list[Incident]]]] = {}
        for problem, incidents in self._problems(homes):
            is_part = problem.spread and least and problem.spread_devices >= least
            item = problem.spread if is_part else problem.id
            items.setdefault(item or "", []).append((problem, incidents))
        for item, parts in items.items():
            problems = sorted((one for one, _ in parts), key=problem_place, reverse=True)
            incidents = [one for _, part in parts for one in part]
            one = _as_one(problems) if item == problems[0].spread else problems[0]
            yield one, problems, incidents

    def _problems(self, homes: ProblemHomes) -> Iterator[tuple[ProblemSummary, list[Incident]]]:
        of: dict[str, list[Incident]] = {}
        for stored in _stored(self._store.incidents.values()):
            if home := problem_of(stored.incident, homes):
                of.setdefault(home, []).append(stored.incident)
        for problem_id, incidents in of.items():
            yield self._summary(problem_id, incidents, homes), incidents

    def _summary(
        self, problem_id: str, incidents: list[Incident], homes: ProblemHomes
    ) -> ProblemSummary:
        newest = max(incidents, key=lambda one: (one.last_seen, one.id))
        named = max(one.recurrence.occurrence for one in incidents if one.recurrence)
        known = len(self._occurrences(problem_id, homes))
        alive = [one for one in incidents if one.status in (Status.OPEN, Status.ACK)]
        quiet = [one.quiet_since for one in alive if one.quiet_since]
        return ProblemSummary(
            id=problem_id,
            ship_id=newest.ship_id,
            title=newest.title,
            severity=newest.severity,
            devices=newest.affected_devices,
            root_device=newest.root_cause.device if newest.root_cause else None,
            times=times_of(named, known, problem_id in homes.edited),
            cadence=newest.recurrence.cadence if newest.recurrence else "",
            open=bool(alive),
            quiet_since=max(quiet) if quiet and len(quiet) == len(alive) else None,
            incidents=len(incidents),
            newest_incident=newest.id,
            first_seen=min(one.first_seen for one in incidents),
            last_seen=max(one.last_seen for one in incidents),
            spread=spread_of(newest) or None,
            spread_devices=self._widths(1, homes).get(spread_of(newest), 0),
            open_problems=int(bool(alive)),
        )

    def _widths(self, least: int, homes: ProblemHomes) -> Mapping[str, int]:
        known = (one.incident for one in _stored(self._store.incidents.values()))
        return wide_spreads(spread_places(known, homes), least)


def _as_one(problems: Sequence[ProblemSummary]) -> ProblemSummary:
    """The problems of one spread, the newest first."""
    alive = [one for one in problems if one.open]
    quiet = [one.quiet_since for one in alive if one.quiet_since]
    return (
        problems[0]
        .model_copy(
            update={
                "id": problems[0].spread,
                "severity": max(one.severity for one in alive or problems),
                "devices": tuple(sorted({device for one in problems for device in one.devices})),
                "times": sum(one.times for one in problems),
                "open": bool(alive),
                "quiet_since": max(quiet) if quiet and len(quiet) == len(alive) else None,
                "incidents": sum(one.incidents for one in problems),
                "first_seen": min(one.first_seen for one in problems),
                "problems": len(problems),
                "open_problems": len(alive),
            }
        )
        .as_spread([one.title for one in problems])
    )


def _affects(incident: Incident, device: str) -> bool:
    known = (one.casefold() for one in incident.affected_devices)
    return device.casefold() in ("", *known)


class MemoryDevices:
    """Devices by id, as ReplacingMergeTree keeps them. While *problem* is set, nothing works."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Device, datetime, bool]] = {}
        self.hosts: list[UnknownHost] = []  # as if stored when they were last seen
        self.problem: str | None = None

    async def load(self) -> tuple[Sequence[Device], datetime]:
        self._check()
        epoch = datetime.fromtimestamp(0, UTC)
        newest = max((at for _, at, _ in self.rows.values()), default=epoch)
        there = sorted(id for id, (_, _, removed) in self.rows.items() if not removed)
        return [self.rows[id][0] for id in there], newest

    async def unknown_hosts(
        self, since: datetime, known: Sequence[str], most: int
    ) -> Sequence[UnknownHost]:
        self._check()
        found = [one for one in self.hosts if one.host not in known and one.last_seen >= since]
        return sorted(found, key=lambda one: (-one.anomalies, one.host))[:most]

    async def write(
        self, changed: Sequence[Device], removed: Sequence[Device], at: datetime, by: str
    ) -> None:
        self._check()
        for devices, is_removed in ((changed, False), (removed, True)):
            for device in devices:
                known = self.rows.get(device.id)
                if known is None or at >= known[1]:
                    self.rows[device.id] = (device, at, is_removed)

    def _check(self) -> None:
        if self.problem:
            raise Unavailable(self.problem)


def _keep_newest(
    rows: dict, key: object, row: AnomalyRow | IncidentRow | MemberRow | OccurrenceRow
) -> None:
    if key not in rows or row.version >= rows[key].version:
        rows[key] = row


def _stored(rows: Iterable[IncidentRow]) -> list[StoredIncident]:
    return [stored_incident(row.body, row.fold) for row in rows]
