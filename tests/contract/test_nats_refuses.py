"""A broker that is there and refuses: /ready and the log say so, the bus gets well by itself."""

import asyncio
import shutil
import subprocess
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from aiops_core.models import MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import Backoff
from aiops_core.runtime.bus import Outgoing
from aiops_lab.fleet.process import broker_wants_restart
from tests.conftest import FILLER, NatsServer, fill, free_port, nats_bus, sample

pytestmark = pytest.mark.e2e

STREAM = "LOGS"


def out(value, id=None):
    message = sample(value, tracking_id=uuid.uuid4().hex)
    return Outgoing(message, id or message.tracking_id)


async def until(condition, within=20.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


class State(Readiness):
    """Remembers what /ready has said of the broker."""

    def __init__(self):
        super().__init__("test", state="serving")
        self.said = []

    def down(self, dependency, problem):
        super().down(dependency, problem)
        self.said.append(problem)


class Flow:
    """Numbers that are published one after the other, and received."""

    def __init__(self, bus, state):
        self.bus, self.state = bus, state
        self.sent, self.received = [], []

    async def publish(self):
        while True:
            await self.bus.publish([out(float(len(self.sent)))])
            self.sent.append(float(len(self.sent)))
            await asyncio.sleep(0.005)

    async def receive(self, inbox):
        while True:
            for delivery in await inbox.take(50):
                self.received.append(MetricSample.model_validate_json(delivery.data).value)
                await inbox.ack([delivery])

    async def more(self, count=20):
        """Return when so many more, after the one that is under way, have been published and
        received."""
        first = len(self.sent) + 1
        wanted = set(map(float, range(first, first + count)))
        await until(lambda: wanted <= set(self.received))

    async def all(self):
        """Return when all that has been published is received."""
        wanted = set(self.sent)
        await until(lambda: wanted <= set(self.received))


@asynccontextmanager
async def flowing(url, on_demand=False):
    state = State()
    async with (
        nats_bus(url, state) as bus,
        bus.subscribe([MetricSample.subject], group="g", pull_on_demand=on_demand) as inbox,
    ):
        flow = Flow(bus, state)
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(loop) for loop in (flow.publish(), flow.receive(inbox))]
            await flow.more()
            assert state.ready
            yield flow
            for loop in loops:
                loop.cancel()


def lines(said):
    """The lines of the log about the broker, by reason."""
    return Counter(line.get("reason") for line in said if line["module"] == "nats")


@pytest.fixture
def quick(monkeypatch):
    """Waits that are long in production."""
    monkeypatch.setattr("aiops_core.adapters.nats_publish.ACK_TIMEOUT", 0.5)
    monkeypatch.setattr("aiops_core.adapters.nats_connection.ANSWER_WITHIN", 0.5)
    monkeypatch.setattr("aiops_core.adapters.nats_connection.AWAY", Backoff(first=0.2, most=0.5))
    monkeypatch.setattr("aiops_core.adapters.nats_pull.HEARTBEAT", 0.2)


@pytest.mark.parametrize("on_demand", [False, True])
async def test_a_stream_that_somebody_deleted_is_made_again_while_messages_flow(
    own_nats, quick, on_demand
):
    with capture_logs() as said:
        async with flowing(own_nats.url, on_demand) as flow:
            await flow.bus.js.delete_stream(STREAM)
            await flow.more(100)
            await until(lambda: flow.state.ready)
    assert (
        max(lines(said).values(), default=0) <= 2
    )  # that it does not work, and that it does again


async def test_who_only_publishes_gets_a_deleted_stream_made_again_too(own_nats, quick):
    state = State()
    async with nats_bus(own_nats.url, state) as bus:
        await bus.js.delete_stream(STREAM)
        assert await bus.publish([one := out(1.0)]) == {one.id}
        assert await bus.publish([out(float(n), f"svc/LOGS/7/{n}") for n in range(9)])
        assert any(
            "refuses to publish to metrics.sampled: nats: no response" in s for s in state.said
        )
        assert state.ready


async def test_a_disk_that_is_replaced_gets_streams_and_consumers_again(own_nats, quick):
    async with flowing(own_nats.url) as flow:
        for _ in range(2):
            own_nats.kill()
            shutil.rmtree(own_nats.store)
            await asyncio.sleep(0.3)
            own_nats.start()
            await flow.more()
            await until(lambda: flow.state.ready)


async def test_what_waits_in_memory_is_handled_and_its_answer_does_not_settle_another_message(
    own_nats, quick
):
    async with nats_bus(own_nats.url) as bus:
        async with bus.subscribe([MetricSample.subject], group="g") as inbox:
            await bus.publish([out(1.0)])
            [old] = await inbox.take(1)
            await bus.js.delete_stream(STREAM)
            await bus.publish([out(2.0)])
            [new] = await inbox.take(1)
            assert old.id == new.id
            await inbox.ack([old])
        async with bus.subscribe([MetricSample.subject], group="g") as inbox:
            [again] = await asyncio.wait_for(inbox.take(1), 10)
            assert again.data == new.data


ONE_MAY_NOT = """
authorization {{ users = [
  {{ user: us, password: {password}, permissions: {{ publish: {{ deny: [{denied}] }} }} }}
] }}
"""


@pytest.fixture
def guarded(tmp_path):
    """A broker with a user, whose rights ``allow`` changes."""
    config = tmp_path / "nats.conf"

    def allow(denied="", password="secret"):
        config.write_text(ONE_MAY_NOT.format(denied=denied, password=password))

    allow()
    server = NatsServer(tmp_path / "jetstream", config)
    server.url = server.url.replace("//", "//us:secret@")
    with server.running():
        server.allow = lambda *args, **changes: (allow(*args, **changes), server.reload())
        yield server


@pytest.mark.parametrize(
    "denied",
    [MetricSample.subject, "$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.STREAM.>"],
    ids=["publish", "take", "streams"],
)
async def test_what_is_not_permitted_is_shown_and_goes_on_when_it_is(guarded, quick, denied):
    with capture_logs() as said:
        async with flowing(guarded.url) as flow:
            guarded.allow(f'"{denied}"')
            if "STREAM" in denied:
                await asyncio.sleep(0.3)
                await flow.bus.client.force_reconnect()
            await until(lambda: "permissions violation" in str(flow.state.report()), within=30)
            assert "refuses" in str(flow.state.report()["dependencies"])
            await asyncio.sleep(2)
            assert not flow.state.ready
            guarded.allow()
            await flow.more()
            await until(lambda: flow.state.ready)
            await flow.all()
    assert 1 <= max(lines(said).values()) <= 4
    assert "secret" not in str(said)


async def test_a_client_that_was_closed_for_good_is_replaced(guarded, quick):
    with capture_logs() as said:
        async with flowing(guarded.url) as flow:
            bucket = flow.bus.bucket("b")
            watching = bucket.watch()
            assert await anext(watching) == {}
            former = flow.bus.client
            guarded.allow(password="another")
            await until(lambda: former.is_closed)
            await until(lambda: "authorization" in str(flow.state.report()).lower())
            await asyncio.sleep(2)
            guarded.allow()
            await flow.more()
            await until(lambda: flow.state.ready)
            async with nats_bus(guarded.url) as other:
                await other.bucket("b").put("k", b"v")
            assert await asyncio.wait_for(anext(watching), 5) == {"k": b"v"}
            await watching.aclose()
            assert flow.bus.client is not former
    assert 1 <= max(lines(said).values()) <= 2


def remount(folder, option):
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


@pytest.fixture
def on_small_disk(small_disk, tmp_path):
    config = tmp_path / "nats.conf"
    monitor = free_port()
    config.write_text(
        f"http: 127.0.0.1:{monitor}\njetstream {{ sync_interval: always, max_file_store: 16GB }}"
    )
    with NatsServer(small_disk / "jetstream", config).running() as server:
        server.monitor = monitor
        yield server


async def test_while_the_disk_is_full_all_waits_and_then_goes_on(on_small_disk, small_disk, quick):
    with capture_logs() as said:
        async with flowing(on_small_disk.url) as flow:
            fill(small_disk)
            await until(lambda: "refuses to publish" in str(flow.state.report()), within=30)
            stuck = len(flow.sent)
            await asyncio.sleep(3)
            assert len(flow.sent) == stuck
            assert not flow.state.ready
            monitor, store = on_small_disk.monitor, Path(on_small_disk.store)
            assert not await broker_wants_restart(monitor, store)
            (small_disk / FILLER).unlink()
            assert await broker_wants_restart(
                monitor, store
            )  # as `aiops up` and nats/start.sh see it
            on_small_disk.kill()
            on_small_disk.start()
            assert not await broker_wants_restart(monitor, store)
            await flow.more()
            await until(lambda: flow.state.ready)
            await flow.all()
    assert 1 <= max(lines(said).values()) <= 2


async def test_a_store_that_is_read_only_is_waited_for(on_small_disk, small_disk, quick):
    async with flowing(on_small_disk.url) as flow:
        on_small_disk.kill()
        remount(small_disk, "ro")
        on_small_disk.start(wait=False)  # it says why it cannot, and ends
        await until(lambda: "Connect call failed" in str(flow.state.report()))
        await asyncio.sleep(1)
        remount(small_disk, "rw")
        on_small_disk.kill()
        on_small_disk.start()
        await flow.more()
        await until(lambda: flow.state.ready)
        await flow.all()
