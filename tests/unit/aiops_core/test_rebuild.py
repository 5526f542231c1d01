"""State that a failure has left half changed is made anew, before anybody sees it."""

import asyncio

import pytest

from aiops_core.errors import Premature, Reject, Unavailable
from aiops_core.models import AnomalyDetected, MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.handling import TICK_FAILURES
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service, Tuning
from aiops_core.runtime.storing import Storing
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import sample
from tests.runtime_cases import anomaly_of, out, running, until


class Summing:
    """Publishes the running total; its handler changes that and fails for what *fails* names."""

    def __init__(self, bus, fails=()):
        self.bus = bus
        self.total, self.recoveries = 0.0, 0
        self._fails = list(fails)
        self.service = Service(
            "s", {MetricSample: self.add}, recover=self.recover, rebuild=True, tick_every=0.01
        )

    async def add(self, received):
        message = received.message
        self.total += message.value
        if message.value in self._fails:
            self._fails.remove(message.value)
            raise ZeroDivisionError
        return [anomaly_of(message, value=self.total)]

    async def recover(self, bus):
        self.recoveries += 1
        history = bus.history([AnomalyDetected.subject], since=None)
        facts = [AnomalyDetected.model_validate_json(one.data) async for one in history]
        self.total = max((fact.value for fact in facts), default=0.0)

    @property
    def totals(self):
        return [fact.value for fact in self.bus.of(AnomalyDetected)]


@pytest.fixture
async def bus():
    bus = MemoryBus(retry_speed=0)
    await bus.publish([out(sample(10.0**n, n=n)) for n in range(4)])
    return bus


@pytest.mark.parametrize(
    ("fails", "totals"),
    [
        ((), [1, 11, 111, 1111]),
        ((1.0,), [1, 11, 111, 1111]),
        ((100.0,), [1, 11, 111, 1111]),
        ((1000.0,), [1, 11, 111, 1111]),
        ((1.0, 10.0, 100.0), [1, 11, 111, 1111]),
        ((10.0, 10.0), [1, 101, 1101, 1111]),
    ],
)
async def test_a_message_that_fails_once_keeps_its_place_and_one_that_fails_twice_waits(
    bus, fails, totals
):
    summing = Summing(bus, fails)
    async with running(bus, summing.service):
        await until(lambda: len(bus.acked) == 4)
    assert sorted(summing.totals) == summing.totals
    assert summing.totals[-1] == 1111 and len(summing.totals) == 4
    assert summing.totals == totals
    assert summing.recoveries == 1 + len(fails)


async def test_what_was_decided_before_is_settled_before_the_state_is_made_anew(bus):
    summing, seen = Summing(bus, [100.0]), []
    recover = summing.recover

    async def watched(bus):
        seen.append((len(bus.acked), len(summing.totals)))
        await recover(bus)

    summing.service = Service("s", {MetricSample: summing.add}, recover=watched, rebuild=True)
    async with running(bus, summing.service):
        await until(lambda: len(bus.acked) == 4)
    assert seen == [(0, 0), (2, 2)]


@pytest.mark.parametrize("problem", [Reject("no"), Unavailable("away"), Premature("not yet")])
async def test_what_handlers_raise_before_any_change_rebuilds_nothing(bus, problem):
    summing, tried = Summing(bus), []

    async def add(received):
        message = received.message
        if message.value == 10 and not tried:
            tried.append(message)
            raise problem
        return await summing.add(received)

    service = Service("s", {MetricSample: add}, recover=summing.recover, rebuild=True)
    async with running(bus, service):
        await until(lambda: len(bus.acked) + len(bus.buried) == 4)
    assert summing.recoveries == 1


async def test_no_tick_sees_the_state_between_the_failure_and_the_rebuilding(bus):
    summing, release, ticks = Summing(bus, [10.0]), asyncio.Event(), []
    recover = summing.recover

    async def slow(bus):
        if summing.recoveries:
            await release.wait()
        await recover(bus)

    def tick(_):
        ticks.append(summing.total)
        return []

    service = Service(
        "s",
        {MetricSample: summing.add},
        recover=slow,
        rebuild=True,
        tick=tick,
        tick_every=0.001,
    )
    async with running(bus, service) as engine:
        await until(lambda: summing.total == 11)
        await asyncio.sleep(0.02)
        assert 11 not in ticks and engine.readiness.state == "recovering"
        release.set()
        await until(lambda: len(bus.acked) == 4 and ticks[-1] == 1111)
        assert engine.readiness.state == "serving"


async def test_a_rebuilding_is_repeated_while_what_it_needs_is_away(bus, monkeypatch):
    monkeypatch.setattr("aiops_core.runtime.backoff.Backoff.after", lambda *_: 0.0)
    summing, tries = Summing(bus, [10.0]), 0
    recover = summing.recover

    async def away(bus):
        nonlocal tries
        tries += 1
        if 1 < tries < 5:
            raise Unavailable("nats: the history broke off")
        await recover(bus)

    service = Service("s", {MetricSample: summing.add}, recover=away, rebuild=True)
    async with running(bus, service):
        await until(lambda: len(bus.acked) == 4)
    assert summing.totals == [1, 11, 111, 1111]


async def test_a_rebuilding_that_fails_otherwise_ends_the_process(bus):
    summing = Summing(bus, [10.0])
    recover = summing.recover

    async def broken(bus):
        if summing.recoveries:
            raise LookupError("the rebuilding broke")
        await recover(bus)

    service = Service("s", {MetricSample: summing.add}, recover=broken, rebuild=True)
    with pytest.raises(ExceptionGroup) as end:
        async with asyncio.timeout(5):
            await Runtime(service, bus, Readiness("s")).run()
    assert "the rebuilding broke" in repr(end.value.exceptions)
    assert len(bus.acked) == 1


async def test_a_stop_ends_a_rebuilding_that_never_succeeds(bus):
    summing = Summing(bus, [10.0])
    recover = summing.recover

    async def hangs(bus):
        if summing.recoveries:
            await asyncio.Event().wait()
        await recover(bus)

    service = Service(
        "s",
        {MetricSample: summing.add},
        recover=hangs,
        rebuild=True,
        tuning=Tuning(drain_timeout=0.05),
    )
    async with running(bus, service):
        await until(lambda: summing.total == 11)
    assert summing.totals == [1]


class Ticking(Summing):
    """Doubles its total with each tick; the tick fails for as often as *fails* says."""

    def __init__(self, bus, fails):
        super().__init__(bus)
        self.left = fails
        self.ticks = 0
        self.service = Service(
            "s",
            {MetricSample: self.add},
            recover=self.recover,
            rebuild=True,
            tick=self.tick,
            tick_every=0.002,
        )

    def tick(self, now):
        self.ticks += 1
        if self.left:
            self.left -= 1
            self.total = -1
            raise ZeroDivisionError
        return []


async def test_a_tick_that_fails_is_left_out_and_the_state_made_anew(bus):
    ticking = Ticking(bus, fails=TICK_FAILURES - 1)
    async with running(bus, ticking.service):
        await until(lambda: len(bus.acked) == 4 and ticking.ticks > TICK_FAILURES)
    assert ticking.totals == [1, 11, 111, 1111]
    assert ticking.total == 1111 and ticking.recoveries == TICK_FAILURES


async def test_a_tick_that_fails_again_and_again_ends_the_process(bus):
    ticking = Ticking(bus, fails=TICK_FAILURES)
    with pytest.raises(ExceptionGroup) as end:
        async with asyncio.timeout(5):
            await Runtime(ticking.service, bus, Readiness("s")).run()
    assert "ZeroDivisionError" in repr(end.value.exceptions)


async def test_a_tick_without_state_to_rebuild_goes_on_as_well():
    bus, ticks = MemoryBus(), 0

    def tick(now):
        nonlocal ticks
        ticks += 1
        if ticks == 1:
            raise ZeroDivisionError
        return [Outgoing(anomaly_of(sample(1)), "once")]

    async def handle(_):
        return []

    service = Service("s", {MetricSample: handle}, tick=tick, tick_every=0.002)
    async with running(bus, service):
        await until(lambda: bus.of(AnomalyDetected))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rebuild": True},
        {"rebuild": True, "recover": print, "tuning": Tuning(concurrency=2)},
        {"rebuild": True, "recover": print, "sink": Storing(print)},
        {"tick": print, "sink": Storing(print)},
    ],
)
def test_what_the_runtime_cannot_keep_is_refused(wrong):
    with pytest.raises(ValueError, match="s: "):
        Service("s", {}, **wrong)
