"""The port to what was hidden, and to what could have been, and its ClickHouse side."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from pydantic import TypeAdapter

from aiops_core.models import Device, Severity
from aiops_core.runtime.unreadable import read_all
from aiops_core.suppression.labels import OWN, Labels, labels
from incident_api.rows import micros, moment
from incident_api.written import SqlQueries

_OWN = TypeAdapter(dict[str, str])
KINDS_READ = 100_000  # distinct ones, the most frequent; a ship has some thousand


class Hidden(NamedTuple):
    """What one rule, silence or outage has hidden, as long as the history goes back."""

    rule: str
    kind: str
    number: int
    last_matched_at: datetime


class Kind(NamedTuple):
    """So many anomalies have all these labels."""

    labels: Labels
    number: int


class SilenceStore(Protocol):
    async def hidden(self) -> Sequence[Hidden]:
        """By rule, of everything that is remembered."""

    async def kinds(self, since: datetime) -> Sequence[Kind]:
        """The kinds of anomalies that arrived since then, most frequent first."""


# Without FINAL, which would read all other columns of the whole table: a repeated row counts once anyway.
HIDDEN = (
    "SELECT rule, JSONExtractString(any(body), 'kind'), uniqExact(anomaly_id) AS hidden,"
    " toUnixTimestamp64Micro(max(stored_at)) FROM aiops.incident_members"
    " WHERE role = 'suppressed' GROUP BY rule ORDER BY hidden DESC, rule"
)
KINDS = (
    "SELECT anomaly_type, detector, device_id, domain, host, JSONExtractString(body, 'metric') AS metric,"
    " service, severity, ship_id, JSONExtractString(body, 'template_id') AS template_id,"
    " JSONExtract(body, 'tags', 'Array(String)') AS tags,"
    " JSONExtractRaw(body, 'context', 'device') AS device, count() AS number"
    " FROM aiops.anomalies FINAL WHERE stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s))"
    " GROUP BY anomaly_type, detector, device_id, domain, host, metric, service, severity, ship_id,"
    " template_id, tags, device ORDER BY number DESC LIMIT %(most)s"
)


class ClickHouseSilences:
    def __init__(self, clickhouse: SqlQueries) -> None:
        self._clickhouse = clickhouse

    async def hidden(self) -> Sequence[Hidden]:
        rows = await self._clickhouse.query(HIDDEN)
        return [Hidden(rule, kind or "rule", n, moment(last)) for rule, kind, n, last in rows]

    async def kinds(self, since: datetime) -> Sequence[Kind]:
        bound = {"since": micros(since), "most": KINDS_READ}
        rows = await self._clickhouse.query(KINDS, bound)
        return read_all(rows, "incident-api.anomaly_kinds", _kind, name=str)


def _kind(row: Sequence[Any]) -> Kind:
    *values, tags, device, number = row
    own = _OWN.validate_python(dict(zip(OWN, values, strict=True)))
    Severity(own["severity"])  # raises ValueError; the policy asks for it
    return Kind(labels(own, tags, _device(device)), number)


@lru_cache(maxsize=4096)
def _device(body: str) -> Device | None:
    return Device.model_validate_json(body) if body.startswith("{") else None
