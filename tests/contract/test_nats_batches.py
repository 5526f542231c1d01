"""A broker that dies while it stores a batch: afterwards all of the batch is there, or none."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from aiops_core.adapters.nats_publish import PreparedMessage
from tests.conftest import nats_bus

SIZE = 400  # messages of one batch
KILLS = 6


def batch(name: str) -> list[PreparedMessage]:
    return [
        PreparedMessage("logs.batch", f"{name} {n} ".encode() + b"x" * 2000, {})
        for n in range(SIZE)
    ]


async def store_until_killed(server, name: str, rng: random.Random) -> None:
    """Batches one after the other, until the broker is killed at a random moment."""
    async with nats_bus(server.url) as bus:

        async def store() -> None:
            for n in range(10_000):
                await bus.store(batch(f"{name}-{n}"))

        storing = asyncio.create_task(store())
        await asyncio.sleep(rng.uniform(0.3, 0.8))
        server.kill()
        storing.cancel()


async def test_a_kill_in_the_middle_leaves_all_of_a_batch_or_none(own_nats):
    rng = random.Random(1)
    for n in range(KILLS):
        await store_until_killed(own_nats, f"kill{n}", rng)
        own_nats.start()
    async with nats_bus(own_nats.url) as bus:
        stored = [one.data async for one in bus.history(["logs.batch"], since=None)]
    counts = Counter(data.split()[0] for data in stored)
    assert len(counts) >= KILLS
    assert set(counts.values()) == {SIZE}
