"""Services on a bus in memory, and a bus whose calls fail."""

import asyncio
from contextlib import asynccontextmanager

from aiops_core.models import AnomalyDetected
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.received import Received
from aiops_core.runtime.runtime import Runtime
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import NOON


def out(message, id=None):
    return Outgoing(message, id or message.tracking_id)


async def nothing(_):
    return []


def anomaly_of(message, **fields):
    base = {"domain": "system", "anomaly_type": "t", "service": "app", "host": message.host}
    base |= {"detector": "d", "score": 0.5, "severity": "low", "msg": "m"}
    return message.derive(AnomalyDetected, **base | fields)


async def found(received):
    return [anomaly_of(received.message)]


def received(message, **delivery):
    """*message* as a handler gets it."""
    known = {"sequence": 1, "attempt": 1, "at": NOON, "data": b""} | delivery
    return Received(message, message.subject, **known)


@asynccontextmanager
async def running(bus, service):
    engine = Runtime(service, bus, Readiness(service.name))
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        engine.stop.set()
        async with asyncio.timeout(5):
            await task


async def until(condition, within=5.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.002)


class Faults:
    """Counts steps; one of them (its name and number) fails once with *problem*: before it is done,
    or *after*."""

    def __init__(self, fails=None, problem=None, *, after=False):
        self.fails, self.problem, self.after = fails, problem, after
        self.steps = []

    @property
    def has_failed(self):
        return self.fails is None or self.steps.count(self.fails[0]) >= self.fails[1]

    async def step(self, name, work=None):
        self.steps.append(name)
        due = (name, self.steps.count(name)) == self.fails
        if due and not self.after:
            raise self.problem
        done = await work() if work else None
        if due:
            raise self.problem
        return done


class FaultyDelivery:
    def __init__(self, delivery, faults):
        self.inner, self.faults = delivery, faults

    def __getattr__(self, name):
        return getattr(self.inner, name)

    async def retry(self, delay):
        return await self.faults.step("retry", lambda: self.inner.retry(delay))

    async def bury(self, reason):
        return await self.faults.step("bury", lambda: self.inner.bury(reason))


class FaultyInbox:
    def __init__(self, inbox, faults):
        self.inner, self.faults = inbox, faults

    async def take(self, most):
        """Fails before it takes: what is taken and lost comes again only to the next process."""
        await self.faults.step("take")
        return [FaultyDelivery(one, self.faults) for one in await self.inner.take(most)]

    async def ack(self, handled):
        await self.faults.step("ack", lambda: self.inner.ack(handled))

    async def lag(self):
        return await self.faults.step("lag", self.inner.lag)


class FaultyBus(MemoryBus):
    def __init__(self, faults, **how):
        super().__init__(**how)
        self.faults = faults

    async def publish(self, outgoing):
        await self.faults.step("publish", lambda: super(FaultyBus, self).publish(outgoing))

    @asynccontextmanager
    async def subscribe(self, subjects, **how):
        await self.faults.step("subscribe")
        async with super().subscribe(subjects, **how) as inbox:
            yield FaultyInbox(inbox, self.faults)

    async def history(self, subjects, *, since):
        await self.faults.step("history")
        async for stored in super().history(subjects, since=since):
            yield stored
            await self.faults.step("history")

    async def newest(self, subject):
        return await self.faults.step("newest", lambda: super(FaultyBus, self).newest(subject))
