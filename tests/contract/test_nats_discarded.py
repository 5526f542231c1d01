"""What a real broker discards before a consumer has read it is counted."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from aiops_core.adapters.nats import NatsBus
from aiops_core.adapters.nats_consumer import DurableConsumer
from aiops_core.models import LogEntry, MetricSample
from aiops_core.observability import metrics
from aiops_core.observability.probe import DISCARDED, Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.bus import Outgoing
from tests.conftest import ROOT, line, sample

pytestmark = pytest.mark.e2e

LIMITS = RetentionPolicy.load(ROOT / "policies").streams
SMALL = LIMITS.logs.model_copy(update={"max_bytes": 1_000_000})  # some 800 samples
BOTH = [LogEntry.subject, MetricSample.subject]


@pytest.fixture(autouse=True)
def nothing_yet():
    DISCARDED.clear()


@asynccontextmanager
async def small_bus(url):
    bus = NatsBus(url, LIMITS.model_copy(update={"logs": SMALL}), Readiness("test"), "test")
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


def samples(count, **fields):
    labels = {"padding": "x" * 800}
    return [out(sample(float(n), labels=labels, **fields)) for n in range(count)]


def out(message):
    return Outgoing(message, uuid.uuid4().hex)


async def stored(bus):
    return (await bus.js.stream_info("LOGS")).state.messages


def counted(group):
    return metrics.DISCARDED.labels("LOGS", group)._value.get()


async def read_all(inbox, but=0):
    """How many deliveries there were until no more than *but* were left."""
    count = 0
    while await inbox.lag() > but:
        taken = await inbox.take(500)
        await inbox.ack(taken)
        count += len(taken)
        await asyncio.sleep(0.01)
    return count


async def test_what_was_discarded_while_nobody_read_is_counted_once(own_nats):
    group = uuid.uuid4().hex
    async with small_bus(own_nats.url) as bus:
        async with bus.subscribe(BOTH, group=group) as inbox:
            await bus.publish(samples(10))
            await read_all(inbox)
            assert counted(group) == 0
        await bus.publish(samples(3000))
        lost = 3000 - await stored(bus)
        async with bus.subscribe(BOTH, group=group) as inbox:
            assert counted(group) == lost > 2000
            await inbox.lag()
            await read_all(inbox)
        async with bus.subscribe(BOTH, group=group) as inbox:
            await inbox.lag()
        assert counted(group) == lost


async def test_a_consumer_that_stands_still_is_overtaken(own_nats):
    group = uuid.uuid4().hex
    async with small_bus(own_nats.url) as bus:
        async with bus.subscribe(BOTH, group=group) as inbox:
            await bus.publish(samples(300))
            held = await inbox.take(100)
            await inbox.lag()
            await bus.publish(samples(3000))
            await inbox.lag()
            assert counted(group) > 1000
            await inbox.ack(held)
            read = len(held) + await read_all(inbox)
        assert read + counted(group) == 3300
        report = Readiness("test").report()["discarded"]
        assert report == {f"LOGS {group}": f"{counted(group):.0f} discarded before they were read"}


async def test_of_some_subjects_its_share_is_counted(own_nats):
    group = uuid.uuid4().hex
    async with small_bus(own_nats.url) as bus:
        async with bus.subscribe([LogEntry.subject], group=group):
            pass
        entries = [out(line(f"{n} {'x' * 800}")) for n in range(1000)]
        mixed = [one for pair in zip(samples(2000)[::2], entries, strict=True) for one in pair]
        await bus.publish(mixed)
        left = len([1 async for _ in bus.history([LogEntry.subject], since=None)])
        async with bus.subscribe([LogEntry.subject], group=group) as inbox:
            assert counted(group) == pytest.approx(1000 - left, abs=2)
            await read_all(inbox)
            await bus.publish(samples(3000))
            await inbox.lag()
        async with bus.subscribe([LogEntry.subject], group=group):
            assert counted(group) == pytest.approx(1000 - left, abs=2)


async def test_what_was_put_off_and_is_gone_will_not_come_again(own_nats):
    group = uuid.uuid4().hex
    async with (
        small_bus(own_nats.url) as bus,
        bus.subscribe(BOTH, group=group) as inbox,
    ):
        await bus.publish(samples(10))
        first, second, *others = await inbox.take(10)
        await first.retry(60)
        await second.retry(0)
        while not (again := await inbox.take(1)):
            pass
        await inbox.ack([*others, *again])
        for _ in range(6):
            await bus.publish(samples(300))
            await read_all(inbox, but=1)
        assert counted(group) == 1


def test_one_consumer_is_logged_once_a_minute():
    somebody = DurableConsumer(None, "somebody", "LOGS", (), 1)
    with capture_logs() as logs:
        for _ in range(3):
            somebody.discarded(5)
    assert [(one["event"], one["count"]) for one in logs] == [("unread messages discarded", 5)]
    assert DISCARDED["LOGS", "somebody"] == 15
