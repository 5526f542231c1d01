"""Whatever a service waits for fails once, at every place: nothing lost, doubled or half changed.

What is away is tried again. Any other problem of the bus, the store or a recovery ends the process
with that problem, and its supervisor starts it again; of a handler it puts off one message.
"""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from aiops_core.errors import Unavailable, first_of
from aiops_core.models import AnomalyDetected, MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import Backoff
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service, Tuning
from aiops_core.runtime.storing import Storing
from tests.conftest import sample
from tests.runtime_cases import Faults, FaultyBus, anomaly_of, nothing, out, until

MESSAGES = 6


class Injected(Exception):
    """No error that anybody foresaw."""


@dataclass
class Store:
    """Outlives the processes that write into it."""

    rows: set[str] = field(default_factory=set)


class Process:
    """One life of a service, with the state that this life has."""

    def __init__(self, bus, store):
        self.bus, self.store, self.faults = bus, store, bus.faults
        self.engine = Runtime(self.service(), bus, Readiness("s"))

    async def live(self, done):
        """Until *done*, then a stop; raises what ended it before."""
        async with asyncio.timeout(5):
            running = asyncio.create_task(self.engine.run())
            try:
                while not running.done() and not done():
                    await asyncio.sleep(0.001)
            finally:
                self.engine.stop.set()
                await running


class Summing(Process):
    """Publishes a running total. It meets what is away before it changes state, bugs after."""

    awaits = frozenset({"recover", "newest", "history", "publish"})

    def service(self):
        self.total, self.told = 0.0, set()
        return Service(
            "s",
            {MetricSample: self.add},
            Publishing(merge=list),
            tuning=Tuning(max_batch=3),
            recover=self.recover,
            rebuild=True,
        )

    async def add(self, received):
        message = received.message
        if message.value in self.told:
            return []
        if isinstance(self.faults.problem, Unavailable):
            await self.faults.step("handle")
        self.told.add(message.value)
        self.total += message.value
        if not isinstance(self.faults.problem, Unavailable):
            await self.faults.step("handle")
        return [anomaly_of(message, value=self.total, threshold=message.value)]

    async def recover(self, bus):
        await self.faults.step("recover")
        await bus.newest(AnomalyDetected.subject)
        history = bus.history([AnomalyDetected.subject], since=None)
        facts = [AnomalyDetected.model_validate_json(one.data) async for one in history]
        self.told = {fact.threshold for fact in facts}
        self.total = max((fact.value for fact in facts), default=0.0)

    def check(self):
        facts = self.bus.of(AnomalyDetected)
        assert sorted(fact.threshold for fact in facts) == [2.0**n for n in range(MESSAGES)]
        totals = [0.0, *(fact.value for fact in facts)]
        assert [b - a for a, b in pairwise(totals)] == [fact.threshold for fact in facts]
        assert self.total == totals[-1]


class Mapping(Process):
    """Publishes two effects for each message, without a state: in order, or several at a time."""

    awaits = frozenset({"publish"})
    concurrency = 1

    def service(self):
        tuning = Tuning(max_batch=3, concurrency=self.concurrency)
        return Service("s", {MetricSample: self.map}, tuning=tuning)

    async def map(self, received):
        message = received.message
        await self.faults.step("handle")
        return [anomaly_of(message), anomaly_of(message, anomaly_type="second")]

    def check(self):
        of = sorted((one.tracking_id, one.anomaly_type) for one in self.bus.of(AnomalyDetected))
        assert of == sorted((f"m{n}", kind) for n in range(MESSAGES) for kind in ("t", "second"))


class MappingConcurrently(Mapping):
    concurrency = 3


class Writing(Process):
    """Writes rows before it acknowledges."""

    awaits = frozenset({"flush"})
    concurrency = 1

    def service(self):
        self.queued = []
        tuning = Tuning(max_batch=3, concurrency=self.concurrency)
        sink = Storing(self.flush, every=0.001)
        return Service("s", {MetricSample: self.queue}, sink, tuning=tuning)

    async def queue(self, received):
        message = received.message
        await self.faults.step("handle")
        self.queued.append(message.tracking_id)
        return []

    async def flush(self):
        while len(self.store.rows.union(self.queued)) < MESSAGES:  # else their number is chance
            await asyncio.sleep(0.001)
        if self.queued:
            await self.faults.step("flush", self.write)
        return {}

    async def write(self):
        self.store.rows |= set(self.queued)
        self.queued.clear()

    def check(self):
        rows = {f"m{n}" for n in range(MESSAGES)}
        acked = {MetricSample.model_validate_json(data).tracking_id for data in self.bus.acked}
        assert acked <= self.store.rows == rows


class WritingConcurrently(Writing):
    concurrency = 3


SERVICES = (Summing, Mapping, MappingConcurrently, Writing, WritingConcurrently)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(Backoff, "after", lambda *_: 0.0)


async def lives(kind, faults):
    """All lives until every message is settled: the problems that ended some, and the last."""
    bus, store, ends = FaultyBus(faults), Store(), []
    fails, faults.fails = faults.fails, None
    await bus.publish([out(sample(2.0**n, n=n)) for n in range(MESSAGES)])
    faults.fails, faults.steps = fails, []
    began = time.monotonic()

    def settled():
        inbox = bus._inboxes.get("s")
        done = inbox and inbox.offset().ack_floor == MESSAGES
        return done and (faults.has_failed or time.monotonic() - began > 0.5)

    while len(ends) < 3:
        process = kind(bus, store)
        try:
            await process.live(settled)
            return ends, process
        except (Injected, Unavailable, ExceptionGroup) as exc:
            ends.append(first_of(exc))
    raise AssertionError(ends)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("problem", [Unavailable("away"), Injected("bug")], ids=["away", "bug"])
@pytest.mark.parametrize("kind", SERVICES)
async def test_each_await_fails_once(kind, problem, after):
    """*after*: it was done, and the failure told nevertheless, as when an answer is lost."""
    undisturbed = Faults()
    ends, process = await lives(kind, undisturbed)
    assert not ends
    process.check()
    seen = set()
    for n, failed in enumerate(undisturbed.steps):
        number = undisturbed.steps[: n + 1].count(failed)
        faults = Faults((failed, number), problem, after=after)
        ends, process = await lives(kind, faults)
        if not faults.has_failed:  # how many acknowledgements go together is chance
            continue
        seen.add(failed)
        assert not process.bus.buried, failed
        process.check()
        own_care = isinstance(problem, Unavailable) or failed == "handle"
        assert ends == ([] if own_care else [problem]), failed
    assert seen >= {"subscribe", "take", "handle", "ack", "lag"} | kind.awaits


@pytest.mark.parametrize("step", ["retry", "bury"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("problem", [Unavailable("away"), Injected("bug")], ids=["away", "bug"])
async def test_putting_off_and_burying_fail_once(step, after, problem):
    faults = Faults((step, 1), problem, after=after)
    bus, tries = FaultyBus(faults, retry_speed=0), 0
    await bus.publish([out(sample(1))])

    async def fails(_):
        nonlocal tries
        tries += 1
        raise ZeroDivisionError

    class Failing(Process):
        def service(self):
            return Service("s", {MetricSample: fails})

    ends = []
    while not (bus.buried and not bus._inboxes["s"].in_flight) and len(ends) < 3:
        try:
            await Failing(bus, None).live(lambda: bus.buried and not bus._inboxes["s"].in_flight)
        except ExceptionGroup as exc:
            ends.append(first_of(exc))
    assert step in faults.steps
    assert len([s for s in bus.stored if s.subject == "dead.s"]) == 1
    assert ends in ([], [problem])
    assert isinstance(problem, Injected) or not ends


async def test_a_failure_of_a_flush_reaches_the_end_of_the_process():
    faults = Faults()
    bus = FaultyBus(faults)
    await bus.publish([out(sample(1))])

    async def breaks():
        raise Injected("the flush broke")

    service = Service("s", {MetricSample: nothing}, Storing(breaks, every=0.01))
    engine = Runtime(service, bus, Readiness("s"))
    with pytest.raises(ExceptionGroup) as end:
        async with asyncio.timeout(5):
            await engine.run()
    assert isinstance(first_of(end.value), Injected)
    assert not bus.acked
    await until(lambda: bus._inboxes["s"].waiting)
