"""A log of 2005 through a whole fleet: its incidents are found, are of then, and stay."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.service import utc_now
from incident_api.migrate import retention
from tests.conftest import ROOT
from tests.fleet import RunningFleet, running_fleet, wait_until
from tests.v3.test_replay_command import command, environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FAULTS = {
    "2005-06-01": "sw-1 kernel: eth3: NIC Link is Down",
    "2005-06-02": "sw-2 kernel: Out of memory: Killed process 4711 (java)",
    "2005-12-24": "sw-3 kernel: EXT4-fs error (device sda1): ext4_find_entry: reading directory",
}
WITHIN = 60.0  # seconds after a replay in which its incidents are listed


def written(folder: Path) -> Path:
    """Twelve quiet hours before each fault, and a line after the last."""
    lines = []
    for day, text in FAULTS.items():
        host = text.split()[0]
        lines += [f"{day}T{hour:02}:00:00Z {host} cron: job {hour} is done" for hour in range(12)]
        lines.append(f"{day}T12:30:00Z {text}")
    path = folder / "messages"
    path.write_text("\n".join([*lines, "2005-12-24T12:45:00Z sw-3 cron: job 13 is done\n"]))
    return path


def said(fleet: RunningFleet, *words: object) -> Any:
    done = subprocess.run(
        command(*words, "--json"),
        capture_output=True,
        check=False,
        env=environment(fleet),
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def incidents(fleet: RunningFleet, *words: str) -> Sequence[dict[str, Any]]:
    """As the command lists them, without a limit of time unless *words* state one."""
    found: list[dict[str, Any]] = said(fleet, "incidents", "--api", fleet.settings.api_url, *words)[
        "items"
    ]
    return found


def places(found: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["first_seen"][:10], device) for one in found for device in one["affected_devices"]}


OF_THEN = {(day, text.split()[0]) for day, text in FAULTS.items()}


async def merge_all(fleet: RunningFleet) -> None:
    days = RetentionPolicy.load(ROOT / "policies").tables_days
    async with ClickHouse.open(fleet.settings.clickhouse_url) as clickhouse:
        for table, _ in retention(days):
            await clickhouse.execute(f"OPTIMIZE TABLE {table} FINAL")


def test_its_incidents_are_found_are_of_then_and_stay(tmp_path: Path):
    path = written(tmp_path)
    with running_fleet(tmp_path) as fleet:
        assert said(fleet, "replay", path)["refused"] == 0
        wait_until(lambda: places(incidents(fleet)) == OF_THEN, WITHIN)
        assert places(incidents(fleet, "--since", "2005-12-01")) == {("2005-12-24", "sw-3")}
        first = incidents(fleet)[-1]
        shown = httpx.get(f"{fleet.settings.api_url}/api/v3/incidents/{first['id']}").json()
        assert {shown["timeline"][0]["ts"][:10], shown["evidence"][0]["ts"][:10]} == {"2005-06-01"}
        asyncio.run(merge_all(fleet))
        killed = fleet.kill("incident-api")
        fleet.wait_back("incident-api", killed)
        assert places(incidents(fleet)) == OF_THEN
    with running_fleet(tmp_path) as fleet:
        assert places(incidents(fleet)) == OF_THEN
        line = shown["evidence"][0]["tracking_id"]
        trace = said(fleet, "trace", line, "--api", fleet.settings.api_url)
        assert trace["log"]["ts"].startswith("2005-06-01T12:30")
        as_of_now(fleet, path)
        ledger = said(fleet, "ledger", "--api", fleet.settings.api_url)
        assert ledger["balanced"] and ledger["balance"]["detected"] > 0


def as_of_now(fleet: RunningFleet, path: Path) -> None:
    """The same faults once more, at their distances before now: what nobody has taken back since
    then still lasts, and is told of once more in its incident."""
    assert said(fleet, "replay", path, "--as-now")["repeated"] == 0
    moved = utc_now() - datetime.fromisoformat("2005-12-24T12:45:00Z")
    of_now = {
        (f"{datetime.fromisoformat(f'{day}T12:30:00Z') + moved:%Y-%m-%d}", device)
        for day, device in OF_THEN
    }
    wait_until(lambda: last_seen(fleet) >= of_now, WITHIN)
    assert said(fleet, "replay", path, "--as-now")["sent"] == 0


def last_seen(fleet: RunningFleet) -> set[tuple[str, str]]:
    found = incidents(fleet)
    return {(one["last_seen"][:10], device) for one in found for device in one["affected_devices"]}
