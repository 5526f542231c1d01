"""Changes of a bucket -> the value that a service holds, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import BUCKET, KEY, Inventory
from aiops_core.models import Device
from aiops_core.runtime.watched import Watched, watched_inventory, watched_ship
from aiops_core.suppression.ship import ModeChange, ModeLog, Ship
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import NOON

ONE = Inventory([Device(id="a")])
TWO = Inventory([Device(id="a"), Device(id="b", upstream=("a",))])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_an_inventory_is_followed_and_each_change_is_told_once():
    bus, told = MemoryBus(), []
    watched = watched_inventory(bus, told.append)
    await watched.load(1)
    assert (watched.known, len(watched.value)) == (False, 0)
    keeping = asyncio.create_task(watched.keep())
    for inventory in (ONE, ONE, TWO):
        await bus.bucket(BUCKET).put(KEY, inventory.to_json())
        await until(lambda wanted=inventory: watched.value == wanted)
    await bus.bucket(BUCKET).put("another", b"key")
    await bus.bucket(BUCKET).put(KEY, ONE.to_json())
    await until(lambda: watched.value == ONE)
    keeping.cancel()
    assert told == [ONE, TWO, ONE]


async def test_what_cannot_be_read_or_is_gone_changes_nothing():
    bus = MemoryBus()
    watched = watched_inventory(bus)
    await bus.bucket(BUCKET).put(KEY, TWO.to_json())
    await watched.load(1)
    for spoil in (bus.bucket(BUCKET).put(KEY, b"nonsense"), bus.bucket(BUCKET).delete(KEY)):
        await spoil
        await watched.load(1)
        assert (watched.known, watched.value) == (True, TWO)


async def test_a_broker_that_is_away_or_hangs_does_not_keep_the_start():
    class Away:
        async def all(self):
            raise Unavailable("gone")

    class Hanging:
        async def all(self):
            await asyncio.sleep(60)

    for bucket in (Away(), Hanging()):
        watched = Watched("x", bucket, lambda values: 1, initial=0)
        await watched.load(0.01)
        assert (watched.known, watched.value) == (False, 0)


async def test_the_ship_is_known_also_when_nobody_said_anything_of_it():
    bus = MemoryBus()
    watched = watched_ship(bus)
    await watched.load(1)
    assert (watched.known, watched.value) == (True, Ship())
    log = ModeLog(changes=(ModeChange(mode="port", since=NOON),))
    await bus.bucket("ship").put("mode", log.model_dump_json().encode())
    await watched.load(1)
    assert watched.value.mode_at(NOON) == "port"
