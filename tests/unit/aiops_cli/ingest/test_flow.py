"""Rate, room in flight and batches of those who send to the platform."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from aiops_cli.ingest.flow import BACKLOG, TICK, Batcher, InFlightLimit, RateLimiter
from aiops_cli.ingest.sink import MAX_PUBLISH, publishing
from aiops_core.errors import Reject
from aiops_core.runtime.bus import Outgoing
from aiops_lab.memory_bus import MemoryBus
from tests.incident_cases import detected


class Counting(MemoryBus):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.problem: Exception | None = None

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        if self.problem:
            raise self.problem
        self.sizes.append(len(outgoing))
        await super().publish(outgoing)


def some(first: int, count: int) -> list[Outgoing]:
    return [Outgoing(detected(n), f"m{n}") for n in range(first, first + count)]


@contextlib.asynccontextmanager
async def at_work(publisher: Batcher[Any]) -> AsyncIterator[None]:
    work = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        work.cancel()


async def test_what_comes_within_a_moment_goes_together():
    bus = Counting()
    publisher = publishing(bus.publish)
    async with at_work(publisher):
        await asyncio.gather(publisher.add(some(0, 2)), publisher.add(some(2, 3)))
        await publisher.add(some(5, 1))
    assert bus.sizes == [5, 1]
    assert [m.tracking_id for m in bus.published] == [f"t{n}" for n in range(6)]


async def test_a_publication_has_a_largest_size():
    bus = Counting()
    publisher = publishing(bus.publish)
    async with at_work(publisher):
        parts = [some(n * 100, 100) for n in range(6)]
        await asyncio.gather(*(publisher.add(part) for part in parts))
    assert bus.sizes == [200, 200, 200]
    assert max(bus.sizes) <= MAX_PUBLISH


@pytest.mark.parametrize(("eager", "sizes"), [(True, [1, 2, 1]), (False, [1, 3])])
async def test_only_an_eager_batcher_writes_without_lingering_what_came_during_a_write(
    eager: bool, sizes: list[int]
):
    written: list[int] = []
    later: list[asyncio.Task[None]] = []

    async def write(items: list[str]) -> None:
        written.append(len(items))
        if len(written) == 1:  # two come during the first write, one shortly after it
            later.extend(asyncio.create_task(batcher.add([name])) for name in ("b", "c"))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(
                0.01, lambda: later.append(asyncio.create_task(batcher.add(["d"])))
            )

    batcher = Batcher[str](write, largest=10, linger=0.05, eager=eager)
    async with at_work(batcher):
        await batcher.add(["a"])
        await asyncio.sleep(0.02)
        await asyncio.gather(*later)
    assert written == sizes


async def test_what_the_bus_refuses_is_raised_where_it_came_from():
    bus = Counting()
    publisher = publishing(bus.publish)
    async with at_work(publisher):
        bus.problem = Reject("too large")
        with pytest.raises(Reject, match="too large"):
            await publisher.add(some(0, 1))
        bus.problem = None
        await publisher.add(some(1, 1))
    assert bus.sizes == [1]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class TestRateLimiter:
    @pytest.mark.parametrize("rate", [0.5, 1, 7, 49, 50, 333, 1000, 20_000])
    async def test_the_rate_is_met_in_small_steps(self, rate: float):
        clock = Clock()
        limiter = RateLimiter(rate, clock, clock.sleep)
        given = [await limiter.allowance() for _ in range(200)]
        assert sum(given) == pytest.approx((clock.now - 100) * rate, abs=1.01)
        assert max(given) <= rate * TICK + 1

    async def test_a_stall_is_no_reason_for_a_burst(self):
        clock = Clock()
        limiter = RateLimiter(1000, clock, clock.sleep)
        await limiter.allowance()
        clock.now += 60
        assert await limiter.allowance() <= 1000 * BACKLOG
        steady = [await limiter.allowance() for _ in range(5)]
        assert steady == [20] * 5

    async def test_a_short_delay_is_made_up_for(self):
        clock = Clock()
        limiter = RateLimiter(1000, clock, clock.sleep)
        given = 0
        for delay in itertools.islice(itertools.cycle((0, 0.03)), 100):
            clock.now += delay
            given += await limiter.allowance()
        assert given == pytest.approx((clock.now - 100) * 1000, abs=1.01)


class TestInFlightLimit:
    async def test_first_come_first_served(self):
        limit, order = InFlightLimit(10), []

        async def one(name: str, units: int) -> None:
            await limit.acquire(units)
            order.append(name)

        tasks = [asyncio.create_task(one(n, u)) for n, u in (("a", 8), ("b", 5), ("c", 1))]
        await asyncio.sleep(0)
        assert order == ["a"]
        limit.release(8)
        await asyncio.gather(*tasks)
        assert (order, limit.used) == (["a", "b", "c"], 6)

    async def test_more_than_the_window_waits_for_an_empty_one(self):
        limit = InFlightLimit(10)
        await limit.acquire(25)
        waiting = asyncio.create_task(limit.acquire(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        limit.release(25)
        await waiting

    async def test_who_gives_up_leaves_no_trace(self):
        limit = InFlightLimit(10)
        await limit.acquire(10)
        first, second = (asyncio.create_task(limit.acquire(n)) for n in (10, 3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        limit.release(10)
        await second
        assert limit.used == 3

    async def test_who_gives_up_when_let_in_gives_back(self):
        limit = InFlightLimit(10)
        await limit.acquire(10)
        waiting = asyncio.create_task(limit.acquire(10))
        await asyncio.sleep(0)
        limit.release(10)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert limit.used == 0
