"""Flow control: how many lines a second, how much in flight, how much in a batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from aiops_core.errors import AiopsError, first_of

T = TypeVar("T")

TICK = 0.02  # seconds; shorter ticks load the event loop, longer ones show in the latencies
BACKLOG = 0.1  # seconds of delay that are made up for; a longer delay stays


class RateLimiter:
    """Allows *rate* lines a second, evenly, in ticks of *tick* seconds."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tick: float = TICK,
    ) -> None:
        self._rate, self._clock, self._sleep, self._tick = rate, clock, sleep, tick
        self._start = clock()
        self._allowed = 0

    async def allowance(self) -> int:
        """Wait for the next tick in which at least one line is due; return how many are due."""
        await self._sleep(self._tick)
        while (due := self._due()) < 1:
            next_at = (self._allowed + 1) / self._rate + self._start
            await self._sleep(max(self._tick, next_at - self._clock()))
        self._allowed += due
        return due

    def _due(self) -> int:
        elapsed = self._clock() - self._start
        behind = elapsed - self._allowed / self._rate
        most = max(BACKLOG, 1 / self._rate)
        if behind > most:
            self._start += behind - most
            elapsed -= behind - most
        return int(elapsed * self._rate + 1e-9) - self._allowed


class InFlightLimit:
    """At most *size* units are in flight; first come, first served.

    A single demand for more than *size* waits until nothing else is in flight.
    """

    def __init__(self, size: int) -> None:
        self.used = 0
        self._size = size
        self._queue = asyncio.Lock()
        self._released = asyncio.Event()

    async def acquire(self, units: int) -> None:
        """Return when there is room for *units*."""
        async with self._queue:
            while self.used and self.used + units > self._size:
                self._released.clear()
                await self._released.wait()
            self.used += units

    def release(self, units: int) -> None:
        """Free the *units* of something that has arrived."""
        self.used -= units
        self._released.set()


class Batcher(Generic[T]):
    """Collects what concurrent callers add and writes it in batches, in the order of the calls.

    A batch of fewer than *largest* items waits *linger* seconds for more. With *eager*, what was
    added during a write follows at once, without lingering.
    """

    def __init__(
        self,
        write: Callable[[list[T]], Awaitable[object]],
        *,
        largest: int,
        linger: float,
        eager: bool = False,
    ) -> None:
        self._write, self._largest, self._linger, self._eager = write, largest, linger, eager
        self._queue: deque[tuple[Sequence[T], asyncio.Future[None]]] = deque()
        self._added = asyncio.Event()

    async def add(self, items: Sequence[T]) -> None:
        """Return when all *items* are written. Raises the error of the batch they were part of."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((items, written))
        self._added.set()
        await written

    async def run(self) -> None:
        """Write until cancelled. Each concurrent call of ``run`` is one more writer."""
        while True:
            await self._added.wait()
            if sum(len(items) for items, _ in self._queue) < self._largest:
                await asyncio.sleep(self._linger)
            while self._queue:
                await self._write_next()
                if not self._eager:
                    break
            if not self._queue:
                self._added.clear()

    async def _write_next(self) -> None:
        calls = [self._queue.popleft()]
        size = len(calls[0][0])
        while self._queue and size + len(self._queue[0][0]) <= self._largest:
            calls.append(self._queue.popleft())
            size += len(calls[-1][0])
        problem: AiopsError | None = None
        try:
            await self._write([item for items, _ in calls for item in items])
        except AiopsError as exc:
            problem = exc
        for _, written in calls:
            if written.done():  # its caller was cancelled
                continue
            if problem:
                written.set_exception(problem)
            else:
                written.set_result(None)


@contextlib.asynccontextmanager
async def running(loops: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run *loops* while the body runs. A loop that fails cancels the body, and its error is raised.

    An error of the body is raised as it is, not in a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failed:
        raise first_of(failed) from None
