"""A storm makes the stream of anomalies discard what a service that stands still has not read:
somebody is told, and no incident is opened twice afterwards, because facts lie in a stream of their
own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from aiops_cli.ingest.sink import open_sink
from aiops_core.adapters.nats_pull import REQUEST
from aiops_core.models import Incident
from aiops_core.runtime.service import utc_now
from aiops_lab.bench.ledger import Places, doubled
from aiops_lab.bench.load import Load, send
from tests.conftest import ROOT, nats_bus
from tests.fleet import RunningFleet, running_fleet, wait_until
from tests.published_facts import published
from tests.victoria import PROGRAM, running_victoria

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STOPPED = "enrichment-service"
AGO = timedelta(minutes=1)  # what is younger than half of it VictoriaMetrics does not show yet
FEW, STORM = 400, 4000  # lines, all of them anomalies of the same devices and kinds
COUNTER = re.compile(
    r'^aiops_discarded_total\{consumer="([^"]*)",stream="([^"]*)"\} (\S+)$', re.MULTILINE
)


def small(folder: Path) -> Path:
    """Policies of a ship with little room for anomalies, which is enough for the little that it
    promises."""
    policies = Path(shutil.copytree(ROOT / "policies", folder / "policies"))
    retention = yaml.safe_load((policies / "retention.yaml").read_text())
    retention["promise"]["anomalies_per_s"] = 0.05
    retention["streams"]["anomalies"]["max_bytes"] = 1_000_000
    (policies / "retention.yaml").write_text(yaml.safe_dump(retention))
    slo = (policies / "slo.yaml").read_text()
    (policies / "slo.yaml").write_text(slo.replace("settled_after_s: 60", "settled_after_s: 5"))
    return policies


def discarded(fleet: RunningFleet) -> float:
    """What enrichment-service has counted since it began."""
    text = httpx.get(f"{fleet.about['addresses'][STOPPED]}/metrics").text
    found = {(stream, who): float(value) for who, stream, value in COUNTER.findall(text)}
    return found["ANOMALIES", STOPPED]


def balance(fleet: RunningFleet) -> dict[str, int]:
    url = f"{fleet.settings.api_url}/api/v3/ledger"
    found: dict[str, int] = httpx.get(url, params={"since": "1h"}).json()["balance"]
    return found


async def storm(fleet: RunningFleet, lines: int) -> None:
    async with open_sink(fleet.settings) as sink:
        await send(Load(lines, None, share=1.0, ship_id=fleet.settings.ship_id), sink.send)


async def opened(fleet: RunningFleet) -> int:
    async with nats_bus(fleet.settings.nats_url) as bus:
        return len([one async for one in bus.history([Incident.subject], since=None)])


async def ended(fleet: RunningFleet) -> Places:
    async with nats_bus(fleet.settings.nats_url) as bus:
        return await published(bus)


async def detected(fleet: RunningFleet) -> bool:
    """Whether all lines of the storm have become anomalies."""
    async with nats_bus(fleet.settings.nats_url) as bus:
        return (await bus.offset(["logs.ingested"], group="anomaly-detection")).ack_floor >= (
            FEW + STORM
        )


def test_what_a_storm_discards_is_told_and_opens_nothing_twice(tmp_path: Path) -> None:
    with running_fleet(tmp_path, policies=small(tmp_path)) as fleet:
        asyncio.run(storm(fleet, FEW))
        wait_until(lambda: balance(fleet)["detected"] - balance(fleet)["in_flight"] == FEW, 60)
        before = asyncio.run(opened(fleet))
        assert discarded(fleet) == 0 < before

        pid: int = fleet.about["pids"][STOPPED]
        os.kill(pid, signal.SIGSTOP)
        asyncio.run(storm(fleet, STORM))
        wait_until(lambda: asyncio.run(detected(fleet)), 60, every=0.5)
        fleet.kill(STOPPED)
        fleet.wait_back(STOPPED, pid)
        lost = discarded(fleet)
        assert lost > STORM / 4  # of what is read by it; a part of the storm is digested
        told = httpx.get(f"{fleet.about['addresses'][STOPPED]}/ready").json()["discarded"]
        assert told == {f"ANOMALIES {STOPPED}": f"{lost:.0f} discarded before they were read"}
        wait_until(lambda: balance(fleet)["in_flight"] == 0, 60)
        # What the killed process had in hand is gone as well, and only the ledger knows.
        assert lost <= balance(fleet)["unaccounted"] <= lost + 2 * REQUEST
        assert_alert(tmp_path, lost)

        old = fleet.kill("correlation-service")
        fleet.wait_back("correlation-service", old)
        asyncio.run(storm(fleet, FEW))
        wait_until(lambda: balance(fleet)["in_flight"] == 0, 60)
        assert asyncio.run(opened(fleet)) == before
        places = asyncio.run(ended(fleet))
        assert doubled(places, list(places)) == []


def assert_alert(folder: Path, lost: float) -> None:
    """The alert's own expression over what is scraped, where there is a server that can be
    asked."""
    groups = yaml.safe_load((ROOT / "vmalert/alerts.yml").read_text())["groups"]
    [rule] = [r for g in groups for r in g["rules"] if r["alert"] == "AiopsUnreadDiscarded"]
    if PROGRAM is None:
        return
    labels = {"ship_id": "testship", "stream": "ANOMALIES", "consumer": STOPPED}
    with running_victoria(folder / "victoria") as victoria:
        victoria.store("aiops_discarded_total", {utc_now() - AGO: lost}, **labels)
        answer = httpx.get(f"{victoria.url}/api/v1/query", params={"query": rule["expr"]}).json()
        [found] = answer["data"]["result"]
        assert found["metric"] == labels
        assert float(found["value"][1]) == pytest.approx(lost)
