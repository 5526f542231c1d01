"""A silence on a running fleet, set by the command that people use: nothing is restarted for it, a
kill forgets nothing, and when it is over the same problem is an incident again."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiops_cli.ingest.sink import IngestSink, open_sink
from aiops_core.models import LogEntry
from tests.conftest import ROOT
from tests.fleet import RunningFleet, running_fleet, wait_until
from tests.v3.conftest import entry

pytestmark = pytest.mark.e2e

DEVICE = "sw-silenced"
NUMBERS = itertools.count(1)


INHIBIT = """
inhibit:
  - id: full-disk
    reason: a full disk cannot be written to
    source: {anomaly_type: disk_full}
    target: {anomaly_type: storage_error}
    equal: [device_id]
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    data = tmp_path_factory.mktemp("silences")
    policies = Path(shutil.copytree(ROOT / "policies", data / "policies"))
    correlate = policies / "correlate.yaml"
    text = correlate.read_text()
    assert "\ninhibit: []\n" in text
    correlate.write_text(text.replace("\ninhibit: []\n", INHIBIT))
    with running_fleet(data, policies=policies) as running:
        yield running


@pytest.fixture
async def sink(fleet: RunningFleet) -> AsyncIterator[IngestSink]:
    async with open_sink(fleet.settings) as opened:
        yield opened


def aiops(fleet: RunningFleet, *words: str) -> Any:
    """What the command prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "aiops_cli", *words, "--json"],
        env=os.environ | {"AIOPS_API_URL": fleet.settings.api_url},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def disk_error(device: str) -> LogEntry:
    msg = f"EXT4-fs error (device sda{next(NUMBERS)}): unable to read inode"
    return entry(device, msg, service="kernel")


def knows(fleet: RunningFleet, service: str, kind: str, number: int) -> bool:
    """Whether *service* has heard of so many, as its own metric says."""
    said = httpx.get(f"{fleet.about['addresses'][service]}/metrics").text
    wanted = f'aiops_state_size{{kind="{kind}",service="{service}"}} {number:.1f}'
    return wanted in said.splitlines()


async def ending(fleet: RunningFleet, sink: IngestSink, sent: LogEntry) -> dict[str, Any]:
    """What became of one line."""
    await sink.send([sent])
    found: dict[str, Any] = {}

    def ended() -> bool:
        answer = httpx.get(f"{fleet.settings.api_url}/api/v3/trace/{sent.tracking_id}")
        found.update(answer.json() if answer.status_code == 200 else {})
        return found.get("status") in ("complete", "suppressed")

    wait_until(ended, within=60)
    return found


async def test_a_silence_hides_from_now_on_survives_a_kill_and_ends(
    fleet: RunningFleet, sink: IngestSink
) -> None:
    what = f"device_id={DEVICE}"
    before = await ending(fleet, sink, disk_error(DEVICE))
    assert before["status"] == "complete"
    aiops(fleet, "incidents", "resolve", before["incident"]["id"])
    wait_until(lambda: aiops(fleet, "silence", "preview", what)["hidden"] == 1)

    words = ("--created-by", "eto", "--comment", "disk is being replaced", "--for", "2h")
    silence = aiops(fleet, "silence", "add", *words, what)
    wait_until(lambda: knows(fleet, "correlation-service", "silences", 1))
    hidden = await ending(fleet, sink, disk_error(DEVICE))
    assert (hidden["status"], hidden["incident"]) == ("suppressed", None)
    assert hidden["suppressed"] == {
        "by": silence["id"],
        "kind": "silence",
        "reason": "disk is being replaced (eto)",
        "source": None,
    }

    pid = fleet.kill("correlation-service")
    fleet.wait_back("correlation-service", pid)
    assert (await ending(fleet, sink, disk_error(DEVICE)))["status"] == "suppressed"

    [listed] = aiops(fleet, "silence")
    assert (listed["id"], listed["state"], listed["hidden"]) == (silence["id"], "active", 2)
    assert listed["last_matched_at"] is not None
    rules = aiops(fleet, "stats")["suppressions"]["by_rule"]
    assert (rules[0]["rule"], rules[0]["hidden"]) == (silence["id"], 2)

    over = aiops(fleet, "silence", "end", silence["id"])
    assert (over["state"], over["hidden"]) == ("expired", 2)
    wait_until(lambda: not aiops(fleet, "silence"))
    after = await until_visible(fleet, sink)
    assert after["incident"]["id"] != before["incident"]["id"]


async def until_visible(fleet: RunningFleet, sink: IngestSink) -> dict[str, Any]:
    """The first line that makes an incident again: correlation hears of the end a moment later."""
    for _ in range(20):
        found = await ending(fleet, sink, disk_error(DEVICE))
        if found["status"] == "complete":
            return found
    raise AssertionError("the silence is over and hides on")


INVENTORY = """
- {id: modem-1, type: modem}
- {id: router-1, type: router, upstream: [modem-1]}
- {id: router-2, type: router}
"""


async def test_a_known_outage_of_the_link_explains_what_hangs_on_it_and_nothing_else(
    fleet: RunningFleet, sink: IngestSink
) -> None:
    inventory = fleet.data / "devices.yaml"
    inventory.write_text(INVENTORY)
    aiops(fleet, "devices", "import", str(inventory))
    wait_until(lambda: knows(fleet, "enrichment-service", "devices", 3))
    lost = "wan uplink lost"
    unforeseen = await ending(fleet, sink, entry("router-1", lost))
    assert unforeseen["status"] == "complete"  # an outage that nobody knows of is an incident

    words = ("--kind", "blocked_sector", "--reason", "mast astern", "--for", "1h")
    declared = aiops(fleet, "ship", "outage", "add", "modem-1", *words)["outage"]
    wait_until(lambda: knows(fleet, "correlation-service", "outages", 1))
    hidden = await ending(fleet, sink, entry("router-1", lost))
    assert (hidden["status"], hidden["suppressed"]["kind"]) == ("suppressed", "outage")
    assert hidden["suppressed"]["by"] == declared["id"]
    assert "blocked sector, mast astern" in hidden["suppressed"]["reason"]
    for visible in (disk_error("router-1"), entry("router-2", lost)):
        assert (await ending(fleet, sink, visible))["status"] == "complete"
    rules = {rule["rule"]: rule for rule in aiops(fleet, "stats")["suppressions"]["by_rule"]}
    assert (rules[declared["id"]]["kind"], rules[declared["id"]]["hidden"]) == ("outage", 1)


async def test_what_an_open_incident_explains_is_hidden_also_after_a_kill_until_it_is_over(
    fleet: RunningFleet, sink: IngestSink
) -> None:
    full = await ending(fleet, sink, entry("srv-full", "no space left on device", service="kernel"))
    cause = full["incident"]["id"]
    pid = fleet.kill("correlation-service")
    fleet.wait_back("correlation-service", pid)
    hidden = await ending(fleet, sink, disk_error("srv-full"))
    assert (hidden["status"], hidden["incident"]) == ("suppressed", None)
    assert (hidden["suppressed"]["by"], hidden["suppressed"]["source"]) == ("full-disk", cause)
    assert (await ending(fleet, sink, disk_error("srv-other")))["status"] == "complete"
    aiops(fleet, "incidents", "resolve", cause)
    wait_until(lambda: knows(fleet, "correlation-service", "inhibition_sources", 0))
    assert (await ending(fleet, sink, disk_error("srv-full")))["status"] == "complete"
