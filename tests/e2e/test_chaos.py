"""``kill -9`` at random moments, a store that goes away, a storm: nothing lost, nothing doubled, and the
same incidents as if nothing had happened."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Unavailable
from aiops_core.ingest.pace import Pacer
from aiops_core.local.bench.anomalies import AnomalySink, open_sink
from aiops_core.local.bench.faults import history
from aiops_core.local.bench.pipeline import balance
from aiops_core.local.bench.run import Parts, running
from aiops_core.local.demo_setup import load_inventory
from aiops_core.local.fleet_plan import INFRASTRUCTURE, Plan, Ports
from aiops_core.models import AnomalyDetected
from aiops_core.runtime import utc_now
from tests.conftest import ROOT

pytestmark = pytest.mark.e2e

SHIP = "chaos"
SEED = 20
KILLS = 20
RATE = 100.0  # anomalies a second
LASTS = 45.0  # seconds of load
DRAINED = 60.0  # seconds that the fleet gets to work off what waits
VICTIMS = (*INFRASTRUCTURE, "enrichment-service", "correlation-service", "incident-api")
Sets = set[frozenset[str]]


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[Parts]:
    await asyncio.to_thread(folder.mkdir)
    plan = Plan(folder, ROOT / "policies", ROOT / "clickhouse", ship_id=SHIP, ports=Ports.free())
    async with running(plan) as parts:
        yield parts


async def feed(sink: AnomalySink, anomalies: Sequence[AnomalyDetected], rate: float) -> None:
    pacer, sent = Pacer(rate), 0
    while sent < len(anomalies):
        due = await pacer.allowance()
        await sink.send(anomalies[sent : sent + due])
        sent += due


async def kill_at_random(parts: Parts, rng: random.Random, times: int, within: float) -> None:
    """Whoever runs at the moment; what is down already stays down for its back-off."""
    killed = 0
    while killed < times:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * within / times)
        with suppress(Unavailable):
            parts.fleet.kill(rng.choice(VICTIMS))
            killed += 1


async def drained(parts: Parts, since: datetime, expected: int) -> dict[str, int]:
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


async def test_after_twenty_kills_the_incidents_are_those_of_an_undisturbed_run(tmp_path):
    began = utc_now() - timedelta(seconds=1)
    inventory, anomalies = history(SEED, SHIP, began, rate=RATE, seconds=LASTS)
    outcomes: list[Sets] = []
    for kills, rate in ((0, 4 * RATE), (KILLS, RATE)):
        async with fleet(tmp_path / f"kills-{kills}") as parts:
            await load_inventory(parts.settings.api_url, inventory.devices)
            async with open_sink(parts.settings) as sink, asyncio.TaskGroup() as tasks:
                tasks.create_task(feed(sink, anomalies, rate))
                if kills:
                    rng = random.Random(SEED)
                    tasks.create_task(kill_at_random(parts, rng, kills, LASTS))
            books = await drained(parts, began, len(anomalies))
            assert balanced(books, len(anomalies)), books
            outcomes.append(await incident_sets(parts.store))
    undisturbed, disturbed = outcomes
    assert disturbed == undisturbed
