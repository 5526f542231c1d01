"""The port to what is counted, and its ClickHouse side.

Latencies are computed by ClickHouse from what it stored, so a restart of this service loses none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from incident_api.rows import micros, moment
from incident_api.written import SqlQueries

TOP = 50  # members that are listed with their repetitions


class IncidentCount(NamedTuple):
    severity: str
    status: str
    category: str
    number: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Of *processed* cases *measured* have a latency, *within* of them at most the limit asked for."""

    processed: int
    measured: int
    within: int
    p50: float | None
    p95: float | None
    p99: float | None


class Repetition(NamedTuple):
    incident_id: str
    member: str
    fingerprint: str
    anomaly_type: str
    service: str
    device_id: str
    members: int
    duplicates: int


class Hidden(NamedTuple):
    rule: str
    anomaly_type: str
    number: int
    last_matched_at: datetime


class StatsStore(Protocol):
    """Everything since a time of the platform's own clock."""

    async def incidents(self, since: datetime) -> Sequence[IncidentCount]: ...

    async def fast_path(self, since: datetime, limit_ms: float) -> Latency: ...

    async def insight_path(self, since: datetime, limit_ms: float) -> Latency: ...

    async def anomalies(self, since: datetime, by: str) -> dict[str, int]:
        """Distinct anomalies by ``severity`` or ``anomaly_type``."""

    async def repetitions(self, since: datetime) -> Sequence[Repetition]:
        """Per incident and fingerprint, the ``TOP`` with the most duplicates, these first."""

    async def suppressions(self, since: datetime) -> Sequence[Hidden]: ...


INCIDENTS = (
    "SELECT severity, status, category, count() FROM aiops.incidents FINAL"
    " WHERE recorded_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) GROUP BY severity, status, category ORDER BY ALL"
)
FAST_PATH = (
    "SELECT count(), countIf(isFinite(latency_ms)), countIf(latency_ms <= %(limit)s),"
    " quantilesTDigestIf(0.5, 0.95, 0.99)(latency_ms, isFinite(latency_ms))"
    " FROM aiops.incident_members FINAL WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) AND role != 'moved'"
)
INSIGHT_PATH = (
    "SELECT count(), count(), countIf(insight_ms <= %(limit)s),"
    " quantilesTDigest(0.5, 0.95, 0.99)(insight_ms)"
    " FROM aiops.incidents FINAL WHERE recorded_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) AND insight_ms >= 0"
)
ANOMALIES = {
    "severity": (
        "SELECT severity, count() FROM aiops.anomalies FINAL"
        " WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) GROUP BY severity ORDER BY severity"
    ),
    "anomaly_type": (
        "SELECT anomaly_type, count() FROM aiops.anomalies FINAL"
        " WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) GROUP BY anomaly_type ORDER BY anomaly_type"
    ),
}
REPETITIONS = (
    "SELECT incident_id, if(any(duplicate_of) = '', anyIf(anomaly_id, role = 'member'),"
    " max(duplicate_of)), fingerprint, any(anomaly_type), any(service), any(device_id),"
    " countIf(role = 'member'), countIf(role = 'duplicate') AS repeated"
    " FROM aiops.incident_members FINAL WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) AND role NOT IN ('suppressed', 'moved')"
    " GROUP BY incident_id, fingerprint HAVING repeated > 0"
    " ORDER BY repeated DESC, incident_id, fingerprint LIMIT %(most)s"
)
SUPPRESSIONS = (
    "SELECT rule, anomaly_type, count() AS hidden, toUnixTimestamp64Micro(max(stored_at))"
    " FROM aiops.incident_members FINAL WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s)) AND role = 'suppressed'"
    " GROUP BY rule, anomaly_type ORDER BY hidden DESC, rule, anomaly_type"
)


class ClickHouseStats:
    def __init__(self, clickhouse: SqlQueries) -> None:
        self._clickhouse = clickhouse

    async def incidents(self, since: datetime) -> Sequence[IncidentCount]:
        rows = await self._clickhouse.query(INCIDENTS, {"since": micros(since)})
        return [IncidentCount._make(row) for row in rows]

    async def fast_path(self, since: datetime, limit_ms: float) -> Latency:
        return await self._latency(FAST_PATH, since, limit_ms)

    async def insight_path(self, since: datetime, limit_ms: float) -> Latency:
        return await self._latency(INSIGHT_PATH, since, limit_ms)

    async def anomalies(self, since: datetime, by: str) -> dict[str, int]:
        rows = await self._clickhouse.query(ANOMALIES[by], {"since": micros(since)})
        return {name: count for name, count in rows}

    async def repetitions(self, since: datetime) -> Sequence[Repetition]:
        rows = await self._clickhouse.query(REPETITIONS, {"since": micros(since), "most": TOP})
        return [Repetition._make(row) for row in rows]

    async def suppressions(self, since: datetime) -> Sequence[Hidden]:
        rows = await self._clickhouse.query(SUPPRESSIONS, {"since": micros(since)})
        return [Hidden(rule, kind, count, moment(last)) for rule, kind, count, last in rows]

    async def _latency(self, sql: str, since: datetime, limit_ms: float) -> Latency:
        parameters = {"since": micros(since), "limit": limit_ms}
        processed, measured, within, quantiles = (await self._clickhouse.query(sql, parameters))[0]
        p50, p95, p99 = (None if math.isnan(q) else round(q, 3) for q in quantiles)
        return Latency(processed, measured, within, p50, p95, p99)
