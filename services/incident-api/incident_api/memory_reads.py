"""Statistics and traces over the store in memory, for tests; the contract test is the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from aiops_core.models import AnomalyDetected, AnomalySuppressed, EnrichedAnomaly
from aiops_core.suppression.labels import OWN, Labels, labels, labels_of
from incident_api.memory_store import MemoryStore
from incident_api.rows import SUPPRESSED, AnomalyRow, MemberRow, micros, moment
from incident_api.silences.queries import Hidden as HiddenByRule
from incident_api.silences.queries import Kind
from incident_api.stats.queries import TOP, Hidden, IncidentCount, Latency, Repetition
from incident_api.trace.queries import (
    JSON,
    Traced,
    TracedAnomaly,
    TracedLog,
    TracedMember,
    times,
)


class MemoryStats:
    """A row counts as stored when it passed the stage ``store``."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def incidents(self, since: datetime) -> Sequence[IncidentCount]:
        rows = (r for r in self._store.incidents.values() if r.recorded_at >= micros(since))
        counted = Counter((row.severity, row.status, row.category) for row in rows)
        return [IncidentCount(*key, number) for key, number in sorted(counted.items())]

    async def fast_path(self, since: datetime, limit_ms: float) -> Latency:
        rows = list(self._members(since))
        took = [
            (row.stages["store"] - row.stages["ingest"]) / 1000
            for row in rows
            if "ingest" in row.stages
        ]
        return _latency(len(rows), took, limit_ms)

    async def insight_path(self, since: datetime, limit_ms: float) -> Latency:
        rows = [r for r in self._store.incidents.values() if r.recorded_at >= micros(since)]
        took = [row.insight_ms for row in rows if row.insight_ms >= 0]
        return _latency(len(took), took, limit_ms)

    async def anomalies(self, since: datetime, by: str) -> dict[str, int]:
        return dict(Counter(str(getattr(row, by)) for row in self._store.anomalies.values()))

    async def repetitions(self, since: datetime) -> Sequence[Repetition]:
        groups: dict[tuple[str, str], list[MemberRow]] = {}
        for row in self._members(since):
            if row.role != SUPPRESSED:
                groups.setdefault((row.incident_id, row.fingerprint), []).append(row)
        found = [r for rows in groups.values() if (r := _repetition(rows)).duplicates]
        return sorted(found, key=lambda r: (-r.duplicates, r.incident_id, r.fingerprint))[:TOP]

    async def suppressions(self, since: datetime) -> Sequence[Hidden]:
        groups: dict[tuple[str, str], list[int]] = {}
        for row in self._members(since):
            if row.role == SUPPRESSED:
                groups.setdefault((row.rule, row.anomaly_type), []).append(row.stages["store"])
        found = [Hidden(*key, len(at), moment(max(at))) for key, at in groups.items()]
        return sorted(found, key=lambda h: (-h.number, h.rule, h.anomaly_type))

    def _members(self, since: datetime) -> Iterator[MemberRow]:
        rows = self._store.present()
        return (row for row in rows if row.stages.get("store", 0) >= micros(since))


class MemorySilences:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def hidden(self) -> Sequence[HiddenByRule]:
        rules: dict[str, list[MemberRow]] = {}
        for row in self._store.members.values():
            if row.role == SUPPRESSED:
                rules.setdefault(row.rule, []).append(row)
        found = [_hidden(rule, rows) for rule, rows in rules.items()]
        return sorted(found, key=lambda h: (-h.number, h.rule))

    async def kinds(self, since: datetime) -> Sequence[Kind]:
        kinds: dict[str, Kind] = {}
        for row in self._store.anomalies.values():
            if max(row.stages.values(), default=row.ts) >= micros(since):
                found = _labels(row)
                known = kinds.get(str(found))
                kinds[str(found)] = Kind(found, known.number + 1 if known else 1)
        return sorted(kinds.values(), key=lambda kind: -kind.number)


class MemoryTrace:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.logs: dict[str, TracedLog] = {}

    async def traced(self, tracking_id: str) -> Traced:
        anomalies = [r for r in self._store.anomalies.values() if r.tracking_id == tracking_id]
        members = [r for r in self._store.present() if r.tracking_id == tracking_id]
        return Traced(
            log=self.logs.get(tracking_id),
            anomalies=[
                TracedAnomaly(r.anomaly_id, r.version, times(r.stages), JSON.validate_json(r.body))
                for r in anomalies
            ],
            members=[_traced_member(row) for row in members],
        )


def _hidden(rule: str, rows: Sequence[MemberRow]) -> HiddenByRule:
    last = moment(max(row.stages["store"] for row in rows))
    kind = AnomalySuppressed.model_validate_json(rows[0].body).kind
    return HiddenByRule(rule, kind, len(rows), last)


def _labels(row: AnomalyRow) -> Labels:
    if row.version == 2:
        return labels_of(EnrichedAnomaly.model_validate_json(row.body))
    plain = AnomalyDetected.model_validate_json(row.body)
    return labels({name: str(getattr(plain, name) or "") for name in OWN}, (), None)


def _traced_member(row: MemberRow) -> TracedMember:
    stages = times(row.stages)
    body = JSON.validate_json(row.body)
    return TracedMember(
        anomaly_id=row.anomaly_id,
        incident_id=row.incident_id,
        role=row.role,
        rule=row.rule,
        reason=row.reason,
        stages=stages,
        stored_at=stages["store"],
        kind=str(body.get("kind") or ""),
        source=str(body.get("source") or ""),
    )


def _repetition(rows: Sequence[MemberRow]) -> Repetition:
    first = rows[0]
    repeated = sum(row.role == "duplicate" for row in rows)
    members = [row.anomaly_id for row in rows if row.role == "member"]
    return Repetition(
        first.incident_id,
        max(row.duplicate_of for row in rows) or members[0],
        first.fingerprint,
        first.anomaly_type,
        first.service,
        first.device_id,
        len(rows) - repeated,
        repeated,
    )


def _latency(processed: int, took: Sequence[float], limit_ms: float) -> Latency:
    ordered = sorted(took)
    p50, p95, p99 = (
        ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else None
        for q in (0.5, 0.95, 0.99)
    )
    within = sum(one <= limit_ms for one in ordered)
    return Latency(processed, len(ordered), within, p50, p95, p99)
