"""A durable consumer that somebody deleted goes on where its group was."""

import asyncio
import uuid
from contextlib import suppress

import pytest
from nats.js.errors import NotFoundError

from aiops_core.adapters.nats_offsets import ACK_FLOORS, AckFloor
from aiops_core.models import MetricSample
from aiops_core.runtime.bus import Outgoing
from tests.conftest import nats_bus, sample

pytestmark = pytest.mark.e2e


def out(value):
    message = sample(value, tracking_id=uuid.uuid4().hex)
    return Outgoing(message, message.tracking_id)


def value(delivery):
    return MetricSample.model_validate_json(delivery.data).value


async def take(inbox, count):
    taken = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            taken += await inbox.take(count - len(taken))
    return taken


async def nothing_more(inbox, within=1.0):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(inbox.take(1), within)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("aiops_core.adapters.nats_consumer.STORE_EVERY", 0.1)
    monkeypatch.setattr("aiops_core.adapters.nats_pull.PULL_AGAIN", 0.05)


def joined(bus, on_demand=False):
    return bus.subscribe([MetricSample.subject], group="g", pull_on_demand=on_demand)


@pytest.mark.parametrize("asked", [False, True], ids=["unasked", "floor-known"])
@pytest.mark.parametrize("on_demand", [False, True])
async def test_only_unacknowledged_messages_come_again(own_nats, quick, on_demand, asked):
    async with nats_bus(own_nats.url) as bus, joined(bus, on_demand) as inbox:
        await bus.publish([out(float(n)) for n in range(600)])
        taken = await take(inbox, 600)
        await inbox.ack(taken[:300] + taken[310:500])
        await taken[305].bury("no sense")
        await taken[306].retry(30)
        if asked:
            await asyncio.sleep(0.1)
            await inbox.lag()
        await bus.js.delete_consumer("LOGS", "g")
        again = await take(inbox, 109)
        await bus.publish([out(1000.0)])
        again += await take(inbox, 1)
        wanted = {n for n in range(300, 310) if n != 305} | set(range(500, 600)) | {1000}
        assert sorted(set(map(value, again))) == sorted(wanted)
        await inbox.ack(again)
        await nothing_more(inbox)


@pytest.mark.parametrize("on_demand", [False, True])
async def test_while_messages_flow_none_is_lost_and_none_handled_twice(own_nats, quick, on_demand):
    async with nats_bus(own_nats.url) as bus, joined(bus, on_demand) as inbox:
        received = []

        async def receive():
            while len(received) < 2000:
                for delivery in await inbox.take(50):
                    received.append(value(delivery))
                    await inbox.ack([delivery])

        receiving = asyncio.create_task(receive())
        for n in range(100):
            await bus.publish([out(float(n * 20 + m)) for m in range(20)])
            if n % 25 == 24:
                with suppress(NotFoundError):  # it has been deleted a moment ago
                    await bus.js.delete_consumer("LOGS", "g")
        await asyncio.wait_for(receiving, 20)
    assert set(received) == set(map(float, range(2000)))
    # Messages in flight when the consumer was deleted come twice, nothing else.
    assert len(received) - len(set(received)) <= 4 * 50 + 4


async def acked_and_stored(bus, count):
    async with joined(bus) as inbox:
        await bus.publish([out(float(n)) for n in range(count + 1)])
        taken = await take(inbox, count + 1)
        await inbox.ack(taken[:count])
        async with asyncio.timeout(5):
            while await bus.bucket(ACK_FLOORS).get("LOGS.g") is None:
                await inbox.lag()
                await asyncio.sleep(0.05)
    await bus.js.delete_consumer("LOGS", "g")


async def test_a_consumer_that_is_gone_at_the_start_is_made_at_the_stored_floor(own_nats, quick):
    async with nats_bus(own_nats.url) as bus:
        await acked_and_stored(bus, 10)
    async with nats_bus(own_nats.url) as bus, joined(bus) as inbox:
        assert [value(delivery) for delivery in await take(inbox, 1)] == [10.0]
        await nothing_more(inbox)


async def test_a_floor_of_a_former_stream_is_not_used(own_nats, quick):
    async with nats_bus(own_nats.url) as bus:
        await acked_and_stored(bus, 3)
        await bus.js.delete_stream("LOGS")
    async with nats_bus(own_nats.url) as bus:
        await bus.publish([out(float(n)) for n in range(10)])
        async with joined(bus) as inbox:
            assert list(map(value, await take(inbox, 10))) == list(map(float, range(10)))


@pytest.mark.parametrize("stored", [b"", b"\xff", b"[]", b"{}", b'{"stream_created": 1}', b"7"])
async def test_a_floor_that_cannot_be_read_means_the_beginning(own_nats, quick, stored):
    async with nats_bus(own_nats.url) as bus:
        await bus.bucket(ACK_FLOORS).put("LOGS.g", stored)
        await bus.publish([out(1.0)])
        async with joined(bus) as inbox:
            assert [value(delivery) for delivery in await take(inbox, 1)] == [1.0]


def test_what_is_remembered_has_a_bound(monkeypatch):
    monkeypatch.setattr("aiops_core.adapters.nats_offsets.MOST_ACKED", 10)
    floor = AckFloor()
    for sequence in range(1, 101):
        floor.acked(sequence)
    assert sum(map(floor.is_acked, range(1, 101))) <= 10
    assert floor.is_acked(100)
