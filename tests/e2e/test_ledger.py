"""The ledger and the what-if on a running fleet, asked by the commands that people use."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from clickhouse_driver import Client

from aiops_cli.ingest.sink import open_sink
from aiops_lab.bench.load import Load, send
from tests.conftest import ROOT
from tests.fleet import RunningFleet, running_fleet, wait_until

pytestmark = pytest.mark.e2e

ANOMALOUS = 200


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    with running_fleet(tmp_path_factory.mktemp("ledger")) as running:
        yield running


@pytest.fixture(scope="module")
def loaded(fleet: RunningFleet) -> RunningFleet:
    """After a load whose anomalies have all been stored somewhere."""
    asyncio.run(load(fleet))
    wait_until(lambda: ended(books(fleet)["balance"]) >= ANOMALOUS)
    wait_until(lambda: sum(counts(fleet).values()) >= ANOMALOUS)  # growth is stored once a second
    wait_until(lambda: recorded(fleet) >= ANOMALOUS)  # and so is history
    return fleet


def recorded(fleet: RunningFleet) -> int:
    """Anomalies whose enriched version is in the table."""
    with Client.from_url(fleet.settings.clickhouse_url) as client:
        sql = "SELECT uniqExact(anomaly_id) FROM aiops.anomalies WHERE version = 2"
        found: int = client.execute(sql)[0][0]
    return found


async def load(fleet: RunningFleet) -> None:
    lines = Load(total=ANOMALOUS * 2, rate=400, share=0.5, devices=3, ship_id="testship")
    async with open_sink(fleet.settings) as sink:
        await send(lines, sink.send)


def books(fleet: RunningFleet, since: str = "1h") -> dict[str, Any]:
    answer = httpx.get(f"{fleet.settings.api_url}/api/v3/ledger", params={"since": since})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(fleet: RunningFleet) -> dict[str, int]:
    """Of each incident; explanations and severities may still change by themselves."""
    listed = httpx.get(f"{fleet.settings.api_url}/api/v3/incidents").json()["items"]
    return {one["id"]: one["anomaly_count"] for one in listed}


def ended(balance: dict[str, int]) -> int:
    return balance["members"] + balance["duplicates"] + balance["suppressed"]


def aiops(fleet: RunningFleet, *words: str) -> subprocess.CompletedProcess[str]:
    settings = fleet.settings
    where = {
        "AIOPS_API_URL": settings.api_url,
        "AIOPS_CLICKHOUSE_URL": settings.clickhouse_url,
        "AIOPS_NATS_URL": settings.nats_url,
    }
    return subprocess.run(
        [sys.executable, "-m", "aiops_cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
        env=os.environ | where,
    )


def test_every_anomaly_of_a_load_is_accounted_for(loaded):
    done = aiops(loaded, "ledger", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["balanced"]) == (0, True)
    balance = found["balance"]
    assert balance["detected"] == ended(balance) == ANOMALOUS
    assert balance["duplicates"] > 0


def test_duplicates_name_the_member_that_they_repeat(loaded):
    url = f"{loaded.settings.api_url}/api/v3"
    said = httpx.get(f"{url}/stats/duplicates").json()
    assert said["balance"]["unaccounted"] == 0
    group = said["top"][0]
    listed = httpx.get(f"{url}/incidents/{group['incident_id']}/evidence?limit=500").json()["items"]
    kinds = {one["anomaly_id"]: one["role"] for one in listed}
    assert kinds[group["member"]] == "member"
    repeated = [one for one in listed if one["duplicate_of"] == group["member"]]
    assert len(repeated) == group["duplicates"]


def test_what_other_policies_would_have_made_of_it_is_shown_and_nothing_changes(loaded, tmp_path):
    before = counts(loaded)
    rules = yaml.safe_load((ROOT / "policies/correlate.yaml").read_text())
    rules["suppress"] = [{"id": "quiet", "reason": "a test", "match": {"device_id": "load-00"}}]
    (tmp_path / "correlate.yaml").write_text(yaml.safe_dump(rules))
    same = json.loads(aiops(loaded, "policy", "diff", str(ROOT / "policies"), "--json").stdout)
    assert same["anomalies"] == ANOMALOUS
    assert same["same"] == same["before"] == same["after"]
    found = json.loads(aiops(loaded, "policy", "diff", str(tmp_path), "--json").stdout)
    assert set(found["hidden"]) == {"quiet"} and found["before"] >= found["after"]
    assert counts(loaded) == before
    screen = aiops(loaded, "policy", "diff", str(tmp_path)).stdout
    assert "quiet" in screen and "incidents with the new policy" in screen


def test_a_folder_without_the_policy_is_one_line(fleet: RunningFleet, tmp_path: Path) -> None:
    done = aiops(fleet, "policy", "diff", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "correlate.yaml: policy file is missing" in done.stderr


def test_a_span_that_is_none_is_refused_by_both_commands(fleet: RunningFleet) -> None:
    for words in (("ledger",), ("policy", "diff", "policies")):
        done = aiops(fleet, *words, "--since", "soon")
        assert "expected a span like" in done.stderr and done.stderr.count("\n") == 1
