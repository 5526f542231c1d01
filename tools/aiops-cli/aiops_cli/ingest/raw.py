"""Rows of ``logs.raw``: gathered into few inserts, each stored exactly once, however long it takes.

An insert whose answer is lost is sent again with the same token, and ClickHouse drops the second one
(``non_replicated_deduplication_window`` of the table).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

import aiops_core
from aiops_cli.ingest.stamp import STAGE
from aiops_core.errors import AiopsError, Unavailable
from aiops_core.models import LogEntry
from aiops_core.utils import StructuredLogger

log = StructuredLogger.get_logger(
    name="ingest", service="aiops_core", version=aiops_core.__version__
)

TABLE = "logs.raw"
COLUMNS = (
    *("tracking_id", "ship_id", "ts", "ingestion_timestamp", "host", "device_id", "service"),
    *("level", "msg", "source", "labels", "raw"),
)
ROWS = 1000  # of one insert; many small inserts make ClickHouse merge for ever
LINGER = 1.0  # seconds that rows wait for company: the history is not on the fast path
WRITERS = 2  # inserts under way at once
RETRY = (0.1, 0.25, 0.5, 1.0, 2.0)  # seconds; the last one again and again

Row = tuple[object, ...]
Sleep = Callable[[float], Awaitable[None]]


class LogStore(Protocol):
    """The port to ClickHouse; raises Unavailable while it is away."""

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        token: str | None = None,
    ) -> None: ...


def row_of(entry: LogEntry, raw: str) -> Row:
    """*entry* as a row of ``logs.raw``, in the order of COLUMNS."""
    return (
        entry.tracking_id,
        entry.ship_id,
        entry.ts,
        entry.stages.get(STAGE, entry.ts),
        entry.host,
        entry.device_id or entry.host,
        entry.service,
        entry.level.value,
        entry.msg,
        entry.source,
        entry.labels,
        raw,
    )


@dataclass(eq=False)
class _Waiting:
    rows: Sequence[Row]
    stored: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class RawWriter:
    """Writes what is handed to ``write`` while its ``run`` lasts."""

    def __init__(self, store: LogStore, sleep: Sleep = asyncio.sleep) -> None:
        self._store, self._sleep = store, sleep
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._away = False

    async def write(self, rows: Sequence[Row]) -> None:
        """Return when all *rows* are stored; raises what ClickHouse refuses them with."""
        parts = [_Waiting(rows[at : at + ROWS]) for at in range(0, len(rows), ROWS)]
        self._queue.extend(parts)
        self._arrived.set()
        await asyncio.gather(*(part.stored for part in parts))

    async def run(self) -> None:
        """One of the WRITERS; ends by cancellation."""
        while True:
            await self._arrived.wait()
            await self._sleep(LINGER if self._waiting_rows() < ROWS else 0)
            if parts := self._take():
                await self._store_parts(parts)

    def _waiting_rows(self) -> int:
        return sum(len(part.rows) for part in self._queue)

    def _take(self) -> list[_Waiting]:
        """The next parts that fit into one insert."""
        parts: list[_Waiting] = []
        room = ROWS
        while self._queue and len(self._queue[0].rows) <= room:
            room -= len(self._queue[0].rows)
            parts.append(self._queue.popleft())
        if not self._queue:
            self._arrived.clear()
        return parts

    async def _store_parts(self, parts: Sequence[_Waiting]) -> None:
        rows = [row for part in parts for row in part.rows]
        try:
            await self._insert(rows, token=str(uuid4()))
        except AiopsError as exc:  # raised where the rows came from
            _settle(parts, exc)
        else:
            _settle(parts, None)

    async def _insert(self, rows: Sequence[Row], token: str) -> None:
        attempt = 0
        while True:
            try:
                await self._store.insert(TABLE, COLUMNS, rows, token=token)
            except Unavailable as exc:
                self._say_away(exc)
                await self._sleep(RETRY[min(attempt, len(RETRY) - 1)])
                attempt += 1
            else:
                return self._say_back()

    def _say_away(self, why: Unavailable) -> None:
        if not self._away:
            log.warning("logs.raw is away, its rows wait", reason=str(why))
        self._away = True

    def _say_back(self) -> None:
        if self._away:
            log.info("logs.raw is back")
        self._away = False


def _settle(parts: Sequence[_Waiting], problem: AiopsError | None) -> None:
    for part in parts:
        if part.stored.done():  # its sender has gone
            continue
        if problem:
            part.stored.set_exception(problem)
        else:
            part.stored.set_result(None)
