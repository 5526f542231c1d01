"""Messages → the bus, durably and in order, and log lines also → ClickHouse's ``logs.raw``.

The bus comes first, because the fast path must not wait for the history: while ClickHouse is away,
publishing goes on and rows wait in memory. Callers of ``send`` bound how many wait, because a call
returns when its rows are stored (``replay`` uses an ``InFlightLimit``).

An insert whose answer is lost is sent again with the same token, and ClickHouse drops the second
one (``non_replicated_deduplication_window`` of the table). Lines of an earlier replay are known by
their ids, as long as ``logs.raw`` keeps them (decision 29). When it could not be asked about lines
before they were sent, it is asked before their rows are inserted.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

from aiops_cli.ingest.flow import Batcher, running
from aiops_cli.ingest.lines import STAGE, UNSHIFTED, IngestMessage, states_time
from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.adapters.nats import NatsBus
from aiops_core.errors import Misconfigured, Unavailable
from aiops_core.models import LogEntry
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import Settings
from aiops_core.runtime.backoff import Backoff, until_available
from aiops_core.runtime.bus import Bus, Outgoing

MAX_PUBLISH = 256  # messages of one publication
PUBLISH_LINGER = 0.01  # seconds; the broker syncs its disk once for a publication

TABLE = "logs.raw"
COLUMNS = (
    *("tracking_id", "ship_id", "ts", "ingestion_timestamp", "host", "device_id", "service"),
    *("level", "msg", "source", "labels", "raw"),
)
KNOWN = f"SELECT tracking_id FROM {TABLE} WHERE tracking_id IN %(ids)s"  # noqa: S608 - our table
# By the primary key, which the times of a file's lines narrow down to a few granules.
KNOWN_OF_TIME = f"{KNOWN} AND ship_id = %(ship)s AND ts >= %(since)s AND ts <= %(until)s"
ASK_AGAIN = 5.0  # seconds after ClickHouse did not answer
MAX_ROWS = 1000  # of one insert; many small inserts make ClickHouse merge for ever
ROWS_LINGER = 1.0  # seconds; the history is not on the fast path
WRITERS = 2  # concurrent inserts
RETRY = Backoff(first=0.1, most=2.0)  # while ClickHouse is away
_NOT_MIGRATED = {60, 81}  # ClickHouse's codes for a table or a database that does not exist

SWITCH_INTERVAL = 0.001  # seconds that a thread which encodes rows may hold up the event loop
CONNECT_TIMEOUT = 10.0  # seconds

RawRow = tuple[object, ...]


class LogStore(Protocol):
    """The port to ClickHouse. Raises Unavailable while it is away."""

    async def query(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> list[tuple[Any, ...]]: ...

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        token: str | None = None,
    ) -> None: ...


class MessageSink(Protocol):
    """Takes messages. ``send`` returns when they are stored."""

    async def send(
        self, entries: Sequence[IngestMessage], raw: Sequence[str] | None = None
    ) -> None: ...

    async def known(self, entries: Sequence[IngestMessage]) -> Collection[str]:
        """The tracking ids of those that were stored before."""


def publishing(publish: Callable[[list[Outgoing]], Awaitable[object]]) -> Batcher[Outgoing]:
    """Joins concurrent publications: 200 messages take the broker hardly longer than 20."""
    return Batcher(publish, largest=MAX_PUBLISH, linger=PUBLISH_LINGER, eager=True)


class IngestSink:
    """Bus and ``logs.raw``; ``send`` may be called concurrently."""

    def __init__(
        self,
        store: LogStore,
        messages: Batcher[Outgoing],
        rows: Batcher[RawRow],
        unasked: set[str],
    ) -> None:
        """*unasked* gets the ids of lines that may be in *store* already."""
        self._store, self._messages, self._rows, self._unasked = store, messages, rows, unasked
        self._ask_again_at = 0.0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, bus: Bus, store: LogStore, *, linger: float = ROWS_LINGER, retry: Backoff = RETRY
    ) -> AsyncIterator[IngestSink]:
        unasked: set[str] = set()

        async def insert(rows: list[RawRow]) -> None:
            token, ids = str(uuid4()), {str(row[0]) for row in rows}
            doubtful = tuple(ids & unasked)
            await until_available(_insert, store, rows, doubtful, token, backoff=retry)
            unasked.difference_update(ids)

        messages = publishing(bus.publish)
        rows = Batcher(insert, largest=MAX_ROWS, linger=linger)
        async with running([messages.run(), *(rows.run() for _ in range(WRITERS))]):
            yield cls(store, messages, rows, unasked)

    async def send(
        self, entries: Sequence[IngestMessage], raw: Sequence[str] | None = None
    ) -> None:
        """Return when all *entries* are on the bus and the log lines among them in ``logs.raw``.

        *raw* are the original lines, by default each message's ``raw`` or ``msg``. When the call is
        cancelled, rows that wait already are still written.
        """
        rows = [
            row_of(entry, raw[n] if raw else entry.raw or entry.msg)
            for n, entry in enumerate(entries)
            if isinstance(entry, LogEntry)
        ]
        await self._messages.add([Outgoing(entry, id=entry.tracking_id) for entry in entries])
        parts = [rows[start : start + MAX_ROWS] for start in range(0, len(rows), MAX_ROWS)]
        await asyncio.gather(*(self._rows.add(part) for part in parts))

    async def known(self, entries: Sequence[IngestMessage]) -> Collection[str]:
        """The tracking ids of those that ``logs.raw`` has; none while ClickHouse does not answer.

        Sending does not wait for it: for a while the broker refuses the second by itself.
        """
        lines = [entry for entry in entries if isinstance(entry, LogEntry)]
        if not lines:
            return ()
        if time.monotonic() < self._ask_again_at:
            self._unasked.update(line.tracking_id for line in lines)
            return ()
        timed = [line for line in lines if _comes_again(line)]
        others = [line.tracking_id for line in lines if not _comes_again(line)]
        found: set[str] = set()
        try:
            if timed:
                times = [line.ts for line in timed]
                about = {
                    "ship": timed[0].ship_id,
                    "since": min(times),
                    "until": max(times) + timedelta(seconds=1),  # the driver cuts fractions off
                    "ids": tuple(line.tracking_id for line in timed),
                }
                found.update(row[0] for row in await self._store.query(KNOWN_OF_TIME, about))
            if others:
                rows = await self._store.query(KNOWN, {"ids": tuple(others)})
                found.update(row[0] for row in rows)
        except Unavailable:
            self._ask_again_at = time.monotonic() + ASK_AGAIN
            self._unasked.update(line.tracking_id for line in lines)
        except QueryFailed as exc:
            if exc.code not in _NOT_MIGRATED:
                raise
        return found


def _comes_again(line: LogEntry) -> bool:
    """Whether *line* has the same time whenever it is sent."""
    return states_time(line) and UNSHIFTED not in line.labels


def row_of(entry: LogEntry, raw: str) -> RawRow:
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


async def _insert(
    store: LogStore, rows: Sequence[RawRow], doubtful: Collection[str], token: str
) -> None:
    """Insert *rows*; those whose ids are *doubtful* only if the table does not have them."""
    try:
        if doubtful:
            known = {row[0] for row in await store.query(KNOWN, {"ids": tuple(doubtful)})}
            rows = [row for row in rows if row[0] not in known]
        if rows:
            await store.insert(TABLE, COLUMNS, rows, token=token)
    except QueryFailed as exc:
        if exc.code in _NOT_MIGRATED:
            raise Unavailable(f"{TABLE} does not exist until incident-api has started") from exc
        raise


@contextlib.asynccontextmanager
async def open_sink(settings: Settings) -> AsyncIterator[IngestSink]:
    """The sink of this deployment: NATS and ClickHouse as *settings* say."""
    limits = RetentionPolicy.load(settings.policies).streams
    bus = NatsBus(settings.nats_url, limits, Readiness("ingest"), "ingest")
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await bus.connect()
        except TimeoutError as exc:
            raise Misconfigured(
                f"no NATS answers within {CONNECT_TIMEOUT:.0f} s; start one with `aiops up`, "
                "or say where it is in AIOPS_NATS_URL"
            ) from exc
        async with (
            ClickHouse.open(settings.clickhouse_url, threads=WRITERS) as store,
            IngestSink.open(bus, store) as sink,
        ):
            yield sink
    finally:
        await bus.close()
