"""kill -9 of every process in turn while lines flow: nothing lost, nothing doubled."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from aiops_cli.ingest.sink import open_sink
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import LogEntry
from aiops_core.runtime.service import utc_now
from aiops_lab.bench import ledger
from aiops_lab.bench.load import Load, send
from tests.conftest import nats_bus
from tests.fleet import running_fleet, wait_until
from tests.published_facts import published

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VICTIMS = (
    "anomaly-detection",
    "enrichment-service",
    "correlation-service",
    "llm-enricher",
    "incident-api",
    "nats",
    "clickhouse",
)
RATE = 200.0  # lines per second
APART = 5.0  # seconds between kills: the fleet must live with them under load


async def test_every_anomalous_line_is_in_exactly_one_incident_whoever_is_killed(tmp_path):
    with running_fleet(tmp_path) as fleet:
        load = Load(total=int(RATE * APART * (len(VICTIMS) + 1)), rate=RATE, ship_id="testship")
        async with open_sink(fleet.settings) as sink:
            sending = asyncio.create_task(send(load, sink.send))
            for victim in VICTIMS:
                await asyncio.sleep(APART)
                pid = fleet.kill(victim)
                await asyncio.to_thread(fleet.wait_back, victim, pid)
            sent = await sending
        anomalous = set(sent.anomalous)
        async with ClickHouse.open(fleet.settings.clickhouse_url) as store:
            book = await ledger.settled(store, load.ship_id, sent.began, anomalous, within=60)
            assert (ledger.lost(book, anomalous), ledger.doubled(book, anomalous)) == ([], [])
            async with nats_bus(fleet.settings.nats_url) as bus:
                facts = await published(bus)
            assert (ledger.lost(facts, anomalous), ledger.doubled(facts, anomalous)) == ([], [])
            [(raw, distinct)] = await store.query(
                "SELECT count(), uniqExact(tracking_id) FROM logs.raw WHERE ship_id = 'testship'"
            )
            assert raw == distinct == sent.lines
            [(counted,)] = await store.query(
                "SELECT sum(anomaly_count) FROM aiops.incidents FINAL WHERE ship_id = 'testship'"
            )
            assert counted == len(anomalous)


COMES = timedelta(minutes=17)  # one and the same fault, after so long by its own times
KILLED_MEANWHILE = ("correlation-service", "incident-api", "nats", "correlation-service")


async def test_what_comes_back_is_one_problem_whoever_is_killed_meanwhile(tmp_path):
    """Each time a process dies as soon as the line is sent."""
    began = utc_now() - timedelta(hours=5)
    with running_fleet(tmp_path) as fleet, httpx.Client(base_url=fleet.settings.api_url) as api:
        for n, victim in enumerate(KILLED_MEANWHILE):
            line = LogEntry(
                tracking_id=f"again-{n}",
                ship_id="testship",
                ts=began + n * COMES,
                host="srv-mail-1",
                service="kernel",
                level="error",
                msg="Out of memory: Killed process 4711 (java)",
            )
            async with open_sink(fleet.settings) as sink:
                await sink.send([line])
            fleet.wait_back(victim, fleet.kill(victim))
            wait_until(lambda n=n: times(api) == n + 1, within=60)
        [problem] = items(api, "problems")
        [incident] = items(api, "incidents")
        assert incident["id"] == problem["newest_incident"]
        assert incident["anomaly_count"] == len(KILLED_MEANWHILE)


def items(api: httpx.Client, what: str) -> list[dict[str, Any]]:
    return api.get(f"/api/v3/{what}").json()["items"]


def times(api: httpx.Client) -> int:
    """How often it came; what came once is no problem that is listed."""
    known = [one["times"] for one in items(api, "problems")]
    return sum(known) or len(items(api, "incidents"))
