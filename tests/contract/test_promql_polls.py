"""Polls against a real VictoriaMetrics: samples there -> readings here -> anomalies, each once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from aiops_cli.policy import check_queries, examine
from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, MetricSample
from aiops_core.observability.probe import Readiness
from aiops_lab.memory_bus import MemoryBus
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.poller import Poller, slot
from anomaly_detection.polls import Poll
from anomaly_detection.victoriametrics import DEPENDENCY, QueryRefused, VictoriaMetrics
from tests.conftest import ROOT
from tests.fleet import wait_until
from tests.unit.anomaly_detection.test_checkpoint import Ship
from tests.victoria import needed, running_victoria

pytestmark = needed
SECOND, FRESH = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture(scope="module")
def victoria(tmp_path_factory):
    with running_victoria(tmp_path_factory.mktemp("victoria")) as server:
        yield server


def poll(query, **fields):
    base = {"name": "cpu_percent", "query": query, "interval": "PT15S"}
    return Poll.model_validate(base | fields)


@pytest.fixture
async def server(victoria):
    async with VictoriaMetrics.open(victoria.url) as opened:
        yield opened


@pytest.fixture
def poller(server):
    return Poller([], server, MemoryBus(), Readiness("test"), "s1")


def now():
    return slot(datetime.now(UTC), SECOND)


async def ask(poller, poll, at):
    """What one poll publishes."""
    poller.readiness.needs(f"poll {poll.name}", required=False)
    before = len(poller.bus.of(MetricSample))
    await poller.evaluate(poll, at)
    return poller.bus.of(MetricSample)[before:]


async def test_each_series_is_a_reading_of_the_device_and_service_that_its_labels_name(
    poller, victoria
):
    at = now()
    victoria.store(
        "heat", {at: 41.5}, job="plc", instance="engine-1:9100", room="aft", ship_id="s1"
    )
    [reading] = await ask(poller, poll("heat", unit="°C"), at)
    assert isinstance(reading, MetricSample)
    assert (reading.metric, reading.value, reading.unit) == ("cpu_percent", 41.5, "°C")
    assert (reading.device_id, reading.host, reading.service) == ("engine-1", "engine-1", "plc")
    assert (reading.ts, reading.labels) == (at, {"room": "aft"})


async def test_a_value_without_a_device_is_about_the_ship(poller, victoria):
    at = now()
    victoria.store("volts", {at: 230}, job="a")
    [reading] = await ask(poller, poll("sum(volts)"), at)
    assert (reading.host, reading.device_id, reading.service) == ("s1", None, "unknown")
    [constant] = await ask(poller, poll("230 / 2", name="half"), at)
    assert constant.value == 115


async def test_what_is_stale_or_no_number_is_no_reading(poller, victoria):
    at = now()
    victoria.store("old", {at - timedelta(minutes=3): 99})
    assert await ask(poller, poll("old"), at) == []
    assert len(await ask(poller, poll("old", freshness="PT4M"), at)) == 1
    assert await ask(poller, poll("(old * 0) / 0", freshness="PT4M"), at) == []


async def test_asking_twice_for_the_same_time_is_one_reading(poller, victoria):
    at = now()
    victoria.store("twice", {at - SECOND: 1})
    assert len(await ask(poller, poll("twice"), at)) == 1
    again = Poller([], poller.server, poller.bus, poller.readiness, "s1")  # after a restart
    assert await ask(again, poll("twice"), at) == []
    assert len(await ask(again, poll("twice"), at + SECOND)) == 1


async def test_a_value_beyond_its_limit_becomes_one_anomaly_also_over_a_kill(poller, victoria):
    began, hot = now() - timedelta(minutes=2), poll("hot")
    times = [began + n * 5 * SECOND for n in range(24)]
    victoria.store("hot", dict.fromkeys(times, 97), instance="srv-1:9100")
    ship = Ship([])
    ship.bus = poller.bus
    for part in (times[:12], times[12:]):
        async with ship.living():  # and killed
            ship.messages += [reading for at in part for reading in await ask(poller, hot, at)]
            await ship.idle()
    [anomaly] = poller.bus.of(AnomalyDetected)
    assert (anomaly.anomaly_type, anomaly.device_id, anomaly.value) == (
        "resource_exhaustion",
        "srv-1",
        97,
    )
    assert anomaly.tracking_id in {reading.tracking_id for reading in ship.messages}


@pytest.mark.parametrize("query", ["sum by (job (up)", "up{", "nosuchfunction(up)", "up[5m:"])
async def test_a_wrong_query_is_refused_with_the_servers_reason_and_told_once(poller, query):
    wrong = poll("up").model_copy(update={"query": query})
    with capture_logs() as said:
        for n in range(3):
            assert await ask(poller, wrong, now() + n * SECOND) == []
    report = poller.readiness.report()["dependencies"]
    assert report[DEPENDENCY] == "up"
    assert report["poll cpu_percent"].startswith("down: refused: ")
    assert [entry["event"] for entry in said] == ["does not work"]


async def test_a_range_is_no_reading(server):
    with pytest.raises(QueryRefused, match="matrix"):
        await server.instant("up[5m]", at=now(), freshness=FRESH)


async def test_more_series_than_allowed_are_cut_and_told(poller, victoria):
    at = now()
    for n in range(4):
        victoria.store("many", {at - SECOND: n}, instance=f"i{n}")
    assert len(await ask(poller, poll("many", most=3), at)) == 3
    assert "4 series" in poller.readiness.report()["dependencies"]["poll cpu_percent"]


def reads(poller, state, *, more=0):
    """Wait until ``/ready`` says *state* of the server and *more* readings have come."""
    wanted = len(poller.bus.published) + more

    def so():
        problem = str(poller.readiness.report()["dependencies"][DEPENDENCY])
        return problem.startswith(state) and len(poller.bus.published) >= wanted

    return asyncio.to_thread(wait_until, so)


async def test_away_it_degrades_and_comes_back_by_itself(tmp_path):
    with capture_logs() as said, running_victoria(tmp_path) as own:
        async with VictoriaMetrics.open(own.url) as server:
            polls = [poll("up", interval="PT1S")]
            poller = Poller(polls, server, MemoryBus(), Readiness("test"), "s1")
            own.store("up", {now(): 1})
            running = asyncio.create_task(poller.run())
            await reads(poller, "up", more=1)
            await asyncio.to_thread(own.stop)
            await reads(poller, "down")
            await asyncio.to_thread(own.start)
            await reads(poller, "up", more=1)
            running.cancel()
    told = [entry["event"] for entry in said if entry["dependency"] == DEPENDENCY]
    assert told == ["does not work", "works again"]
    assert DEPENDENCY not in poller.readiness.required


async def test_something_else_on_that_address_is_away():
    async with VictoriaMetrics.open("http://127.0.0.1:1") as nobody:
        with pytest.raises(Unavailable, match="victoriametrics"):
            await nobody.instant("up", at=now(), freshness=FRESH)


async def test_the_policy_check_asks_the_server_about_each_query(victoria, tmp_path):
    text = (ROOT / "policies" / DetectPolicy.file).read_text()
    (tmp_path / DetectPolicy.file).write_text(
        text.replace('"min by (job, instance) (up)"', "mn(up)")
    )
    before = examine(tmp_path, [DetectPolicy])
    assert [finding.problem for finding in before] == [None]  # its brackets are right
    [after] = await check_queries(victoria.url, tmp_path, [DetectPolicy], before)
    line = text[: text.index("min by (job, instance) (up)")].count("\n") + 1
    assert f"detect.yaml:{line}: polls.0.query: " in after.problem
    assert "mn" in after.problem


async def test_all_queries_that_are_shipped_are_right(victoria):
    shipped = ROOT / "policies"
    findings = examine(shipped, [DetectPolicy])
    assert await check_queries(victoria.url, shipped, [DetectPolicy], findings) == findings
