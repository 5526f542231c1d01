"""kill -9 of every process in turn while lines flow: nothing lost, nothing doubled."""

import asyncio

import pytest

from aiops_cli.ingest.sink import open_sink
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_lab.bench import ledger
from aiops_lab.bench.load import Load, send
from tests.conftest import nats_bus
from tests.fleet import running_fleet
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
