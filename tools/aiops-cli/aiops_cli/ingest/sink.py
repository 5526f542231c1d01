"""Where messages enter the platform: the bus, durably and in order, and every line in ``logs.raw``.

The bus comes first, because the fast path must not wait for the history: while ClickHouse is away,
publishing goes on and the rows wait in memory. How many may wait is up to the callers of ``send``,
who hold what is not done yet (``replay`` has a ``Window``).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from aiops_cli.ingest.raw import WRITERS, LogStore, RawWriter, Sleep, row_of
from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.adapters.nats import NatsBus
from aiops_core.errors import AiopsError, Misconfigured, Unavailable
from aiops_core.models import LogEntry, MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Bus, Outgoing

TOGETHER = 256  # messages of one publication at most
LINGER = 0.01  # seconds that messages wait for company, for which the broker syncs its disk once
SWITCH = 0.001  # seconds that a thread which encodes rows may keep the event loop waiting
CONNECT_WITHIN = 10.0  # seconds; a command that waits for ever looks like one that works
_NOT_MIGRATED = {60, 81}  # ClickHouse's codes for a table or a database that does not exist


class Sender(Protocol):
    """What ``replay`` needs of a sink."""

    async def send(
        self, entries: Sequence[LogEntry | MetricSample], raw: Sequence[str] | None = None
    ) -> None: ...


class Publisher:
    """Publishes in the order of the calls, and what is called for meanwhile in one go afterwards:
    a batch of two hundred takes the broker hardly longer than one of twenty."""

    def __init__(self, bus: Bus, stamped: Callable[[Outgoing], Outgoing] | None = None) -> None:
        """*stamped* is applied to each message when its publication begins."""
        self._bus, self._stamped = bus, stamped
        self._queue: deque[tuple[Sequence[Outgoing], asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Return when all of *outgoing* is stored."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((outgoing, stored))
        self._arrived.set()
        await stored

    async def run(self) -> None:
        """Ends by cancellation."""
        while True:
            await self._arrived.wait()
            if sum(len(outgoing) for outgoing, _ in self._queue) < TOGETHER:
                await asyncio.sleep(LINGER)
            self._arrived.clear()
            while self._queue:
                await self._publish(self._take())

    def _take(self) -> list[tuple[Sequence[Outgoing], asyncio.Future[None]]]:
        taken = [self._queue.popleft()]
        room = TOGETHER - len(taken[0][0])
        while self._queue and len(self._queue[0][0]) <= room:
            taken.append(self._queue.popleft())
            room -= len(taken[-1][0])
        return taken

    async def _publish(
        self, parts: Sequence[tuple[Sequence[Outgoing], asyncio.Future[None]]]
    ) -> None:
        try:
            items = [item for outgoing, _ in parts for item in outgoing]
            await self._bus.publish([self._stamped(i) for i in items] if self._stamped else items)
        except AiopsError as exc:  # raised where the messages came from
            for _, stored in parts:
                if not stored.done():
                    stored.set_exception(exc)
        else:
            for _, stored in parts:
                if not stored.done():
                    stored.set_result(None)


class Sink:
    """``async with Sink(bus, store) as sink: await sink.send(entries, lines)``, also concurrently."""

    def __init__(self, bus: Bus, store: LogStore, *, sleep: Sleep = asyncio.sleep) -> None:
        self._publisher = Publisher(bus)
        self._writer = RawWriter(store, sleep)
        self._tasks = asyncio.TaskGroup()
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        works = [self._publisher.run(), *(self._writer.run() for _ in range(WRITERS))]
        self._loops = [self._tasks.create_task(work) for work in works]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for loop in self._loops:
            loop.cancel()
        if isinstance(exc, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, exc, trace)
        else:  # an error of the caller's must not come out wrapped in a group
            await self._tasks.__aexit__(None, None, None)

    async def send(
        self, entries: Sequence[LogEntry | MetricSample], raw: Sequence[str] | None = None
    ) -> None:
        """Return when all *entries* are on the bus and the log lines among them in ``logs.raw``.

        *raw* are the lines as they were, by default the messages' own ``msg``. Cancelled, it leaves
        rows that already wait to be written; nobody then knows of it.
        """
        rows = [
            row_of(entry, raw[n] if raw else entry.msg)
            for n, entry in enumerate(entries)
            if isinstance(entry, LogEntry)
        ]
        await self._publisher.publish([Outgoing(entry, id=entry.tracking_id) for entry in entries])
        await self._writer.write(rows)


class _Migrated:
    """ClickHouse, for which a table that does not exist yet is one to wait for."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        token: str | None = None,
    ) -> None:
        try:
            await self._store.insert(table, columns, rows, token=token)
        except QueryFailed as exc:
            if exc.code in _NOT_MIGRATED:
                raise Unavailable(f"{table} does not exist until incident-api has started") from exc
            raise


@contextlib.asynccontextmanager
async def open_sink(settings: Settings) -> AsyncIterator[Sink]:
    """The sink of this deployment: NATS and ClickHouse as *settings* say; the one composition."""
    limits = RetentionPolicy.load(settings.policies).streams
    bus = NatsBus(settings.nats_url, limits, Readiness("ingest"), "ingest")
    sys.setswitchinterval(SWITCH)
    try:
        await _connect(bus)
        async with (
            ClickHouse.open(settings.clickhouse_url, threads=WRITERS) as store,
            Sink(bus, _Migrated(store)) as sink,
        ):
            yield sink
    finally:
        await bus.close()


async def _connect(bus: NatsBus) -> None:
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            await bus.connect()
    except TimeoutError as exc:
        raise Misconfigured(
            f"no NATS answers within {CONNECT_WITHIN:.0f} s; start one with `aiops up`, "
            "or say where it is in AIOPS_NATS_URL"
        ) from exc
