"""Effects that are too large: their cause is a dead letter with the reason, all others go on."""

import asyncio

import pytest

from aiops_core.models import AnomalyDetected, LogEntry, MetricSample
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.bus import LARGEST, Outgoing
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service, Tuning
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import NOON, line, sample
from tests.runtime_cases import anomaly_of, nothing, out, running, until


def oversized(service):
    return metrics.OVERSIZED.labels(service)._value.get()


async def large_if_two(received):
    message = received.message
    """Effects of message 2 are larger than the broker takes."""
    size = 2000 if message.msg == "2" else 1
    return [anomaly_of(message, msg="m"), anomaly_of(message, msg="x" * size)]


def messages(bus):
    return [one.tracking_id for one in bus.of(AnomalyDetected)]


@pytest.fixture
async def bus():
    """Of a broker that takes less than consumers would."""
    bus = MemoryBus(max_payload=2000, retry_speed=0)
    await bus.publish([out(line(str(n), n=n)) for n in range(5)])
    return bus


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"sink": Publishing(merge=list)},
        {"tuning": Tuning(concurrency=4)},
    ],
)
async def test_what_the_broker_refuses_buries_its_cause_alone(bus, how):
    before = oversized("s")
    async with running(bus, Service("s", {LogEntry: large_if_two}, **how)):
        await until(lambda: len(bus.acked) == 4 and bus.buried)
    assert sorted(messages(bus)) == ["l0", "l0", "l1", "l1", "l3", "l3", "l4", "l4"]
    [(_, reason)] = bus.buried
    assert "larger than 2000" in reason
    assert oversized("s") == before + 1


async def test_state_that_tells_of_a_refused_effect_is_made_anew(bus):
    known, recovered = [], 0

    async def recover(_):
        nonlocal recovered
        recovered += 1
        known[:] = messages(bus)

    async def handle(received):
        message = received.message
        known.append(message.tracking_id)
        return (await large_if_two(received))[1:]

    service = Service("s", {LogEntry: handle}, recover=recover, rebuild=True)
    async with running(bus, service):
        await until(lambda: len(bus.acked) == 4 and bus.buried)
        await bus.publish([out(line("5", n=5))])
        await until(lambda: len(bus.acked) == 5)
    assert recovered == 2
    assert known == messages(bus) == ["l0", "l1", "l3", "l4", "l5"]


async def test_what_its_consumers_would_bury_is_refused_where_it_is_made():
    bus = MemoryBus(max_payload=100 * LARGEST)
    await bus.publish([out(line(str(n), n=n)) for n in range(3)])
    known = []

    async def recover(_):
        known[:] = messages(bus)

    async def handle(received):
        message = received.message
        known.append(message.tracking_id)
        return [anomaly_of(message, msg="é" * (LARGEST // 2 if message.msg == "1" else 1))]

    service = Service("s", {LogEntry: handle}, recover=recover, rebuild=True)
    async with running(bus, service):
        await until(lambda: len(bus.acked) == 2 and bus.buried)
        await bus.publish([out(line("3", n=3))])
        await until(lambda: len(bus.acked) == 3)
    [(_, reason)] = bus.buried
    assert AnomalyDetected.subject in reason and str(LARGEST) in reason
    assert known == messages(bus) == ["l0", "l2", "l3"]


async def test_what_would_be_too_large_when_it_is_joined_goes_alone():
    bus = MemoryBus(max_payload=100 * LARGEST)
    await bus.publish([out(line(str(n), n=n)) for n in range(3)])

    async def handle(received):
        message = received.message
        return [anomaly_of(message, msg="x" * (LARGEST // 2))]

    def merge(effects):
        joined = anomaly_of(line("x"), msg="".join(one.message.msg for one in effects))
        return [Outgoing(joined, effects[0].id)]

    async with running(bus, Service("s", {LogEntry: handle}, Publishing(merge=merge))):
        await until(lambda: len(bus.acked) == 3)
    assert messages(bus) == ["l0", "l1", "l2"] and not bus.buried


async def test_an_effect_as_large_as_allowed_is_handled_by_its_consumer_with_its_stage():
    bus, entry = MemoryBus(), line("x", stages={"ingest": NOON})
    await bus.publish([out(entry)])
    frame = len(anomaly_of(entry, msg="").stamped("detect", NOON).model_dump_json())

    async def handle(received):
        return [anomaly_of(received.message, msg="x" * (LARGEST - frame))]

    service = Service("s", {LogEntry: handle}, Publishing(stage="detect"))
    engine = Runtime(service, bus, Readiness("s"), clock=lambda: NOON)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run())
        await until(lambda: bus.of(AnomalyDetected))
        engine.stop.set()
    async with running(bus, Service("next", {AnomalyDetected: nothing})):
        await until(lambda: len(bus.acked) == 2)
    assert len(bus.stored[-1].data) == LARGEST and not bus.buried


@pytest.mark.parametrize("size", [LARGEST, 3000])
async def test_of_a_tick_what_is_too_large_is_counted_and_the_rest_goes_on(size):
    bus, before, ticks = MemoryBus(max_payload=2000), oversized("ticking"), 0

    def tick(_):
        nonlocal ticks
        ticks += 1
        large = anomaly_of(sample(1), msg="x" * size)
        return [Outgoing(large, "large"), Outgoing(anomaly_of(sample(2)), f"small/{ticks}")]

    service = Service("ticking", {MetricSample: nothing}, tick=tick, tick_every=0.002)
    async with running(bus, service):
        await until(lambda: len(bus.of(AnomalyDetected)) > 2)
    assert oversized("ticking") >= before + 2 and not bus.buried


async def test_other_problems_of_publishing_end_the_process(bus, monkeypatch):
    async def breaks(_):
        raise LookupError("the bus broke")

    monkeypatch.setattr(bus, "publish", breaks)
    with pytest.raises(ExceptionGroup) as end:
        async with asyncio.timeout(5):
            await Runtime(Service("s", {LogEntry: large_if_two}), bus, Readiness("s")).run()
    assert "the bus broke" in repr(end.value.exceptions)
    assert not bus.acked
