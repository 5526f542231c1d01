"""The anomalies that were recorded, as they reached correlation, in the order of their arrival."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
from typing import Any, Protocol

from aiops_core.models import EnrichedAnomaly
from aiops_core.runtime.unreadable import read_all

PAGE = 5_000  # anomalies that are in memory at once, more when so many came within STEP
STEP = 10  # seconds
# The year 2100: the last span has no end, because a row that is written again gets a later time.
OPEN = 4_102_444_800

COUNTS = (
    "SELECT toUnixTimestamp(toStartOfInterval(stored_at, toIntervalSecond(%(step)s))) AS at,"
    " count()"
    " FROM aiops.anomalies FINAL"
    " WHERE version = 2 AND stored_at >= fromUnixTimestamp64Micro(toInt64(%(since)s))"
    " GROUP BY at ORDER BY at"
)
BODIES = (
    "SELECT body, anomaly_id FROM aiops.anomalies FINAL WHERE version = 2"
    " AND stored_at >= fromUnixTimestamp(%(since)s) AND stored_at < fromUnixTimestamp(%(until)s)"
    " ORDER BY stages['enrich'], anomaly_id"
)


class Store(Protocol):
    """``aiops_core.adapters.clickhouse.ClickHouse``, as far as it is used here."""

    async def query(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True)
class Pages:
    """*total* anomalies, in spans of seconds since 1970 that hold about a page each."""

    total: int
    bounds: Sequence[int]


async def pages(store: Store, since: datetime) -> Pages:
    micros = round(since.timestamp() * 1_000_000)
    counted = await store.query(COUNTS, {"since": micros, "step": STEP})
    return Pages(sum(n for _, n in counted), _bounds(counted))


def _bounds(counted: Sequence[tuple[int, int]]) -> list[int]:
    bounds, room = [at for at, _ in counted[:1]], PAGE
    for at, number in counted:
        if number > room and at != bounds[-1]:
            bounds.append(at)
            room = PAGE
        room -= number
    return [*bounds, OPEN] if counted else []


async def read(store: Store, found: Pages) -> AsyncIterator[Sequence[EnrichedAnomaly]]:
    """A page after the other."""
    for since, until in pairwise(found.bounds):
        rows = await store.query(BODIES, {"since": since, "until": until})
        yield read_all(rows, "what-if.anomalies", _anomaly, name=itemgetter(1))


def _anomaly(row: tuple[Any, ...]) -> EnrichedAnomaly:
    return EnrichedAnomaly.model_validate_json(row[0])
