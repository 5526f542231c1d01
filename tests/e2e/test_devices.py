"""Imports and declarations on a real fleet: the next anomaly knows them, whoever is killed
between."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest

from aiops_cli.ingest.sink import IngestSink, open_sink
from aiops_core.models import EnrichedAnomaly, LogEntry
from aiops_core.runtime.service import utc_now
from tests.conftest import ROOT, nats_bus
from tests.fleet import RunningFleet, running_fleet

pytestmark = pytest.mark.e2e

ADDRESS = "10.77.0.5"  # of the access point, which the lines come from
DEVICES = """\
id,type,criticality,upstream,labels
core,switch,critical,,
deck,switch,medium,core,
ap-1,ap,medium,{upstream},ip=10.77.0.5
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    with running_fleet(tmp_path_factory.mktemp("devices")) as running:
        yield running


@pytest.fixture
async def sink(fleet: RunningFleet) -> AsyncIterator[IngestSink]:
    async with open_sink(fleet.settings) as opened:
        yield opened


def aiops(fleet: RunningFleet, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aiops_cli", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=ROOT,
        env=os.environ | {"AIOPS_API_URL": fleet.settings.api_url, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def enriched(fleet: RunningFleet, sink: IngestSink, ago: float = 0) -> EnrichedAnomaly:
    """What becomes of a faulty line that happened *ago* minutes."""
    now = utc_now()
    line = LogEntry(
        tracking_id=str(uuid.uuid4()), ship_id="testship", ts=now - timedelta(minutes=ago),
        stages={"ingest": now}, host=ADDRESS, service="hostapd", level="error", msg="radio failed",
    )  # fmt: skip
    await sink.send([line])
    async with nats_bus(fleet.settings.nats_url) as bus, asyncio.timeout(20):
        while True:
            async for stored in bus.history([EnrichedAnomaly.subject], since=now):
                found = EnrichedAnomaly.model_validate_json(stored.data)
                if found.tracking_id == line.tracking_id:
                    return found
            await asyncio.sleep(0.1)


async def restarted(fleet: RunningFleet, name: str) -> None:
    await asyncio.to_thread(fleet.wait_back, name, fleet.kill(name))


async def test_an_import_reaches_the_next_anomaly_without_a_restart_and_after_kills(
    fleet, sink, tmp_path
):
    before = await enriched(fleet, sink)
    assert (before.device_id, "unknown-device" in before.tags) == (None, True)

    async def after(upstream: str) -> EnrichedAnomaly:
        file = tmp_path / "devices.csv"
        file.write_text(DEVICES.format(upstream=upstream))
        aiops(fleet, "devices", "import", str(file))
        return await enriched(fleet, sink)

    first = await after("core")
    assert (first.device_id, [d.id for d in first.context.upstream]) == ("ap-1", ["core"])
    await restarted(fleet, "incident-api")
    second = await after("deck")
    assert [d.id for d in second.context.upstream] == ["deck", "core"]
    await restarted(fleet, "enrichment-service")
    third = await enriched(fleet, sink)
    assert [d.id for d in third.context.upstream] == ["deck", "core"]
    assert third.context.count_1h == 3
    await restarted(fleet, "nats")
    last = await after("deck;core")
    assert last.context.device is not None
    assert last.context.device.upstream == ("deck", "core")


async def test_mode_and_maintenance_reach_the_next_anomaly_by_its_own_time(fleet, sink):
    aiops(fleet, "ship", "mode", "port")
    words = ["--device", "ap-*", "--for", "1h", "--reason", "new firmware", "--owner", "eto"]
    aiops(fleet, "ship", "maintenance", "add", *words)
    during = await enriched(fleet, sink)
    assert during.context.ship_mode == "port"
    assert during.context.maintenance is not None
    assert during.context.maintenance.owner == "eto"
    assert "maintenance" in during.tags and "new firmware" in during.severity_reason
    late = await enriched(fleet, sink, ago=10)
    assert (late.context.ship_mode, late.context.maintenance) == (None, None)
    await restarted(fleet, "incident-api")
    await restarted(fleet, "enrichment-service")
    again = await enriched(fleet, sink)
    assert again.context.maintenance == during.context.maintenance


async def test_an_import_while_the_store_is_away_is_done_whole_or_not_at_all(fleet, sink, tmp_path):
    file = tmp_path / "devices.csv"
    file.write_text(DEVICES.format(upstream="core"))
    aiops(fleet, "devices", "import", str(file))
    async with httpx.AsyncClient(base_url=f"{fleet.settings.api_url}/api/v3", timeout=60) as api:
        pid = fleet.kill("clickhouse")
        answer = await api.post("/devices/import", json={"devices": [{"id": "new"}]})
        known = await api.get("/devices", params={"q": "new"})
        assert (answer.status_code, len(known.json()["items"])) in ((200, 1), (503, 0))
        found = await enriched(fleet, sink)
        assert found.context.device is not None
        await asyncio.to_thread(fleet.wait_back, "clickhouse", pid)
        again = await api.post("/devices/import", json={"devices": [{"id": "new"}]})
        assert again.status_code == 200
        assert (await api.get("/devices/new")).status_code == 200


async def test_a_neighbour_that_a_line_names_is_suggested_and_accepted_whoever_is_killed(
    fleet, sink, tmp_path
):
    file = tmp_path / "devices.csv"
    file.write_text("id,type\nap-x1,ap\nsw-x2,switch\n")
    aiops(fleet, "devices", "import", str(file))
    now = utc_now()
    said = LogEntry(
        tracking_id=str(uuid.uuid4()), ship_id="testship", ts=now, stages={"ingest": now},
        host="ap-x1", service="lldpd", msg="neighbor sw-x2 added on port 1/49",
    )  # fmt: skip
    await sink.send([said])
    await restarted(fleet, "anomaly-detection")

    async def listed(status: str) -> str:
        async with asyncio.timeout(40):
            while True:
                text = aiops(fleet, "devices", "suggest", "--status", status)
                if "ap-x1" in text:
                    return text
                await asyncio.sleep(0.5)

    assert "ap-x1 names sw-x2 at 1/49 (LLDP)" in await listed("open")
    await restarted(fleet, "incident-api")
    assert "0.56" in await listed("open")
    aiops(fleet, "devices", "accept", "ap-x1")
    await restarted(fleet, "incident-api")
    assert "ap-x1" in await listed("accepted")
    assert "sw-x2" in aiops(fleet, "devices", "show", "ap-x1")
