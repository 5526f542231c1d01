"""A stop is heard in every phase, also when the broker never answers, and within ten seconds."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import pytest

from aiops_core.errors import Unavailable
from aiops_core.models import LogEntry
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime import launch, stopping
from aiops_core.runtime.launch import Context
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service, Tuning
from aiops_core.runtime.stopping import Stop
from aiops_core.runtime.storing import Storing
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import ROOT, line
from tests.runtime_cases import found, nothing, until

WEB = ROOT / "services/incident-api/incident_api/web.py"


async def never(*_):
    await asyncio.Event().wait()


class Silent(MemoryBus):
    """Never answers in the phase that *hangs*; the message of the test is there."""

    def __init__(self, hangs):
        super().__init__()
        self.hangs, self.reached = hangs, False

    async def phase(self, name):
        if name == self.hangs:
            self.reached = True
            await never()

    async def publish(self, outgoing):
        await self.phase("publish")
        await super().publish(outgoing)

    async def history(self, subjects, *, since):
        await self.phase("history")
        return
        yield

    @asynccontextmanager
    async def subscribe(self, subjects, **how):
        await self.phase("subscribe")
        async with super().subscribe(subjects, **how) as inbox:
            try:
                yield SilentInbox(self, inbox)
            finally:
                await self.phase("unsubscribe")


class SilentInbox:
    def __init__(self, bus, inbox):
        self.bus, self.inbox = bus, inbox

    async def take(self, most):
        await self.bus.phase("take")
        return [SilentDelivery(self.bus, one) for one in await self.inbox.take(most)]

    async def ack(self, handled):
        await self.bus.phase("ack")
        await self.inbox.ack(handled)

    async def lag(self):
        await self.bus.phase("lag")
        return await self.inbox.lag()


class SilentDelivery:
    def __init__(self, bus, delivery):
        self.bus, self.delivery = bus, delivery

    def __getattr__(self, name):
        return getattr(self.delivery, name)

    async def retry(self, delay):
        await self.bus.phase("retry")
        await self.delivery.retry(delay)

    async def bury(self, reason):
        await self.bus.phase("bury")
        return await self.delivery.bury(reason)


def service_of(bus, **how):
    async def recover(bus):
        await bus.phase("recover")
        async for _ in bus.history([LogEntry.subject], since=None):
            pass

    async def handle(received):
        await bus.phase("handle")
        if bus.hangs == "retry":
            raise ZeroDivisionError
        return await found(received)

    async def keep():
        try:
            await never()
        finally:
            await bus.phase("last words")

    base = {"recover": recover, "tuning": Tuning(drain_timeout=0.05), "background": [keep]}
    return Service("s", **{"handlers": {LogEntry: handle}} | base | how)


async def stops(bus, service):
    """Run until the phase is reached, or long enough; then stop, and see that it ends in time."""
    bus.put(LogEntry.subject, b"{" if bus.hangs == "bury" else line("x").model_dump_json().encode())
    engine = Runtime(service, bus, Readiness("s"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(engine.run())
        if bus.hangs not in ("unsubscribe", "last words"):
            await until(lambda: bus.reached)
        else:
            await until(lambda: bus.acked)
        await asyncio.sleep(0.01)
        assert not serving.done()
        began = time.monotonic()
        engine.stop.set()
        await serving
    assert bus.reached
    assert time.monotonic() - began < 0.5
    assert engine.readiness.state == "stopped"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("aiops_core.runtime.runtime.LAST", 0.05)


PHASES = (
    *("recover", "history", "subscribe", "take", "lag", "handle", "publish", "ack"),
    *("retry", "bury", "last words", "unsubscribe"),
)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_stop_is_heard_while_the_broker_does_not_answer(phase):
    bus = Silent(phase)
    await stops(bus, service_of(bus))


@pytest.mark.parametrize("phase", ["handle", "publish", "ack", "take", "retry", "bury"])
async def test_a_stop_is_heard_by_a_service_with_many_messages_in_hand(phase):
    bus = Silent(phase)
    await stops(bus, service_of(bus, tuning=Tuning(concurrency=4, drain_timeout=0.05)))


def stored_by(flush):
    return {"handlers": {LogEntry: nothing}, "sink": Storing(flush, every=0.01)}


@pytest.mark.parametrize("phase", ["flush", "ack"])
async def test_a_stop_is_heard_while_the_store_does_not_answer(phase):
    bus = Silent(phase)

    async def flush():
        await bus.phase("flush")
        return {}

    await stops(bus, service_of(bus, **stored_by(flush)))


@pytest.mark.parametrize("phase", ["recover", "flush"])
async def test_a_stop_is_heard_while_something_is_tried_again_and_again(phase):
    bus = Silent(phase)

    async def away(*_):
        bus.reached = True
        raise Unavailable("the store is away")

    how = {"recover": away} if phase == "recover" else stored_by(away)
    await stops(bus, service_of(bus, **how))


async def test_a_stop_before_the_start_is_heard():
    bus = Silent("none")
    engine = Runtime(service_of(bus), bus, Readiness("s"))
    engine.stop.set()
    await asyncio.wait_for(engine.run(), 1)
    assert engine.readiness.state == "stopped" and not bus.acked


class Broker:
    """What ``launch`` needs of a bus, on one in memory: *connect* or *close* never ends."""

    def __init__(self, hangs):
        self.hangs, self.connecting = hangs, asyncio.Event()

    async def connect(self):
        self.connecting.set()
        await (never() if self.hangs == "connect" else nothing(None))

    async def close(self):
        await (never() if self.hangs == "close" else nothing(None))


@pytest.mark.parametrize("phase", ["connect", "close"])
async def test_a_stop_is_heard_while_a_connection_is_made_or_closed(phase, monkeypatch):
    monkeypatch.setattr(launch, "CLOSE", 0.05)
    broker, bus, stop = Broker(phase), Silent("none"), Stop()
    runtime = Runtime(Service("s", {LogEntry: found}), bus, Readiness("s"), stop=stop)
    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        tasks.create_task(launch._run([runtime], broker, stop))
        await broker.connecting.wait()
        await asyncio.sleep(0.02)
        stop.set()


async def test_all_consumers_of_a_process_must_serve_before_it_is_ready():
    readiness, release = Readiness("s"), asyncio.Event()

    async def recover(_):
        await release.wait()

    history = Service("s", {LogEntry: nothing}, consumer="s-history", recover=recover)
    context = Context(Settings.read(), MemoryBus(), readiness, beside=[history])
    runtimes = launch._runtimes(Service("s", {LogEntry: nothing}), context)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for runtime in runtimes:
            tasks.create_task(runtime.run())
        await until(lambda: readiness.state == "serving")
        await asyncio.sleep(0.02)
        assert not readiness.ready
        assert readiness.report()["parts"] == {"s-history": "recovering"}
        release.set()
        await until(lambda: readiness.ready)
        context.stop.set()
    assert not readiness.ready


async def test_what_a_background_loop_does_last_may_take_its_time():
    bus, done = MemoryBus(), []

    async def keep():
        try:
            await never()
        finally:
            await asyncio.sleep(0.02)
            done.append("snapshot")

    engine = Runtime(Service("s", {LogEntry: nothing}, background=[keep]), bus, Readiness("s"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run())
        await until(lambda: engine.readiness.state == "serving")
        engine.stop.set()
    assert done == ["snapshot"]


OWNED = (
    *sorted(set(ROOT.glob("aiops_core/**/*.py")) - set(ROOT.glob("aiops_core/adapters/*"))),
    WEB,
)


@pytest.mark.parametrize("path", OWNED, ids=lambda path: path.stem)
def test_no_task_is_started_without_an_owner(path):
    """What a task group starts, it ends: its failure is nobody's secret."""
    assert not re.findall(r"asyncio\.(create_task|ensure_future)\(", path.read_text())


def test_all_graces_together_stay_under_ten_seconds():
    phases = stopping.DRAIN + stopping.LAST + stopping.CLOSE + stopping.WEB
    assert phases < stopping.END < 10


HANGS = """
import asyncio, time
from aiops_core.runtime import launch
from aiops_core.runtime.stopping import Stop

async def main():
    launch.END = 0.3
    launch._stop_by_signal(Stop())
    print("hears", flush=True)
    await asyncio.to_thread(time.sleep, 60)

asyncio.run(main())
"""


def test_a_process_whose_thread_hangs_leaves_nevertheless():
    command = [sys.executable, "-c", HANGS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"hears\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert b"left without an end" in process.stdout.read() + process.stderr.read()


async def test_timeouts_of_the_body_are_not_taken_for_the_stop():
    stop = Stop()
    with pytest.raises(TimeoutError):
        async with stop.limits():
            raise TimeoutError
    async with stop.limits(5) as limit:
        await asyncio.sleep(0)
    stop.set()
    assert not limit.expired()


async def test_what_a_stop_has_cut_off_is_told_by_its_limit():
    stop = Stop()
    stop.set()
    async with stop.limits(0.01) as limit:
        await never()
    assert limit.expired()


async def test_a_stop_that_is_repeated_gives_no_more_time():
    stop = Stop()
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:

        async def again():
            while not limit.expired():
                stop.set()
                await asyncio.sleep(0.01)

        async with stop.limits(0.05) as limit:
            tasks.create_task(again())
            await never()
    assert time.monotonic() - began < 1


async def test_a_message_in_hand_at_the_end_of_the_grace_comes_again():
    bus = Silent("publish")
    await stops(bus, service_of(bus))
    assert not bus.acked
    bus.hangs = "none"
    engine = Runtime(service_of(bus), bus, Readiness("s"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run())
        await until(lambda: bus.acked)
        engine.stop.set()
