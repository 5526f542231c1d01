"""``kill -9`` at random moments, a store that goes away, a storm: nothing is lost or doubled, and
the incidents are the same as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aiops_cli.ingest.flow import RateLimiter
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, Incident
from aiops_core.runtime.service import utc_now
from aiops_lab.bench.bench import BenchFleet, balance, running, storm
from aiops_lab.bench.load import AnomalyLoad, Publish, StormLoad, open_sink
from aiops_lab.bench.relay import open_bus
from aiops_lab.demo.feed import load_inventory
from aiops_lab.fleet.plan import CLICKHOUSE, INFRASTRUCTURE, Plan, Ports
from tests.chaos_history import FAULTS, history
from tests.conftest import ROOT, tcp_server

pytestmark = pytest.mark.e2e

SHIP = "chaos"
SEED = 20
KILLS = 20
AWAY = float(os.environ.get("AIOPS_TEST_AWAY", "20"))  # seconds without ClickHouse; by hand 60
STORM = int(os.environ.get("AIOPS_TEST_STORM", "5000"))  # anomalies; by hand 50000
RATE = 100.0  # anomalies a second
LASTS = 45.0  # seconds of load
DRAINED = 60.0  # seconds that the fleet gets to work off what waits
VICTIMS = (*INFRASTRUCTURE, "enrichment-service", "correlation-service", "incident-api")
Sets = set[frozenset[str]]


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[BenchFleet]:
    await asyncio.to_thread(folder.mkdir)
    plan = Plan(folder, ROOT / "policies", ROOT / "clickhouse", ship_id=SHIP, ports=Ports.free())
    async with running(plan) as parts:
        yield parts


async def feed(publish: Publish, anomalies: Sequence[AnomalyDetected], rate: float) -> None:
    limiter, sent = RateLimiter(rate), 0
    while sent < len(anomalies):
        due = await limiter.allowance()
        await publish(anomalies[sent : sent + due])
        sent += due


async def kill_at_random(parts: BenchFleet, rng: random.Random, times: int, within: float) -> None:
    """Whoever runs at the moment; what is down already stays down for its back-off."""
    killed = 0
    while killed < times:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * within / times)
        with suppress(Unavailable):
            parts.fleet.kill(rng.choice(VICTIMS))
            killed += 1


async def drained(parts: BenchFleet, since: datetime, expected: int) -> dict[str, int]:
    """The balance once *expected* anomalies have ended, or what it is after ``DRAINED`` seconds."""
    await parts.fleet.ready(within=DRAINED)
    books: dict[str, int] = {}
    async with asyncio.timeout(DRAINED):
        while books.get("detected", 0) - books.get("in_flight", 0) < expected:
            with suppress(Unavailable):
                books = await balance(parts, since)
            await asyncio.sleep(0.5)
    return books


async def incident_sets(store: ClickHouse) -> Sets:
    """Every incident as the set of its anomalies."""
    rows = await store.query(
        "SELECT incident_id, anomaly_id FROM aiops.incident_members FINAL"
        " WHERE ship_id = %(ship)s AND role IN ('member', 'duplicate')",
        {"ship": SHIP},
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for incident_id, anomaly_id in rows:
        found[incident_id].add(anomaly_id)
    return {frozenset(members) for members in found.values()}


def balanced(books: dict[str, int], expected: int) -> bool:
    ended = books["members"] + books["duplicates"] + books["suppressed"]
    return (books["unaccounted"], books["doubled"], ended) == (0, 0, expected)


@pytest.mark.slow
async def test_after_twenty_kills_the_incidents_are_those_of_an_undisturbed_run(tmp_path):
    began = utc_now() - timedelta(seconds=1)
    inventory, anomalies = history(SEED, SHIP, began, rate=RATE, seconds=LASTS)
    outcomes: list[Sets] = []
    for kills, rate in ((0, 4 * RATE), (KILLS, RATE)):
        async with fleet(tmp_path / f"kills-{kills}") as parts:
            await load_inventory(parts.settings.api_url, inventory.devices)
            async with open_sink(parts.settings) as publish, asyncio.TaskGroup() as tasks:
                tasks.create_task(feed(publish, anomalies, rate))
                if kills:
                    rng = random.Random(SEED)
                    tasks.create_task(kill_at_random(parts, rng, kills, LASTS))
            books = await drained(parts, began, len(anomalies))
            assert balanced(books, len(anomalies)), str(books)
            outcomes.append(await incident_sets(parts.store))
    undisturbed, disturbed = outcomes
    assert len(undisturbed) >= FAULTS
    assert disturbed == undisturbed


@asynccontextmanager
async def without_clickhouse(parts: BenchFleet) -> AsyncIterator[None]:
    """ClickHouse is killed, and its address taken by something that closes every connection."""

    async def close(*_: object) -> None:
        """The server closes what nobody serves."""

    parts.fleet.kill(CLICKHOUSE)
    async with AsyncExitStack() as stack:
        while True:
            await asyncio.sleep(0.01)
            with suppress(OSError):  # until the kernel has buried it
                await stack.enter_async_context(
                    tcp_server(close, parts.fleet.plan.ports.clickhouse)
                )
                break
        yield


def lonely(n: int, **fields: object) -> AnomalyDetected:
    """Trouble of a device that has to do with no other."""
    anomaly = AnomalyLoad(1, None, ship_id=SHIP).on(f"lonely-{n}", n, utc_now())
    return anomaly.model_copy(update=fields)


async def incident_of(parts: BenchFleet, anomaly: AnomalyDetected, within: float) -> Incident:
    """The incident that *anomaly* opens, as published."""
    async with (
        asyncio.timeout(within),
        open_bus(parts.settings.nats_url, parts.settings.policies) as bus,
    ):
        while True:
            async for stored in bus.history([Incident.subject], since=anomaly.ts):
                incident = Incident.model_validate_json(stored.data)
                if anomaly.tracking_id in {one.tracking_id for one in incident.evidence}:
                    return incident
            await asyncio.sleep(0.25)


async def recorded(parts):
    """Anomalies in the history."""
    [(number,)] = await parts.store.query(
        "SELECT uniqExact(anomaly_id) FROM aiops.anomalies WHERE ship_id = %(ship)s",
        {"ship": SHIP},
    )
    return number


@pytest.mark.slow
@pytest.mark.alone  # an incident has eight seconds to come
async def test_while_clickhouse_is_away_incidents_go_on_partial_and_all_is_stored_afterwards(
    tmp_path,
):
    began = utc_now() - timedelta(seconds=1)
    inventory, anomalies = history(SEED, SHIP, began, rate=RATE / 2, seconds=AWAY + 5)
    async with fleet(tmp_path / "away") as parts:
        await load_inventory(parts.settings.api_url, inventory.devices)
        async with open_sink(parts.settings) as publish, asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(publish, anomalies, RATE / 2))
            await asyncio.sleep(2)
            async with without_clickhouse(parts):
                parts.fleet.kill("enrichment-service")  # what it knew of the past is away as well
                await asyncio.sleep(AWAY * 0.6)
                alone = lonely(1)
                await publish([alone])
                opened = await incident_of(parts, alone, within=AWAY * 0.4)
                assert opened.context["partial"] is True
                await asyncio.sleep(max(AWAY - (utc_now() - alone.ts).total_seconds(), 0) * 0.4)
        books = await drained(parts, began, len(anomalies) + 1)
        assert balanced(books, len(anomalies) + 1), str(books)
        async with asyncio.timeout(10):  # the history is a consumer of its own, and a flush behind
            while await recorded(parts) != len(anomalies) + 1:
                await asyncio.sleep(0.2)


async def test_a_storm_of_one_device_is_one_incident_and_hides_no_other(tmp_path):
    async with fleet(tmp_path / "storm") as parts:
        found = await storm(parts, StormLoad(STORM, None, ship_id=SHIP))
        assert found.balance["unaccounted"] == found.balance["doubled"] == 0
        assert found.incidents_of_the_storm == 1
        assert found.others_seen == found.others
