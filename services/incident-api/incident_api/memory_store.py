"""The store in memory, for tests: the same promises as ClickHouse's, kept by the same contract test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiops_core.errors import Unavailable
from aiops_core.models import Evidence, Status
from incident_api.folding import StoredIncident
from incident_api.rows import (
    MOVED,
    AnomalyRow,
    Batch,
    EventRow,
    IncidentRow,
    MemberRow,
    micros,
    stored_incident,
)
from incident_api.store import IncidentFilter, Position
from incident_api.summary import IncidentSummary


class MemoryStore:
    """Rows by key, as ReplacingMergeTree keeps them. While *problem* is set, nothing works."""

    def __init__(self) -> None:
        self.anomalies: dict[str, AnomalyRow] = {}
        self.members: dict[tuple[str, str, str], MemberRow] = {}
        self.incidents: dict[str, IncidentRow] = {}
        self.events: dict[str, EventRow] = {}
        self.writes = 0
        self.problem: str | None = None

    async def write(self, batch: Batch) -> None:
        self._check()
        self.writes += 1
        for anomaly in batch.anomalies:
            kept = self.anomalies.get(anomaly.anomaly_id)
            if kept is None or anomaly.version >= kept.version:
                self.anomalies[anomaly.anomaly_id] = anomaly
        for incident in batch.incidents:
            newest = self.incidents.get(incident.id)
            if newest is None or incident.version >= newest.version:
                self.incidents[incident.id] = incident
        _keep(self.members, batch.members)
        self.events |= {row.event_id: row for row in batch.events}

    async def incident(self, incident_id: str) -> StoredIncident | None:
        self._check()
        row = self.incidents.get(incident_id)
        return stored_incident(row.body, row.fold) if row else None

    async def newest_open(self, most: int) -> Sequence[StoredIncident]:
        self._check()
        alive = [row for row in self.incidents.values() if row.status in (Status.OPEN, Status.ACK)]
        return _loaded(sorted(alive, key=lambda r: (r.updated_at, r.id), reverse=True)[:most])

    async def page(
        self, where: IncidentFilter, after: Position | None, most: int
    ) -> Sequence[IncidentSummary]:
        self._check()
        found = [row for row in self.incidents.values() if self._matches(row, where)]
        found.sort(key=lambda r: (r.created_at, r.id), reverse=True)
        later = [row for row in found if not after or (row.created_at, row.id) < after]
        return [IncidentSummary.of_row(row) for row in later[:most]]

    async def tracking_ids(self, incident_id: str, most: int) -> Sequence[str]:
        rows = sorted(self._members_of(incident_id), key=lambda r: (r.ts, r.tracking_id))
        return list(dict.fromkeys(row.tracking_id for row in rows))[-most:]

    async def evidence(
        self, incident_id: str, after: Position | None, most: int
    ) -> Sequence[Evidence]:
        rows = sorted(
            self._members_of(incident_id), key=lambda r: (r.ts, r.anomaly_id), reverse=True
        )
        page = [row for row in rows if not after or (row.ts, row.anomaly_id) < after][:most]
        return [Evidence.model_validate_json(row.body) for row in page]

    async def timeline(
        self, incident_id: str, after: Position | None, most: int
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

    def _matches(self, row: IncidentRow, where: IncidentFilter) -> bool:
        text = "\n".join((row.title, *row.affected_devices, *row.affected_services, row.id))
        mine = {m.tracking_id for m in self.present() if m.incident_id == row.id}
        return all(
            (
                not where.status or row.status in where.status,
                not where.severity or row.severity in where.severity,
                where.category in ("", row.category),
                where.ship_id in ("", row.ship_id),
                where.service in ("", *row.affected_services),
                where.device_id in ("", *row.affected_devices),
                where.tracking_id in ("", *mine),
                not where.since or row.last_seen >= micros(where.since),
                not where.until or row.first_seen <= micros(where.until),
                where.q.lower() in text.lower(),
            )
        )

    def _check(self) -> None:
        if self.problem:
            raise Unavailable(self.problem)


def _keep(known: dict[tuple[str, str, str], MemberRow], rows: Iterable[MemberRow]) -> None:
    """Of two rows about one place the one with the greater version."""
    for row in rows:
        key = (row.tracking_id, row.anomaly_id, row.place)
        if key not in known or row.version >= known[key].version:
            known[key] = row


def _loaded(rows: Iterable[IncidentRow]) -> list[StoredIncident]:
    return [stored_incident(row.body, row.fold) for row in rows]
