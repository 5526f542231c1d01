"""The ports of incident-api to its store, in memory; they pass the contract tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from aiops_core.errors import Unavailable
from aiops_core.models import Device, Evidence, ProblemEdited, Status
from incident_api.devices.models import UnknownHost
from incident_api.folding import StoredIncident
from incident_api.pages import PagePosition
from incident_api.problem_homes import ProblemHomes
from incident_api.rows import (
    MOVED,
    AnomalyRow,
    Batch,
    EditRow,
    EventRow,
    IncidentRow,
    MemberRow,
    OccurrenceRow,
    stored_incident,
)
from incident_api.store import AS_NAMED, IncidentFilter, IncidentSummary


class MemoryStore:
    """Rows by key, as ReplacingMergeTree keeps them. While *problem* is set, nothing works."""

    def __init__(self) -> None:
        self.anomalies: dict[str, AnomalyRow] = {}
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
                case AnomalyRow():
                    _keep_newest(self.anomalies, row.anomaly_id, row)
                case IncidentRow():
                    _keep_newest(self.incidents, row.id, row)
                case MemberRow():
                    _keep_newest(self.members, (row.tracking_id, row.anomaly_id, row.place), row)
                case OccurrenceRow():
                    key = (row.problem_id, row.incident_id, row.occurrence)
                    _keep_newest(self.occurrences, key, row)
                case EditRow():
                    self.edited[row.problem_id, row.change] = row
                case EventRow():
                    self.events[row.event_id] = row

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
