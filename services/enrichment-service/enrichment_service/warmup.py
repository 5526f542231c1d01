"""Fills the memory at start and refreshes it, without delaying a message.

Start: the cut-off is 20 s before the newest anomaly in ClickHouse, or an hour ago without it.
The stream is replayed from the cut-off on; ClickHouse gives older anomalies, whenever it answers.
Later: incidents every 15 s; a failed look-up is repeated after 2 s. Devices and the state of the
ship come from buckets of the broker, which are watched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from aiops_core.adapters.clickhouse import DEPENDENCY, QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.unreadable import read_stored
from aiops_core.runtime.watched import Watched
from aiops_core.utils import StructuredLogger
from enrichment_service import NAME, __version__
from enrichment_service.clickhouse_queries import ContextQueries
from enrichment_service.context import DEVICES, HISTORY, INCIDENTS, SIMILAR, Memory
from enrichment_service.past import AGE as SIMILAR_AGE
from enrichment_service.policy import BLIND_REPLAY

T = TypeVar("T")
log = StructuredLogger.get_logger(name="warmup", service=NAME, version=__version__)

INVENTORY = "inventory"  # as a dependency in /ready
STORED = (HISTORY, SIMILAR, INCIDENTS)
HISTORY_AGE = timedelta(hours=24)
INCIDENT_AGE = timedelta(days=30)
MARGIN = timedelta(seconds=20)  # rows are written in batches: later ones may have older times
FIRST_LOAD = 5.0  # seconds that the first message may wait for a slow ClickHouse
RETRY, ROUND = 2.0, 0.5  # seconds
SLICE = 500  # rows merged between yields to the event loop, about a millisecond


@dataclass
class Lookup:
    """A query, made once or *every* so many seconds."""

    name: str
    load: Callable[[], Awaitable[None]]
    every: float = float("inf")
    due: float = 0.0  # on the monotonic clock


class Warmup:
    def __init__(
        self,
        queries: ContextQueries,
        memory: Memory,
        readiness: Readiness,
        shared: Sequence[Watched[Any]] = (),
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queries = queries
        self._memory = memory
        self._readiness = readiness
        self._shared = shared
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._incidents_since: datetime | None = None
        self._first: asyncio.Future[None] | None = None
        self.lookups = (
            Lookup(HISTORY, self._load_history),
            Lookup(SIMILAR, self._load_similar),
            Lookup(INCIDENTS, self._load_incidents, every=15.0),
        )

    async def recover(self, bus: Bus) -> None:
        """Load the buckets, what ClickHouse gives in time, and the stream since the cut-off.

        A longer load continues in the background. It is never interrupted in a merge, which would
        count rows twice the next time. A repeated call continues with the same cut-off and load.
        """
        await asyncio.gather(*(watched.load(FIRST_LOAD) for watched in self._shared))
        cutoff = self._memory.cutoff or await self._choose_cutoff()
        self._memory.cutoff = cutoff
        self._first = self._first or asyncio.ensure_future(self.refresh())
        await asyncio.wait({self._first}, timeout=FIRST_LOAD)
        if self._first.done():
            self._first.result()
        replayed = 0
        async for stored in bus.history([AnomalyDetected.subject], since=cutoff):
            anomaly = read_stored(stored, "enrichment.anomalies")
            if isinstance(anomaly, AnomalyDetected):
                self._memory.record(self._memory.locate(anomaly))
                replayed += 1
        log.info(
            "recovered", replayed=replayed, since=cutoff.isoformat(), failed=self._memory.failed
        )

    async def aclose(self) -> None:
        """Cancel a first load that is still running."""
        if self._first:
            self._first.cancel()
            await asyncio.wait({self._first})

    async def keep_fresh(self) -> None:
        """The background loop: refresh every look-up when it is due."""
        if self._first:
            await self._first
        while True:
            self._watch_clock()
            for kind, size in self._memory.sizes().items():
                metrics.STATE_SIZE.labels(NAME, kind).set(size)
            await self._sleep(ROUND)
            await self.refresh()

    def _watch_clock(self) -> None:
        """Move the cut-off when the clock was set back: later anomalies are not older."""
        now, cutoff = self._clock(), self._memory.cutoff
        if cutoff is not None and now < cutoff:
            metrics.CLOCK_STEPS.labels("host").inc()
            log.warning("the clock was set back", now=now.isoformat(), cutoff=cutoff.isoformat())
            self._memory.cutoff = now

    async def refresh(self) -> None:
        """Make all look-ups that are due, and say in the readiness how that went."""
        problem = None
        for lookup in self.lookups:
            if lookup.due <= self._monotonic():
                problem = await self._attempt(lookup) or problem
        self._report(problem)

    async def _attempt(self, lookup: Lookup) -> str | None:
        """The problem that *lookup* met, if any."""
        try:
            await lookup.load()
        except (Unavailable, QueryFailed) as exc:
            self._memory.lost(lookup.name)
            lookup.due = self._monotonic() + RETRY
            return str(exc)
        self._memory.found(lookup.name)
        lookup.due = self._monotonic() + lookup.every
        return None

    def _report(self, problem: str | None) -> None:
        if DEVICES in self._memory.failed:
            self._readiness.down(INVENTORY, "incident-api has not published the devices yet")
        else:
            self._readiness.up(INVENTORY)
        failed = [name for name in self._memory.failed if name in STORED]
        if problem:
            self._readiness.down(DEPENDENCY, f"{problem}; context without {', '.join(failed)}")
        elif not failed:
            self._readiness.up(DEPENDENCY)

    async def _choose_cutoff(self) -> datetime:
        now = self._clock()
        oldest = now - HISTORY_AGE
        try:
            async with asyncio.timeout(FIRST_LOAD):
                newest = await self._queries.newest(oldest)
        except (Unavailable, QueryFailed, TimeoutError):
            return now - BLIND_REPLAY
        return max(min(newest, now) - MARGIN, oldest) if newest else oldest

    async def _load_history(self) -> None:
        cutoff = self._memory.cutoff or self._clock()
        rows = await self._queries.history(self._clock() - HISTORY_AGE, cutoff)
        async for row in _in_slices(reversed(rows)):
            self._memory.add_counts(*row)

    async def _load_similar(self) -> None:
        rows = await self._queries.similar(self._clock() - SIMILAR_AGE)
        async for fingerprint, similar in _in_slices(rows):
            self._memory.similar.put(fingerprint, similar)

    async def _load_incidents(self) -> None:
        """The whole past once, later only changes."""
        now, since = self._clock(), self._incidents_since
        for row in await self._queries.incidents(since or now - INCIDENT_AGE):
            self._memory.set_incident(*row, now=now + MARGIN)
        for membership in await self._queries.memberships(since or now - SIMILAR_AGE):
            self._memory.similar.set_membership(*membership)
        self._incidents_since = now - MARGIN


async def _in_slices(rows: Iterable[T]) -> AsyncIterator[T]:
    """*rows*, with a yield to the event loop after each slice."""
    for n, row in enumerate(rows, start=1):
        yield row
        if n % SLICE == 0:
            await asyncio.sleep(0)
