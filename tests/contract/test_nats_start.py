"""``nats/start.sh``, by which the broker starts in its container, with the real nats-server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from aiops_core.adapters.nats_store import WORTH_A_BATCH, Letter
from aiops_core.local.programs import nats_server
from tests.conftest import ROOT, free_port, nats_bus, wait_for_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")

STREAM = "jetstream/$G/streams/LOGS"


class Container:
    """What ``docker-compose.yml`` mounts and starts, as a group of processes."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.port, self._monitor = free_port(), free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def batches(self) -> Path:
        return self.data / STREAM / "batches"

    def start(self) -> None:
        server = ["-a", "127.0.0.1", "-p", str(self.port), "-m", str(self._monitor)]
        programs = f"{Path(nats_server()).parent}:{os.environ['PATH']}"
        where = {"AIOPS_NATS_DATA": str(self.data)}
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

    def health(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self._monitor}/healthz").text

    def policy(self) -> int:
        assert self._process
        return os.sched_getscheduler(self._process.pid)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    container.start()
    yield container
    container.kill()


async def send(container: Container, text: str) -> None:
    letters = [Letter("logs.test", f"{text} {n}".encode(), {}) for n in range(WORTH_A_BATCH)]
    async with nats_bus(container.url) as bus:
        await bus.store(letters)


async def lines(container: Container) -> list[bytes]:
    async with nats_bus(container.url) as bus:
        return [stored.data async for stored in bus.history(["logs.test"], since=None)]


async def test_a_new_broker_takes_batches_and_is_well(container):
    assert container.health() == '{"status":"ok"}'
    for text in ("first", "second"):
        await send(container, text)
    assert len(await lines(container)) == 2 * WORTH_A_BATCH
    assert container.health() == '{"status":"ok"}'


async def test_folders_that_a_former_version_led_to_memory_are_the_brokers_again(container):
    await send(container, "before")
    container.kill()
    shutil.rmtree(container.batches, ignore_errors=True)
    container.batches.symlink_to(container.data / "gone")
    container.start()
    await send(container, "after")
    assert len(await lines(container)) == 2 * WORTH_A_BATCH
    assert not container.batches.is_symlink()
    assert container.health() == '{"status":"ok"}'


async def test_it_takes_turns_with_the_other_processes(container):
    assert container.policy() == os.SCHED_BATCH
