"""``kill -9`` while a file is replayed, and of the replay itself: the ledger of an undisturbed
one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import LogEntry
from aiops_core.runtime.service import utc_now
from aiops_lab.bench.load import Load
from tests.conftest import ROOT, nats_bus
from tests.fleet import RunningFleet, running_fleet, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LINES = 4000
RATE = 200  # lines a second; what was sent at a kill is a part of the file
APART = timedelta(milliseconds=50)  # between two lines of the file
QUIET = 3.0  # seconds; what is counted is stored once a second
Incidents = dict[str, set[str]]  # id -> tracking ids of its members


class Outcome(NamedTuple):
    """Tracking ids of the lines in ``logs.raw`` and in the broker, and the incidents."""

    stored: list[str]
    published: list[str]
    incidents: Incidents


def write(file: Path) -> int:
    """Lines of many devices, of which some are anomalous; how many of them."""
    load, began = Load(total=LINES, rate=RATE, share=0.1, devices=12), utc_now() - LINES * APART
    with file.open("w") as lines:
        for n in range(LINES):
            at = began + n * APART
            one = load.message(n, at)
            assert isinstance(one, LogEntry)
            lines.write(f"{at.isoformat()} {one.host} {one.service}[{n}]: {one.level}: {one.msg}\n")
    return sum(map(load.is_anomalous, range(LINES)))


def replay(fleet: RunningFleet, file: Path) -> subprocess.Popen[str]:
    where = {
        "AIOPS_NATS_URL": fleet.settings.nats_url,
        "AIOPS_CLICKHOUSE_URL": fleet.settings.clickhouse_url,
        "AIOPS_SHIP_ID": fleet.settings.ship_id,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "aiops_cli", "replay", str(file), "--rate", str(RATE), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | where,
    )


def summary(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, problems = process.communicate(timeout=120)
    assert process.returncode == 0, problems
    found: dict[str, Any] = json.loads(said)
    return found


def undisturbed(fleet: RunningFleet, file: Path) -> None:
    assert summary(replay(fleet, file))["sent"] == LINES


def disturbed(fleet: RunningFleet, file: Path) -> None:
    """The broker, then the store and the replay itself; it is repeated while the store is away."""
    first = replay(fleet, file)
    time.sleep(6)
    pid = fleet.kill("nats")
    fleet.wait_back("nats", pid)
    time.sleep(3)
    pid = fleet.kill("clickhouse")
    assert first.poll() is None, "it is over before it is killed"
    first.kill()
    first.communicate()
    again = replay(fleet, file)
    fleet.wait_back("clickhouse", pid)
    time.sleep(2)
    for name in ("clickhouse", "nats"):
        pid = fleet.kill(name)
        fleet.wait_back(name, pid)
    assert summary(again)["read"] == LINES
    third = summary(replay(fleet, file))
    assert (third["sent"], third["repeated"]) == (0, LINES)


async def outcome(
    folder: Path, file: Path, send: Callable[[RunningFleet, Path], None], anomalous: int
) -> Outcome:
    with running_fleet(folder) as fleet:
        send(fleet, file)
        wait_until(lambda: settled(fleet, anomalous), within=90)
        async with ClickHouse.open(fleet.settings.clickhouse_url) as store:
            stored = await store.query("SELECT tracking_id FROM logs.raw ORDER BY tracking_id")
            members = await store.query(
                "SELECT incident_id, groupUniqArray(tracking_id) FROM aiops.incident_members FINAL "
                "WHERE role != 'moved' GROUP BY incident_id"
            )
        async with nats_bus(fleet.settings.nats_url) as bus:
            lines = [
                json.loads(stored.data)["tracking_id"]
                async for stored in bus.history([LogEntry.subject], since=None)
            ]
    incidents = {incident: set(ids) for incident, ids in members}
    return Outcome([one for (one,) in stored], sorted(lines), incidents)


def settled(fleet: RunningFleet, anomalous: int) -> bool:
    """Whether every anomalous line has ended, and nothing more has come for a while."""
    before = ledger(fleet)
    time.sleep(QUIET)
    balance = before["balance"]
    return before["balanced"] and balance["detected"] >= anomalous and ledger(fleet) == before


def ledger(fleet: RunningFleet) -> dict[str, Any]:
    url = f"{fleet.settings.api_url}/api/v3/ledger"
    found = httpx.get(url, params={"since": "1h"}).raise_for_status().json()
    return {name: found[name] for name in ("balanced", "balance")}


async def test_a_replay_that_is_killed_and_repeated_adds_every_line_once(tmp_path):
    anomalous = write(file := tmp_path / "ship.log")
    for folder in (one := tmp_path / "calm", other := tmp_path / "killed"):
        folder.mkdir()
    calm = await outcome(one, file, undisturbed, anomalous)
    killed = await outcome(other, file, disturbed, anomalous)
    assert len(set(calm.stored)) == LINES
    assert killed.stored == calm.stored
    assert killed.published == calm.published == calm.stored
    assert killed.incidents == calm.incidents
