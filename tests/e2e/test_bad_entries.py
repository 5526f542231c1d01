"""Bad messages on every subject and in every bucket, then ``kill -9`` of everything: all comes
back."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest

from aiops_cli.ingest.sink import open_sink
from aiops_core.inventory import inventory
from aiops_core.models import BY_SUBJECT
from aiops_core.observability import tally
from aiops_core.runtime import crashes
from aiops_core.runtime.bus import LARGEST
from aiops_core.runtime.service import utc_now
from aiops_core.suppression import ship, silences
from aiops_lab.fleet.plan import SERVICES
from anomaly_detection import snapshots
from tests.conftest import nats_bus
from tests.fleet import RunningFleet, running_fleet, wait_until
from tests.v3.conftest import entry, incidents_of

# It measures how long a start takes.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.alone]

BACK_WITHIN = 10.0  # seconds after the last kill
BUCKETS = tuple(one.BUCKET for one in (silences, ship, inventory, tally, snapshots, crashes))


def bad_messages() -> Iterator[bytes]:
    base = {"tracking_id": str(uuid.uuid4()), "ship_id": "testship", "ts": utc_now().isoformat()}
    yield b""
    yield b"{broken"
    yield b"\xff\xfe\xfd"
    yield b"null"
    yield b"[" * 50_000
    yield json.dumps(base | {"ts": 5, "msg": {"a": 1}, "severity": 7, "evidence": 3}).encode()
    yield json.dumps(base | {"schema_version": "9.0"}).encode()
    yield b'{"msg": "' + b"x" * (LARGEST * 2) + b'"}'


async def spoil(bus) -> None:
    """Bad entries wherever the platform reads."""
    for subject in BY_SUBJECT:
        for data in bad_messages():
            await bus.js.publish(subject, data)
    for bucket in map(bus.bucket, BUCKETS):
        known = await bucket.all()
        for n, data in enumerate(bad_messages()):
            await bucket.put(f"bad-{n}", data)
        for key in [*list(known)[:3], *SERVICES]:  # some are read under the name of a service
            await bucket.put(key, b"{broken")


def kill_everything(fleet: RunningFleet) -> float:
    """Seconds until all are ready again."""
    pids = fleet.about["pids"]
    began = time.monotonic()
    for name in pids:
        fleet.kill(name)
    for name, pid in pids.items():
        fleet.wait_back(name, pid)
    return time.monotonic() - began


def ledger_of(api: httpx.Client) -> dict:
    return api.get("/api/v3/ledger", params={"since": "1h"}).raise_for_status().json()


async def test_whatever_is_stored_everybody_comes_back_and_good_lines_are_in_one_incident(
    tmp_path,
):
    with running_fleet(tmp_path) as fleet:
        good: list[str] = []

        async def send(sink, count: int) -> None:
            for _ in range(count):
                line = entry(f"dev-{len(good)}", "disk controller failed", service="kernel")
                good.append(line.tracking_id)
                await sink.send([line])

        async with open_sink(fleet.settings) as sink, nats_bus(fleet.settings.nats_url) as bus:
            await send(sink, 10)
            await spoil(bus)
            await send(sink, 10)
        took = kill_everything(fleet)
        async with open_sink(fleet.settings) as sink:
            await send(sink, 10)
        with httpx.Client(base_url=fleet.settings.api_url, timeout=10) as api:
            wait_until(lambda: all(incidents_of(api, tracking_id=t) for t in good), 30)
            assert [len(incidents_of(api, tracking_id=t)) for t in good] == [1] * len(good)
            assert ledger_of(api)["balanced"]
        kill_everything(fleet)
        with httpx.Client(base_url=fleet.settings.api_url, timeout=10) as api:
            assert [len(incidents_of(api, tracking_id=t)) for t in good] == [1] * len(good)
        assert took < BACK_WITHIN
