"""The query for lines around an incident. Times are bound in microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.runtime.unreadable import only_text, read_all
from llm_enricher.evidence.lines import TEXT_KEPT, StoredLine

EACH_KEPT = 40  # newest lines of one service on one device: one that is loud leaves room for others
NEEDLES_MOST = 255  # of ClickHouse's multiSearchAny
NOBODY = "\x00"  # in a list that would be empty; ClickHouse refuses those

# The primary key is (ship_id, ts, tracking_id): only the time around the incident is read, and
# texts only of its last minutes, or of the devices concerned.
LINES = """
SELECT tracking_id, ts, if(device_id != '', device_id, host) AS device, service, level,
       substringUTF8(msg, 1, %(text)s) AS said
FROM logs.raw
PREWHERE ship_id = %(ship)s
    AND ts >= fromUnixTimestamp64Micro(%(since)s) AND ts <= fromUnixTimestamp64Micro(%(until)s)
    AND (ts >= fromUnixTimestamp64Micro(%(near)s)
        OR device_id IN %(devices)s OR host IN %(devices)s)
WHERE tracking_id NOT IN %(members)s AND (
    (ts >= fromUnixTimestamp64Micro(%(near)s) AND (device_id IN %(devices)s OR host IN %(devices)s))
    OR multiSearchAnyCaseInsensitive(msg, %(needles)s))
ORDER BY ts DESC
LIMIT %(each)s BY device, service
LIMIT %(most)s
"""


class LineQueries:
    """Raises Unavailable without ClickHouse, QueryFailed while the table does not exist."""

    def __init__(self, store: ClickHouse) -> None:
        self._store = store

    async def around(
        self,
        *,
        ship: str,
        devices: Sequence[str],
        objects: Sequence[str],
        signals: Sequence[str],
        members: Sequence[str],
        since: datetime,
        near: datetime,
        until: datetime,
        most: int,
        within: float,
    ) -> list[StoredLine]:
        """The newest lines from *since* to *until*, other than those of *members* (tracking ids).

        Of *devices* all from *near* on, and before it those that name one of *objects* or have a
        word of *signals*; of other devices those too, from *near* on. *within*: seconds that
        ClickHouse may work on it.
        """
        bound = {
            "ship": ship,
            "devices": tuple(devices) or (NOBODY,),
            "needles": [*objects, *signals][:NEEDLES_MOST] or [NOBODY],
            "members": tuple(members) or (NOBODY,),
            "since": _micros(since),
            "near": _micros(near),
            "until": _micros(until),
            "text": TEXT_KEPT,
            "each": EACH_KEPT,
            "most": most,
        }
        rows = await self._store.query(LINES, bound, within=within)
        lines = read_all(rows, "llm.lines", _line, name=itemgetter(0))
        return list({line.tracking_id: line for line in lines}.values())  # some are stored twice


def _line(row: Row) -> StoredLine:
    only_text(row)
    tracking_id, ts, device, service, level, said = row
    return StoredLine(tracking_id, _utc(ts), device, service, level, said)


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def _utc(at: Any) -> datetime:
    """Naive times of the driver are UTC."""
    moment: datetime = at
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
