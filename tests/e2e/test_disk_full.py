"""The disk of ClickHouse is full for a while: the API answers from memory, ``/ready`` says it, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import Level, LogEntry
from aiops_core.runtime.bus import Bus, Outgoing
from aiops_core.runtime.service import utc_now
from aiops_lab.bench import ledger
from aiops_lab.bench.load import Load, send
from tests.conftest import nats_bus
from tests.fleet import RunningFleet, running_fleet

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DISK = "256m"
FULL_FOR = float(os.environ.get("DISK_FULL_SECONDS", "12"))
FILL = 'while :; do head -c 1m /dev/zero >> "$0" 2>/dev/null; sleep 0.02; done'
RATE = 200.0  # lines per second
SHIP = "testship"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, for ClickHouse's data."""
    data = tmp_path / "fleet" / "clickhouse"
    data.mkdir(parents=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(data)]
    mounted = subprocess.run(mounting, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield data
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """After some seconds not a byte is left; whatever is freed meanwhile is taken as well.

    It fills slowly, as disks do: an engine that is hit while it writes breaks what it writes, unless
    ``min_free_disk_bytes_to_perform_insert`` stops it before.
    """
    ballast = disk / "ballast"
    filling = subprocess.Popen(["sh", "-c", FILL, str(ballast)])
    try:
        yield
    finally:
        filling.kill()
        filling.wait()
        ballast.unlink()


class Lines:
    """A sink that only publishes: on a ship Vector writes the lines themselves into ClickHouse."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def send(self, entries: Sequence[LogEntry]) -> None:
        await self._bus.publish([Outgoing(one, one.tracking_id) for one in entries])


def lonely() -> LogEntry:
    """A line that belongs to no other incident."""
    return LogEntry(
        tracking_id="lonely",
        ship_id=SHIP,
        ts=utc_now(),
        host="lone-host",
        service="lone-service",
        level=Level.CRITICAL,
        msg="gyro compass lost its reference",
    )


async def until(api: httpx.AsyncClient, path: str, is_so, within: float = 20.0) -> httpx.Response:
    async with asyncio.timeout(within):
        while True:
            answer = await api.get(path)
            if is_so(answer):
                return answer
            await asyncio.sleep(0.1)


async def test_with_a_full_disk_the_api_answers_and_all_is_stored_afterwards(tmp_path, small_disk):
    with running_fleet(tmp_path) as fleet:
        pid = fleet.about["pids"]["incident-api"]
        url = fleet.settings.api_url
        async with (
            nats_bus(fleet.settings.nats_url) as bus,
            httpx.AsyncClient(base_url=url, timeout=20) as api,
        ):
            load = Load(total=int(RATE * (FULL_FOR + 8)), rate=RATE, ship_id=SHIP)
            sending = asyncio.create_task(send(load, Lines(bus).send))
            await asyncio.sleep(4)
            with full(small_disk):
                incident = await _while_it_is_full(api, bus)
            back = await until(api, "/ready", lambda answer: answer.status_code == 200)
            assert back.json()["dependencies"]["clickhouse"] == "up"
            sent = await sending
        lines = {*sent.anomalous, "lonely"}
        async with ClickHouse.open(fleet.settings.clickhouse_url) as store:
            book = await ledger.settled(store, SHIP, sent.began, lines, within=60)
            assert (ledger.lost(book, lines), ledger.doubled(book, lines)) == ([], [])
            rows = await store.query(
                "SELECT status FROM aiops.incidents FINAL WHERE id = %(id)s", {"id": incident}
            )
            assert rows == [("ack",)]
            assert await _counts(store, len(lines)) == [(len(lines), len(lines))]
        assert fleet.about["pids"]["incident-api"] == pid
        assert 1 <= _said(fleet) <= 1 + FULL_FOR / 60 + 1


async def _counts(store: ClickHouse, wanted: int) -> Sequence[tuple[int, int]]:
    """Lines in the history, and members that incidents count, once they are *wanted*, at the latest after 5 s."""
    for _ in range(50):
        rows = await store.query(
            "SELECT (SELECT uniqExact(tracking_id) FROM aiops.anomalies),"
            " (SELECT sum(anomaly_count) FROM aiops.incidents FINAL)"
        )
        if rows == [(wanted, wanted)]:
            break
        await asyncio.sleep(0.1)
    return rows


async def _while_it_is_full(api: httpx.AsyncClient, bus: Bus) -> str:
    """The id of an incident that began, was read and acknowledged meanwhile."""
    ends = asyncio.get_running_loop().time() + FULL_FOR
    said = await until(api, "/ready", lambda answer: answer.status_code == 503)
    assert "space" in said.json()["dependencies"]["clickhouse"]
    await Lines(bus).send([lonely()])
    where = "/api/v3/incidents?device_id=lone-host"
    listed = (await until(api, where, lambda answer: answer.json()["items"])).json()
    incident: str = listed["items"][0]["id"]
    path = f"/api/v3/incidents/{incident}"
    assert (await api.post(f"{path}/ack")).json()["status"] == "ack"
    while asyncio.get_running_loop().time() < ends:
        for part in ("", "/timeline", "/evidence"):
            assert (await api.get(path + part)).status_code == 200
        assert (await api.get("/api/v3/incidents?limit=500")).status_code == 200
        assert (await api.get("/ready")).status_code == 503
        await asyncio.sleep(0.5)
    shown = (await api.get(path)).json()
    assert (shown["status"], shown["tracking_ids"]) == ("ack", ["lonely"])
    kinds = [one["kind"] for one in (await api.get(f"{path}/timeline")).json()["items"]]
    assert kinds[0] == "created" and "ack" in kinds
    return incident


def _said(fleet: RunningFleet) -> int:
    """Lines of incident-api's log that say that it waits for ClickHouse."""
    (log,) = (fleet.data / "fleet").rglob("incident-api.log")
    lines = log.read_text().splitlines()
    return sum("waiting" in line and "rows of" in line for line in lines)
