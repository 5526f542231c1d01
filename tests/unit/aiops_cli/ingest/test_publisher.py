"""What enters the platform together is published together, in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from aiops_cli.ingest.sink import TOGETHER, Publisher
from aiops_core.errors import Reject
from aiops_core.runtime.bus import Outgoing
from aiops_lab.memory_bus import MemoryBus
from tests.incident_cases import at, detected


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
async def at_work(publisher: Publisher) -> AsyncIterator[None]:
    work = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        work.cancel()


async def test_what_comes_within_a_moment_goes_together():
    bus = Counting()
    publisher = Publisher(bus)
    async with at_work(publisher):
        await asyncio.gather(publisher.publish(some(0, 2)), publisher.publish(some(2, 3)))
        await publisher.publish(some(5, 1))
    assert bus.sizes == [5, 1]
    assert [m.tracking_id for m in bus.published] == [f"t{n}" for n in range(6)]


async def test_a_publication_has_a_largest_size():
    bus = Counting()
    publisher = Publisher(bus)
    async with at_work(publisher):
        parts = [some(n * 100, 100) for n in range(6)]
        await asyncio.gather(*(publisher.publish(part) for part in parts))
    assert bus.sizes == [200, 200, 200]
    assert max(bus.sizes) <= TOGETHER


async def test_messages_are_stamped_when_their_publication_begins():
    bus = Counting()

    def stamped(outgoing: Outgoing) -> Outgoing:
        return Outgoing(outgoing.message.stamped("detect", at(60)), outgoing.id)

    publisher = Publisher(bus, stamped)
    async with at_work(publisher):
        await publisher.publish(some(0, 1))
    assert [m.stages["detect"] for m in bus.published] == [at(60)]


async def test_what_the_bus_refuses_is_raised_where_it_came_from():
    bus = Counting()
    publisher = Publisher(bus)
    async with at_work(publisher):
        bus.problem = Reject("too large")
        with pytest.raises(Reject, match="too large"):
            await publisher.publish(some(0, 1))
        bus.problem = None
        await publisher.publish(some(1, 1))
    assert bus.sizes == [1]
