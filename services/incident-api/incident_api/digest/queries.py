"""The digest of a day, from ClickHouse."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from aiops_core.adapters.clickhouse import Row
from aiops_core.models import Severity
from aiops_core.runtime.unreadable import read_all
from incident_api.digest.models import DigestEntry, DigestView
from incident_api.reads import SqlQueries
from incident_api.rows import micros, moment, sql_time

LISTED = 500  # entries, the most frequent
MSG_SHOWN = 500  # characters
# A row that is stored twice is one finding: uniqExact, as FINAL would read all columns.
_OF_DAY = (
    f"FROM aiops.anomalies_digested WHERE ts >= {sql_time('since')} AND ts < {sql_time('until')}"
    " AND (%(device)s = '' OR lowerUTF8(device_id) = lowerUTF8(%(device)s))"
)
_ENTRY = "ship_id, device_id, service, component, anomaly_type, template"
TOTALS = f"SELECT uniqExact(anomaly_id), uniqExact({_ENTRY}) {_OF_DAY}"
ENTRIES = (
    f"SELECT {_ENTRY}, argMax(substringUTF8(msg, 1, {MSG_SHOWN}), ts),"
    " uniqExact(anomaly_id) AS number,"
    " toUnixTimestamp64Micro(min(ts)), toUnixTimestamp64Micro(max(ts)),"
    f" groupUniqArray(severity), argMax(reason, ts), argMax(tracking_id, ts) {_OF_DAY}"
    f" GROUP BY {_ENTRY} ORDER BY number DESC, {_ENTRY} LIMIT %(most)s"
)


class DigestQueries:
    def __init__(self, clickhouse: SqlQueries) -> None:
        self._clickhouse = clickhouse

    async def of_day(self, day: date, device: str = "") -> DigestView:
        """By device, then the most frequent first. Raises Unavailable."""
        since = datetime.combine(day, time(), UTC)
        span = {"since": micros(since), "until": micros(since + timedelta(days=1))}
        bound = span | {"device": device}
        ((number, messages),) = await self._clickhouse.query(TOTALS, bound)
        rows = await self._clickhouse.query(ENTRIES, bound | {"most": LISTED})
        items = read_all(rows, "incident-api.digest", _entry, name=lambda row: str(row[1]))
        items.sort(key=lambda one: (one.ship_id, one.device))
        return DigestView(day=day, device=device, number=number, messages=messages, items=items)


def _entry(row: Row) -> DigestEntry:
    *what, msg, number, first, last, severities, reason, tracking_id = row
    names = ("ship_id", "device", "service", "component", "anomaly_type", "template")
    return DigestEntry(
        **dict(zip(names, what, strict=True)),
        msg=msg,
        number=number,
        first=moment(first),
        last=moment(last),
        severity=max(map(Severity, severities), key=lambda one: one.rank),
        reason=reason,
        tracking_id=tracking_id,
    )
