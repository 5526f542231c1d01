"""``nats/start.sh``, by which the broker starts in its container, with the real nats-server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from aiops_core.adapters.nats_publish import WORTH_A_BATCH, PreparedMessage
from aiops_lab.fleet.plan import nats_server
from tests.conftest import FILLER, ROOT, fill, free_port, nats_bus, wait_for_port
from tests.fleet import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")


class Container:
    """What ``docker-compose.yml`` mounts and starts, as a group of processes."""

    def __init__(self, folder: Path, data: Path | None = None, *arguments: str) -> None:
        self._arguments = arguments
        self.data = data or folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.port, self._monitor = free_port(), free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = [
            *self._arguments,
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-m",
            str(self._monitor),
        ]
        programs = f"{Path(nats_server()).parent}:{os.environ['PATH']}"
        where = {
            "AIOPS_NATS_DATA": str(self.data),
            "AIOPS_NATS_MONITOR": f"http://127.0.0.1:{self._monitor}",
        }
        self._process = subprocess.Popen(
            ["/bin/sh", ROOT / "nats/start.sh", *server, "-js", "-sd", self.data],
            env=os.environ | where | {"PATH": programs},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for_port(self.port)

    def kill(self) -> None:
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def health(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self._monitor}/healthz").text


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    container.start()
    yield container
    container.kill()


async def send(container: Container, text: str) -> None:
    messages = [
        PreparedMessage("logs.test", f"{text} {n}".encode(), {}) for n in range(WORTH_A_BATCH)
    ]
    async with nats_bus(container.url) as bus:
        await bus.store(messages)


async def lines(container: Container) -> list[bytes]:
    async with nats_bus(container.url) as bus:
        return [stored.data async for stored in bus.history(["logs.test"], since=None)]


async def test_a_new_broker_takes_batches_and_is_well(container):
    assert container.health() == '{"status":"ok"}'
    for text in ("first", "second"):
        await send(container, text)
    assert len(await lines(container)) == 2 * WORTH_A_BATCH
    assert container.health() == '{"status":"ok"}'


@pytest.mark.skipif(not shutil.which("wget"), reason="the image of the broker has wget")
async def test_after_its_disk_was_full_it_ends_to_be_started_again(tmp_path, small_disk):
    config = tmp_path / "nats.conf"
    config.write_text("jetstream { max_file_store: 16GB }")
    container = Container(tmp_path, small_disk, "-c", str(config))
    container.start()
    try:
        await send(container, "first")
        await asyncio.sleep(3)  # it has been seen well
        fill(small_disk)
        async with nats_bus(container.url) as bus:
            sending = asyncio.create_task(
                bus.store([PreparedMessage("logs.test", bytes(100_000), {})])
            )
            await asyncio.to_thread(wait_until, lambda: "write error" in container.health())
            await asyncio.sleep(8)
            assert not container.ended()  # it would not help
            (small_disk / FILLER).unlink()
            await asyncio.to_thread(wait_until, container.ended)
            container.kill()
            container.start()
            await asyncio.wait_for(sending, 10)
        assert len(await lines(container)) == WORTH_A_BATCH + 1
    finally:
        container.kill()
