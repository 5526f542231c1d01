"""The ledger over the store in memory, for tests; the contract test is the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from aiops_core.observability.tally import minute_of
from incident_api.ledger.endings import OpenAnomaly, Place, Totals
from incident_api.memory_store import MemoryStore
from incident_api.rows import AnomalyRow, MemberRow, micros, moment


class MemoryLedger:
    """Rows count as stored at the newest stage that they passed."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def totals(self, since: datetime, until: datetime) -> Totals:
        ends = _ends(self._members(since, until))
        roles = Counter(end.role for end in ends.values())
        found = {row.anomaly_id for row in self._anomalies(since, until)}
        doubled = sum(len(end.places) > 1 for end in ends.values())
        return Totals(
            members=roles["member"],
            duplicates=roles["duplicate"],
            suppressed=roles["suppressed"],
            open=len(found - ends.keys()),
            doubled=doubled,
        )

    async def open(self, since: datetime, until: datetime, most: int) -> Sequence[OpenAnomaly]:
        ended = {row.anomaly_id for row in self._store.present()}
        rows = [r for r in self._anomalies(since, until) if r.anomaly_id not in ended]
        rows.sort(key=lambda row: (_stored_at(row), row.anomaly_id))
        return [_open(row) for row in rows[:most]]

    async def placed(self, tracking_ids: Collection[str]) -> Sequence[Place]:
        rows = self._store.present()
        return list(_ends(r for r in rows if r.tracking_id in tracking_ids).values())

    async def doubled(self, since: datetime, until: datetime, most: int) -> Sequence[Place]:
        rows = [r for r in self._members(since, until) if not self._merged(r.incident_id)]
        return [end for end in _ends(rows).values() if len(end.places) > 1][:most]

    async def detected(self, since: datetime, until: datetime) -> Mapping[datetime, int]:
        rows: list[AnomalyRow | MemberRow] = [*self._store.anomalies.values()]
        rows += self._store.present()
        seen = {
            row.anomaly_id: minute_of(moment(row.stages["detect"]))
            for row in rows
            if micros(since) <= row.stages.get("detect", 0) < micros(until)
        }
        return Counter(seen.values())

    def _members(self, since: datetime, until: datetime) -> list[MemberRow]:
        rows = self._store.present()
        return [r for r in rows if micros(since) <= _stored_at(r) < micros(until)]

    def _anomalies(self, since: datetime, until: datetime) -> list[AnomalyRow]:
        rows = self._store.anomalies.values()
        return [r for r in rows if micros(since) <= _stored_at(r) < micros(until)]

    def _merged(self, incident_id: str) -> bool:
        row = self._store.incidents.get(incident_id)
        return row is not None and row.resolve_reason.startswith("merged")


def _stored_at(row: AnomalyRow | MemberRow) -> int:
    return max(row.stages.values(), default=row.ts)


def _ends(rows: Iterable[MemberRow]) -> dict[str, Place]:
    """Where each anomaly of *rows* ended."""
    ends: dict[str, Place] = {}
    for row in sorted(rows, key=_stored_at):
        before = ends.get(row.anomaly_id)
        places = dict.fromkeys((*(before.places if before else ()), row.place))
        ends[row.anomaly_id] = Place(row.anomaly_id, row.tracking_id, row.role, list(places))
    return ends


def _open(row: AnomalyRow) -> OpenAnomaly:
    passed = {stage: moment(at) for stage, at in row.stages.items()}
    seen_at = moment(_stored_at(row))
    return OpenAnomaly(
        row.anomaly_id,
        row.tracking_id,
        row.device_id,
        row.service,
        row.anomaly_type,
        seen_at,
        passed,
    )
