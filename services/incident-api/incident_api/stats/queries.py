"""Counts and latencies from ClickHouse.

ClickHouse computes latencies from stored rows, so a restart of this service loses none.
"""

# ruff: noqa: S608 - the texts are put together of constants of this module; values are bound

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from aiops_core.models import Device, Severity
from aiops_core.runtime.unreadable import read_all
from aiops_core.suppression.labels import OWN, Labels, labels
from incident_api.reads import SqlQueries
from incident_api.rows import micros, moment, sql_time
from incident_api.stats.models import (
    Counts,
    DuplicateGroup,
    HiddenByRule,
    IncidentCount,
    Latency,
)

TOP = 50  # members that are listed with their duplicates
LABELS_READ = 100_000  # distinct sets of labels, the most frequent; a ship has some thousand

_OWN = TypeAdapter(dict[str, str])
_SINCE = sql_time("since")

INCIDENTS = (
    "SELECT severity, status, category, count() FROM aiops.incidents FINAL"
    f" WHERE recorded_at >= {_SINCE} GROUP BY severity, status, category ORDER BY ALL"
)
FAST_PATH = (
    "SELECT count(), countIf(isFinite(latency_ms)), countIf(latency_ms <= %(limit)s),"
    " quantilesTDigestIf(0.5, 0.95, 0.99)(latency_ms, isFinite(latency_ms))"
    f" FROM aiops.incident_members FINAL WHERE stored_at >= {_SINCE} AND role != 'moved'"
)
INSIGHT_PATH = (
    "SELECT count(), count(), countIf(insight_ms <= %(limit)s),"
    " quantilesTDigest(0.5, 0.95, 0.99)(insight_ms)"
    f" FROM aiops.incidents FINAL WHERE recorded_at >= {_SINCE} AND insight_ms >= 0"
)
ANOMALIES = {
    column: (
        f"SELECT {column}, count() FROM aiops.anomalies FINAL"
        f" WHERE stored_at >= {_SINCE} GROUP BY {column} ORDER BY {column}"
    )
    for column in ("severity", "anomaly_type")
}
DUPLICATES = (
    "SELECT incident_id, if(max(duplicate_of) = '', anyIf(anomaly_id, role = 'member'),"
    " max(duplicate_of)), fingerprint, any(anomaly_type), any(service), any(device_id),"
    " countIf(role = 'member'), countIf(role = 'duplicate') AS repeated"
    f" FROM aiops.incident_members FINAL WHERE stored_at >= {_SINCE}"
    " AND role NOT IN ('suppressed', 'moved')"
    " GROUP BY incident_id, fingerprint HAVING repeated > 0"
    " ORDER BY repeated DESC, incident_id, fingerprint LIMIT %(most)s"
)
HIDDEN_BY_TYPE = (
    "SELECT rule, anomaly_type, count() AS hidden FROM aiops.incident_members FINAL"
    f" WHERE stored_at >= {_SINCE} AND role = 'suppressed'"
    " GROUP BY rule, anomaly_type ORDER BY hidden DESC, rule, anomaly_type"
)
# Without FINAL, which would read all other columns of the table; uniqExact ignores repeated rows.
HIDDEN_BY_RULE = (
    "SELECT rule, JSONExtractString(any(body), 'kind'), uniqExact(anomaly_id) AS hidden,"
    " toUnixTimestamp64Micro(max(stored_at)) FROM aiops.incident_members"
    " WHERE role = 'suppressed' GROUP BY rule ORDER BY hidden DESC, rule"
)
LABELS = (
    "SELECT anomaly_type, detector, device_id, domain, host,"
    " JSONExtractString(body, 'metric') AS metric, service, severity, ship_id,"
    " JSONExtractString(body, 'template_id') AS template_id,"
    " JSONExtract(body, 'tags', 'Array(String)') AS tags,"
    " JSONExtractRaw(body, 'context', 'device') AS device, count() AS number"
    f" FROM aiops.anomalies FINAL WHERE stored_at >= {_SINCE}"
    " GROUP BY anomaly_type, detector, device_id, domain, host, metric, service, severity, ship_id,"
    " template_id, tags, device ORDER BY number DESC LIMIT %(most)s"
)


class StatsQueries:
    """*since* is a time of the platform's own clock."""

    def __init__(self, clickhouse: SqlQueries) -> None:
        self._clickhouse = clickhouse

    async def incidents(self, since: datetime) -> Sequence[IncidentCount]:
        rows = await self._clickhouse.query(INCIDENTS, {"since": micros(since)})
        return [IncidentCount._make(row) for row in rows]

    async def fast_path(self, since: datetime, limit_ms: float) -> Latency:
        return await self._latency(FAST_PATH, since, limit_ms)

    async def insight_path(self, since: datetime, limit_ms: float) -> Latency:
        return await self._latency(INSIGHT_PATH, since, limit_ms)

    async def anomalies(self, since: datetime, by: str) -> Counts:
        """Distinct anomalies by ``severity`` or ``anomaly_type``."""
        return dict(await self._clickhouse.query(ANOMALIES[by], {"since": micros(since)}))

    async def duplicates(self, since: datetime) -> list[DuplicateGroup]:
        """Per incident and fingerprint, the ``TOP`` with the most duplicates, these first."""
        rows = await self._clickhouse.query(DUPLICATES, {"since": micros(since), "most": TOP})
        names = DuplicateGroup.model_fields
        return [DuplicateGroup(**dict(zip(names, row, strict=True))) for row in rows]

    async def hidden_by_type(self, since: datetime) -> dict[str, Counts]:
        """By the id of the rule, the anomalies that it has hidden, by type."""
        hidden: dict[str, Counts] = {}
        rows = await self._clickhouse.query(HIDDEN_BY_TYPE, {"since": micros(since)})
        for rule, anomaly_type, number in rows:
            hidden.setdefault(rule, {})[anomaly_type] = number
        return hidden

    async def hidden_by_rule(self) -> dict[str, HiddenByRule]:
        """By the id of the rule, the rule that hid most first."""
        rows = await self._clickhouse.query(HIDDEN_BY_RULE)
        return {
            rule: HiddenByRule(rule, kind or "rule", number, moment(last))
            for rule, kind, number, last in rows
        }

    async def label_counts(self, since: datetime) -> Sequence[tuple[Labels, int]]:
        """Anomalies that arrived since then, by their labels, the most frequent first."""
        bound = {"since": micros(since), "most": LABELS_READ}
        rows = await self._clickhouse.query(LABELS, bound)
        return read_all(rows, "incident-api.anomaly_labels", _label_count, name=str)

    async def _latency(self, sql: str, since: datetime, limit_ms: float) -> Latency:
        bound = {"since": micros(since), "limit": limit_ms}
        processed, measured, within, quantiles = (await self._clickhouse.query(sql, bound))[0]
        p50, p95, p99 = (None if math.isnan(q) else round(q, 3) for q in quantiles)
        return Latency(processed, measured, within, p50, p95, p99)


def _label_count(row: Sequence[Any]) -> tuple[Labels, int]:
    *values, tags, device, number = row
    own = _OWN.validate_python(dict(zip(OWN, values, strict=True)))
    Severity(own["severity"])  # raises ValueError; the policy asks for it
    return labels(own, tags, _device(device)), number


@lru_cache(maxsize=4096)
def _device(body: str) -> Device | None:
    return Device.model_validate_json(body) if body.startswith("{") else None
