"""What the bus promises while its broker dies and comes back."""

import asyncio
import uuid

import pytest

from aiops_core.adapters.nats import NatsBus
from aiops_core.adapters.nats_publish import BATCH, MSG_ID
from aiops_core.errors import Unavailable
from aiops_core.models import MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.bus import REASON, SOURCE, SUBJECT, Outgoing
from tests.conftest import ROOT, nats_bus, sample

pytestmark = pytest.mark.e2e


def out(value):
    message = sample(value, tracking_id=uuid.uuid4().hex)
    return Outgoing(message, message.tracking_id)


@pytest.mark.parametrize(("together", "on_demand"), [(1, False), (100, False), (1, True)])
async def test_a_broker_that_is_killed_while_messages_flow_loses_and_doubles_nothing(
    own_nats, together, on_demand
):
    async with (
        nats_bus(own_nats.url) as bus,
        bus.subscribe([MetricSample.subject], group="g", pull_on_demand=on_demand) as inbox,
    ):
        sent = [out(float(n)) for n in range(400 * together)]
        received: list[float] = []

        async def publish():
            for n in range(0, len(sent), together):
                await bus.publish(sent[n : n + together])

        async def receive():
            while len(set(received)) < len(sent):
                for delivery in await inbox.take(50):
                    received.append(MetricSample.model_validate_json(delivery.data).value)
                    await inbox.ack([delivery])

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(publish())
            tasks.create_task(receive())
            for _ in range(2):
                await asyncio.sleep(0.15)
                own_nats.kill()
                await asyncio.sleep(0.3)
                own_nats.start()
        stored = [s async for s in bus.history([MetricSample.subject], since=None)]
        assert len(stored) == len(sent)


@pytest.mark.parametrize("before", [0, 1, 499])
async def test_effects_of_one_message_are_stored_together_or_not_at_all(own_nats, before):
    ids = [f"svc/LOGS/{n}/0" for n in range(before)] + ["svc/LOGS/9999/0", "svc/LOGS/9999/1"]
    async with nats_bus(own_nats.url) as bus:
        await bus.publish([Outgoing(sample(float(n)), id_) for n, id_ in enumerate(ids)])
        stored = [s async for s in bus.history([MetricSample.subject], since=None)]
    assert [s.headers[MSG_ID] for s in stored] == ids
    assert stored[-1].headers[BATCH] == stored[-2].headers[BATCH]


async def test_of_two_messages_that_nothing_joins_each_goes_alone(own_nats):
    async with nats_bus(own_nats.url) as bus:
        await bus.publish([out(1.0), out(2.0)])
        stored = [s async for s in bus.history([MetricSample.subject], since=None)]
    assert [BATCH in s.headers for s in stored] == [False, False]


async def test_readiness_says_that_the_broker_is_away_and_back(own_nats):
    state = Readiness("s")
    async with nats_bus(own_nats.url, state) as bus:
        state.state = "serving"
        assert state.ready
        own_nats.kill()
        async with asyncio.timeout(10):
            while state.ready:
                await asyncio.sleep(0.02)
        assert not bus.connected
        own_nats.start()
        async with asyncio.timeout(10):
            while not state.ready:
                await asyncio.sleep(0.02)


async def test_a_broker_that_is_not_there_yet_is_waited_for(own_nats):
    own_nats.kill()
    state = Readiness("s")
    bus = NatsBus(own_nats.url, RetentionPolicy.load(ROOT / "policies").streams, state, "test")
    connecting = asyncio.create_task(bus.connect())
    await asyncio.sleep(0.5)
    assert not connecting.done() and state.report()["dependencies"]["nats"].startswith("down")
    own_nats.start()
    await asyncio.wait_for(connecting, 10)
    await bus.close()


async def test_a_dead_letter_keeps_the_bytes_the_reason_and_the_source(own_nats):
    async with nats_bus(own_nats.url) as bus:
        await bus.client.publish(MetricSample.subject, b"\xff nonsense")
        async with bus.subscribe([MetricSample.subject], group="svc") as inbox:
            [delivery] = await inbox.take(1)
            await delivery.bury("no sense:\nnone at all \u2693")
        dead = await bus.js.get_last_msg("OPS", "dead.svc")
        assert dead.data == b"\xff nonsense"
        assert dead.headers[REASON] == "no sense: none at all \\u2693"
        assert dead.headers[SUBJECT] == MetricSample.subject
        assert dead.headers[SOURCE] == "LOGS/1"


async def test_a_dead_letter_as_large_as_the_broker_takes_is_cut_and_says_so(own_nats):
    async with nats_bus(own_nats.url) as bus:
        largest = bus.client.max_payload
        await bus.client.publish(MetricSample.subject, b"x" * largest)
        async with bus.subscribe([MetricSample.subject], group="svc") as inbox:
            [delivery] = await inbox.take(1)
            await delivery.bury("too large")
        dead = await bus.js.get_last_msg("OPS", "dead.svc")
        assert dead.headers["Aiops-Truncated-From"] == str(largest)
        assert len(dead.data) > largest // 2


async def test_limits_of_the_policy_reach_streams_that_exist_already(own_nats):
    limits = RetentionPolicy.load(ROOT / "policies").streams
    async with nats_bus(own_nats.url):
        pass
    smaller = limits.model_copy(
        update={"logs": limits.logs.model_copy(update={"max_bytes": 5_000_000})}
    )
    bus = NatsBus(own_nats.url, smaller, Readiness("s"), "test")
    await bus.connect()
    assert (await bus.js.stream_info("LOGS")).config.max_bytes == 5_000_000
    await bus.close()


async def test_what_is_handled_for_long_is_not_delivered_twice(own_nats, monkeypatch):
    monkeypatch.setattr("aiops_core.adapters.nats_consumer.ACK_WAIT", 1.0)
    monkeypatch.setattr("aiops_core.adapters.nats_inbox.KEEPALIVE", 0.3)
    async with nats_bus(own_nats.url) as bus:
        await bus.publish([out(1.0)])
        async with bus.subscribe([MetricSample.subject], group="slow") as inbox:
            [delivery] = await inbox.take(1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(inbox.take(1), 2.5)
            await inbox.ack([delivery])


@pytest.mark.parametrize("on_demand", [False, True])
async def test_a_consumer_that_somebody_deleted_is_made_anew(own_nats, monkeypatch, on_demand):
    monkeypatch.setattr("aiops_core.adapters.nats_pull.HEARTBEAT", 0.2)
    monkeypatch.setattr("aiops_core.adapters.nats_pull.PULL_AGAIN", 0.1)
    async with (
        nats_bus(own_nats.url) as bus,
        bus.subscribe([MetricSample.subject], group="g", pull_on_demand=on_demand) as inbox,
    ):
        taking = asyncio.create_task(inbox.take(1))
        await asyncio.sleep(0.2)
        await bus.js.delete_consumer("LOGS", "g")
        await bus.publish([out(1.0)])
        [delivery] = await asyncio.wait_for(taking, 10)
        assert MetricSample.model_validate_json(delivery.data).value == 1.0


async def test_a_request_that_ran_out_is_followed_by_the_next(own_nats, monkeypatch):
    monkeypatch.setattr("aiops_core.adapters.nats_pull.REQUEST_EXPIRES", 0.5)
    monkeypatch.setattr("aiops_core.adapters.nats_pull.HEARTBEAT", 0.2)
    monkeypatch.setattr("aiops_core.adapters.nats_inbox.KEEPALIVE", 60)
    async with (
        nats_bus(own_nats.url) as bus,
        bus.subscribe([MetricSample.subject], group="g") as inbox,
    ):
        taking = asyncio.create_task(inbox.take(1))
        await asyncio.sleep(1.2)
        await bus.publish([out(1.0)])
        assert await asyncio.wait_for(taking, 0.4)


async def test_a_watched_bucket_is_seen_again_after_the_broker_was_killed(own_nats):
    async with nats_bus(own_nats.url) as bus, nats_bus(own_nats.url) as other:
        bucket = bus.bucket("silences")
        await bucket.put("a", b"1")
        watching = bucket.watch()
        async with asyncio.timeout(20):
            assert await anext(watching) == {"a": b"1"}
            own_nats.kill()
            with pytest.raises(Unavailable):
                await bucket.put("lost", b"0")
            own_nats.start()
            while not other.connected:
                await asyncio.sleep(0.05)
            await other.bucket("silences").put("b", b"2")
            while await anext(watching) != {"a": b"1", "b": b"2"}:
                pass
        await watching.aclose()
