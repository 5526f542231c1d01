"""``aiops replay`` as people run it: twice, on a growing file, from every folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import nats
import pytest

from aiops_core.models import LogEntry
from aiops_core.runtime.service import utc_now
from tests.fleet import RunningFleet, wait_until

pytestmark = pytest.mark.e2e

SHIP = "testship"


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "aiops_cli", *map(str, words)]


def environment(fleet: RunningFleet) -> dict[str, str]:
    settings = fleet.settings
    own = {name: value for name, value in os.environ.items() if name != "AIOPS_POLICIES"}
    return own | {
        "AIOPS_NATS_URL": settings.nats_url,
        "AIOPS_CLICKHOUSE_URL": settings.clickhouse_url,
        "AIOPS_SHIP_ID": SHIP,
    }


def replayed(fleet: RunningFleet, path: Path, *words: str) -> dict:
    """The summary of a replay that ran in the folder of *path*."""
    done = subprocess.run(
        command("replay", path.name, "--json", "--host", "h", *words),
        capture_output=True,
        check=False,
        cwd=path.parent,
        env=environment(fleet),
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_same_file_twice_adds_nothing(
    fleet: RunningFleet, api: httpx.Client, device: str, tmp_path: Path
):
    path, at = tmp_path / "syslog", f"{utc_now():%b %d %H:%M:%S}"
    path.write_text(
        f"{at} {device} kernel: eth0: NIC Link is Down\n{at} {device} app: fine\nplain\n"
    )

    def count() -> int:
        query = {"device_id": device, "ship_id": SHIP}
        items = api.get("/api/v3/incidents", params=query).json()["items"]
        return sum(item["anomaly_count"] for item in items)

    assert replayed(fleet, path)["sent"] == 3
    wait_until(lambda: count() == 1)
    second = replayed(fleet, path)
    assert (second["sent"], second["repeated"], second["refused"]) == (0, 3, 0)
    assert replayed(fleet, path, "--again")["sent"] == 3
    wait_until(lambda: count() == 2)


async def test_a_growing_file_through_a_pipe(fleet: RunningFleet, device: str, tmp_path: Path):
    """Each line within a second of being written, and none lost at SIGTERM."""
    path = tmp_path / "growing.log"
    path.write_text(f"first of {device}\n")
    waited: list[float] = []
    seen: list[str] = []

    async def note(message) -> None:
        entry = LogEntry.model_validate_json(message.data)
        if entry.host == device:
            seen.append(entry.msg)

    async def arrives(count: int) -> None:
        began = time.monotonic()
        async with asyncio.timeout(15):
            while len(seen) < count:
                await asyncio.sleep(0.01)
        waited.append(time.monotonic() - began)

    broker = await nats.connect(fleet.settings.nats_url)
    await broker.subscribe(LogEntry.subject, cb=note)
    tail = await asyncio.create_subprocess_exec(
        "tail", "-n", "+1", "-F", path, stdout=(pipe := os.pipe())[1], stderr=subprocess.DEVNULL
    )
    os.close(pipe[1])
    words = command("replay", "-", "--json", "--host", device)
    reading = await asyncio.create_subprocess_exec(
        *words, stdin=pipe[0], stdout=asyncio.subprocess.PIPE, env=environment(fleet)
    )
    os.close(pipe[0])
    try:
        await arrives(1)  # the command starts meanwhile
        for n in range(2, 6):
            with path.open("a") as file:
                file.write(f"line {n} of {device}\n")
            await arrives(n)
        with path.open("a") as file:
            file.write("".join(f"burst {n} of {device}\n" for n in range(300)))
        await arrives(305)
        reading.send_signal(signal.SIGTERM)
        said, _ = await reading.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):  # the reader has gone before
            tail.terminate()
        await tail.wait()
        await broker.close()
    summary = json.loads(said)
    assert max(waited[1:5]) < 1
    assert (summary["sent"], summary["unconfirmed"], len(seen)) == (305, 0, 305)
