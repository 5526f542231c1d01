"""Upgrade, rollback and upgrade again: this release and a later one take turns on the same data."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from aiops_cli.ingest.sink import open_sink
from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Incident, IncidentUpdated
from aiops_core.runtime.service import utc_now
from tests.conftest import ROOT, nats_bus
from tests.e2e.later_release import NOTES, later_release
from tests.fleet import RunningFleet, running_fleet, wait_until
from tests.v3.conftest import entry, incident_with, incidents_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BEFORE_ALL = "2026-01-01T00:00:00Z"
FAULTS = (
    "EXT4-fs error (device sda1): bad block",
    "Out of memory: Killed process 7 (postgres)",
)  # one on each of the devices that are new in a turn


class Ship:
    """What was sent in all turns, and the incident that it became."""

    def __init__(self) -> None:
        self.incident_of: dict[str, str] = {}  # by device
        self.lines = 0

    async def turn(self, fleet: RunningFleet, api: httpx.Client) -> None:
        """Every device fails again, those of former turns and some new ones."""
        new = [f"dev-{len(self.incident_of) + n}" for n in range(len(FAULTS))]
        async with open_sink(fleet.settings) as sink:
            for n, device in enumerate((*self.incident_of, *new, *new)):
                line = entry(device, FAULTS[n % len(FAULTS)], service="kernel")
                await sink.send([line])
                self.lines += 1
                found = incident_with(api, line.tracking_id, within=30)["id"]
                assert self.incident_of.setdefault(device, found) == found
        assert len(set(self.incident_of.values())) == len(self.incident_of)

    def assert_whole(self, api: httpx.Client) -> None:
        listed = {one["id"]: one for one in incidents_of(api, limit="500")}
        assert set(listed) == set(self.incident_of.values())
        assert sum(one["anomaly_count"] for one in listed.values()) == self.lines
        for incident in listed:
            shown = api.get(f"/api/v3/incidents/{incident}").raise_for_status().json()
            assert shown["llm_insights"] and shown["status"] == "open"
        ledger = api.get("/api/v3/ledger", params={"since": "1h"}).raise_for_status().json()
        assert ledger["balanced"] and ledger["balance"]["dead_letters"] == 0


def assert_reads_everything(fleet: RunningFleet) -> None:
    for url in fleet.about["addresses"].values():
        if url.startswith("http"):
            report = httpx.get(f"{url}/ready").json()
            assert report["ready"] and not report["unreadable"], report
    logs = "".join(log.read_text() for log in fleet.data.rglob("*.log"))
    assert "snapshot refused" not in logs and '"buried"' not in logs


def declare(api: httpx.Client) -> None:
    """What stands in buckets: a silence, a mode, a maintenance window, devices."""
    devices = {"devices": [{"id": "sw-1", "labels": {"ip": "10.0.0.1"}}]}
    api.post("/api/v3/devices/import", json=devices).raise_for_status()
    api.put("/api/v3/ship/mode", json={"mode": "port"}).raise_for_status()
    work = {"devices": ["sw-*"], "end": "2099-01-01T00:00:00Z", "reason": "works"}
    silence = {
        "matchers": ["device_id=sw-1"],
        "ends_at": (utc_now() + timedelta(hours=8)).isoformat(),
        "created_by": "eto",
        "comment": "works",
    }
    api.post("/api/v3/silences", json=silence).raise_for_status()
    assert api.post("/api/v3/ship/maintenance", json=work).status_code in (201, 422)


def assert_declared(api: httpx.Client) -> None:
    [silence] = api.get("/api/v3/silences").json()["items"]
    assert silence["state"] == "active" and silence["matchers"] == ["device_id=sw-1"]
    assert api.get("/api/v3/ship/mode").json()["mode"] == "port"
    assert [device["id"] for device in api.get("/api/v3/devices").json()["items"]] == ["sw-1"]


async def stored(fleet: RunningFleet) -> dict[str, list[dict]]:
    """All messages of some subjects that are in the streams."""
    kinds = (AnomalyDetected, EnrichedAnomaly, Incident, IncidentUpdated)
    async with nats_bus(fleet.settings.nats_url) as bus:
        return {
            kind.subject: [
                json.loads(one.data) async for one in bus.history([kind.subject], since=None)
            ]
            for kind in kinds
        }


def assert_written_by(trees: list[Path], later: Path, messages: dict[str, list[dict]]) -> None:
    for subject, found in messages.items():
        versions = {message["schema_version"] for message in found}
        assert versions == {"3.4" if tree is later else "3.3" for tree in trees}, subject
        zoned = ["zone" in message for message in found]
        assert zoned == [message["schema_version"] == "3.4" for message in found], subject


async def notes(fleet: RunningFleet) -> int:
    async with nats_bus(fleet.settings.nats_url) as bus:
        name = await bus.js.find_stream_name_by_subject(Incident.subject)
        info = await bus.js.stream_info(name, subjects_filter=NOTES)
        return (info.state.subjects or {}).get(NOTES, 0)


async def test_two_releases_take_turns_on_the_same_data(tmp_path):
    later = later_release(tmp_path / "later")
    ship, noted, trees = Ship(), 0, []
    for tree in (ROOT, later, ROOT, later):
        with (
            running_fleet(tmp_path, tree=tree) as fleet,
            httpx.Client(base_url=fleet.settings.api_url, timeout=10) as api,
        ):
            if trees:
                ship.assert_whole(api)
                assert_declared(api)
            else:
                declare(api)
            await ship.turn(fleet, api)
            wait_until(lambda api=api: all_explained(api), 30)
            ship.assert_whole(api)
            assert_reads_everything(fleet)
            trees.append(tree)
            assert_written_by(trees, later, await stored(fleet))
            before, noted = noted, await notes(fleet)
            assert (noted > before) is (tree is later) and noted >= before
            assert fleet.stop() == 0


def all_explained(api: httpx.Client) -> bool:
    ids = [one["id"] for one in incidents_of(api, limit="500")]
    return all(api.get(f"/api/v3/incidents/{one}").json()["llm_insights"] for one in ids)
