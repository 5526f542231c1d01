"""What keeps a bus going has an owner: it tries again what the broker did not do, and a bug ends
the process."""

import asyncio
import socket
import uuid
from contextlib import asynccontextmanager, closing, suppress

import pytest
from nats.aio.client import Client
from nats.js.errors import ServiceUnavailableError
from structlog.testing import capture_logs

from aiops_core.adapters.nats import NatsBus
from aiops_core.adapters.nats_consumer import DurableConsumer
from aiops_core.models import MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.bus import Outgoing
from tests.conftest import ROOT, nats_bus, sample, tcp_server

LIMITS = RetentionPolicy.load(ROOT / "policies").streams


def out(value):
    message = sample(value, tracking_id=uuid.uuid4().hex)
    return Outgoing(message, message.tracking_id)


def joined(bus, **options):
    return bus.subscribe([MetricSample.subject], group="g", **options)


class Bug(Exception):
    """Nothing that a broker does."""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("aiops_core.adapters.nats_consumer.ACK_WAIT", 1.0)
    monkeypatch.setattr("aiops_core.adapters.nats_inbox.KEEPALIVE", 0.3)
    monkeypatch.setattr("aiops_core.adapters.nats_pull.HEARTBEAT", 0.2)
    monkeypatch.setattr("aiops_core.adapters.nats_connection.ANSWER_WITHIN", 0.5)


def failing(monkeypatch, exc, times):
    """Every consumer's ``ensure`` raises *exc* so many times; returns its calls."""
    calls, real = [], DurableConsumer.ensure

    async def ensure(self):
        calls.append(self)
        if len(calls) <= times:
            raise exc
        return await real(self)

    monkeypatch.setattr(DurableConsumer, "ensure", ensure)
    return calls


@pytest.mark.e2e
@pytest.mark.parametrize("exc", [TimeoutError(), ServiceUnavailableError(), ConnectionResetError()])
async def test_signs_of_life_go_on_while_the_consumer_cannot_be_looked_after(
    own_nats, quick, monkeypatch, exc
):
    async with nats_bus(own_nats.url) as bus, joined(bus) as inbox:
        await bus.publish([out(1.0)])
        [delivery] = await inbox.take(1)
        calls = failing(monkeypatch, exc, 4)
        inbox._doubt()
        await asyncio.sleep(2.5)  # more than twice the ack wait
        assert len(calls) > 1
        async with asyncio.timeout(15):
            while len(calls) < 5:
                await asyncio.sleep(0.05)
        await inbox.ack([delivery])
        await bus.publish([out(2.0)])
        [delivery] = await asyncio.wait_for(inbox.take(1), 5)
        assert MetricSample.model_validate_json(delivery.data).value == 2.0
        assert delivery.attempt == 1


@pytest.mark.e2e
async def test_tries_become_rarer_and_are_said_once(own_nats, quick, monkeypatch):
    state = Readiness("test")
    async with nats_bus(own_nats.url, state) as bus, joined(bus) as inbox:
        with capture_logs() as said:
            calls = failing(monkeypatch, ServiceUnavailableError(), 1000)
            inbox._doubt()
            await asyncio.sleep(3)
            assert 3 <= len(calls) <= 6
            assert "refuses to keep the consumer g" in str(state.report())
        assert len([line for line in said if line["event"] == "nats does not work"]) == 1


@pytest.mark.e2e
async def test_a_bug_in_the_upkeep_reaches_who_reads(own_nats, quick, monkeypatch):
    async with nats_bus(own_nats.url) as bus:
        with pytest.raises(Bug):
            async with joined(bus) as inbox:
                failing(monkeypatch, Bug(), 1)
                inbox._doubt()
                await asyncio.wait_for(inbox.take(1), 10)


@pytest.mark.e2e
async def test_a_bug_in_the_upkeep_of_the_connection_reaches_who_reads_and_who_publishes(
    own_nats, monkeypatch
):
    async def fail(js):
        raise Bug

    bus = NatsBus(own_nats.url, LIMITS, Readiness("test"), "test")
    await bus.connect()
    with pytest.raises(Bug):
        async with joined(bus) as inbox:
            bus._connection._ensure_streams = fail
            bus._connection.refused("do anything", OSError("no"))
            await asyncio.wait_for(inbox.take(1), 10)
    with pytest.raises(Bug):
        await bus.publish([out(1.0)])
    with pytest.raises(Bug):
        await bus.close()


@pytest.mark.e2e
@pytest.mark.parametrize("on_demand", [False, True])
async def test_a_reader_that_has_all_it_may_have_and_takes_its_time_is_no_trouble(
    own_nats, quick, on_demand
):
    state = Readiness("test", state="serving")
    async with (
        nats_bus(own_nats.url, state) as bus,
        joined(bus, max_ack_pending=2, pull_on_demand=on_demand) as inbox,
    ):
        await bus.publish([out(float(n)) for n in range(5)])
        first = await inbox.take(2)
        for _ in range(10):
            await asyncio.sleep(0.2)  # together more than three heartbeats
            assert state.ready
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.take(1), 1)
        assert state.ready
        await inbox.ack(first)
        assert await asyncio.wait_for(inbox.take(1), 5)


@pytest.mark.e2e
async def test_an_error_of_the_reader_comes_out_as_it_is(own_nats):
    async with nats_bus(own_nats.url) as bus:
        with pytest.raises(Bug):
            async with joined(bus):
                raise Bug


@asynccontextmanager
async def dumb_broker():
    """Says what nats-py wants to hear of a broker, and nothing of JetStream. Yields its URL and
    its connections."""
    connections = set()
    info = b'INFO {"server_id":"x","version":"2.12.0","max_payload":1048576,"headers":true}\r\n'

    async def serve(reader, writer):
        connections.add(writer)
        writer.write(info)
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        connections.discard(writer)

    async with tcp_server(serve) as port:
        yield f"nats://127.0.0.1:{port}", connections


async def test_a_broker_without_jetstream_gets_one_connection_however_long_it_takes(quick):
    before = len(asyncio.all_tasks())
    state = Readiness("test")
    async with dumb_broker() as (url, connections):
        bus = NatsBus(url, LIMITS, state, "test")
        connecting = asyncio.create_task(bus.connect())
        tasks = []
        for _ in range(6):
            await asyncio.sleep(0.6)
            tasks.append(len(asyncio.all_tasks()))
            assert len(connections) == 1
        assert not connecting.done()
        assert max(tasks) == min(tasks[1:])
        assert "refuses to show or make its streams" in str(state.report())
        connecting.cancel()
        await asyncio.wait({connecting}, timeout=1)
        assert connecting.cancelled()
        await bus.close()
        await asyncio.sleep(0.1)
        assert not connections
    assert len(asyncio.all_tasks()) <= before


async def test_a_broker_that_accepts_and_says_nothing_is_waited_for(quick):
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        bus = NatsBus(f"nats://127.0.0.1:{listening.getsockname()[1]}", LIMITS, Readiness("t"), "t")
        connecting = asyncio.create_task(bus.connect())
        await asyncio.sleep(0.3)
        connecting.cancel()
        await asyncio.wait({connecting}, timeout=1)
        assert connecting.cancelled()
        async with asyncio.timeout(3):
            await bus.close()


async def take_two(bus):
    async with joined(bus) as inbox:
        await inbox.take(1)
        await inbox.take(1)


async def bury(bus):
    async with joined(bus) as inbox:
        [delivery] = await inbox.take(1)
        await delivery.bury("no sense")


async def publish_many(bus):
    await bus.publish([out(float(n)) for n in range(2000)])


@asynccontextmanager
async def away(bus, server):
    server.kill()
    async with asyncio.timeout(5):
        while bus.connected:
            await asyncio.sleep(0.01)
    yield
    server.start()


@asynccontextmanager
async def refusing(bus, server):
    config = (await bus.js.stream_info("LOGS")).config
    config.sealed = True  # it takes nothing any more
    await bus.js.update_stream(config)
    yield


@pytest.mark.e2e
@pytest.mark.parametrize("broken", [away, refusing])
@pytest.mark.parametrize("work", [publish_many, take_two, bury])
async def test_a_stop_is_heard_at_every_moment(own_nats, quick, broken, work):
    """Cancelled at forty moments of its life it ends within a second each time."""
    async with nats_bus(own_nats.url) as bus:
        await bus.publish([out(1.0)])
        async with broken(bus, own_nats):
            for turn in range(40):
                task = asyncio.create_task(work(bus))
                for _ in range(turn * 2):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task}, timeout=1)
                assert task.done()


@pytest.mark.e2e
@pytest.mark.parametrize("work", [publish_many, take_two, bury])
async def test_a_cancellation_that_nats_py_swallows_is_heard(own_nats, quick, monkeypatch, work):
    """During each request and each message to the broker in turn; the first message waits."""
    working: set[asyncio.Task] = set()
    calls, swallowed_at = 0, 0

    def swallowing(name):
        real = getattr(Client, name)

        async def call(client, *args, **options):
            nonlocal calls
            if asyncio.current_task() in working:
                calls += 1
                if calls == swallowed_at:
                    asyncio.current_task().cancel()
                    with suppress(asyncio.CancelledError):
                        await asyncio.sleep(0)
            return await real(client, *args, **options)

        monkeypatch.setattr(Client, name, call)

    for name in ("request", "publish", "subscribe"):
        swallowing(name)
    async with nats_bus(own_nats.url) as bus:
        await bus.publish([out(1.0)])
        for swallowed_at in range(1, 30):
            calls = 0
            task = asyncio.create_task(work(bus))
            working.add(task)
            await asyncio.wait({task}, timeout=1)
            heard, made = task.cancelled(), calls  # before it hands back what it has
            task.cancel()
            await asyncio.wait({task}, timeout=1)
            if made < swallowed_at:
                break
            assert heard, f"not after call {swallowed_at}"
    assert swallowed_at > 3
