"""``nats/start.sh``, by which the broker starts in its container, with the real nats-server."""

from __future__ import annotations

import os
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
from tests.fleet import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")

STREAM = "jetstream/$G/streams/LOGS"


class Container:
    """What ``docker-compose.yml`` mounts and starts, as a group of processes."""

    def __init__(self, folder: Path) -> None:
        self.data, self.memory = folder / "data", folder / "memory"
        self.memory.mkdir(parents=True)
        self.port, self._monitor = free_port(), free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def batches(self) -> Path:
        return self.data / STREAM / "batches"

    def start(self) -> None:
        server = ["-a", "127.0.0.1", "-p", str(self.port), "-m", str(self._monitor)]
        programs = f"{Path(nats_server()).parent}:{os.environ['PATH']}"
        where = {"AIOPS_NATS_DATA": str(self.data), "AIOPS_NATS_BATCHES": str(self.memory)}
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


async def test_a_new_broker_gets_well_and_soon_gathers_its_batches_in_memory(container):
    assert container.health() == '{"status":"ok"}'
    await send(container, "first")
    wait_until(container.batches.is_symlink)
    assert container.batches.readlink() == container.memory / "LOGS"
    await send(container, "second")
    assert len(await lines(container)) == 2 * WORTH_A_BATCH
    assert container.health() == '{"status":"ok"}'


async def test_after_a_kill_and_with_empty_memory_it_goes_on(container):
    await send(container, "before")
    wait_until(container.batches.is_symlink)
    container.kill()
    (container.memory / "LOGS").rmdir()  # what a tmpfs has after the container was made anew
    container.start()
    await send(container, "after")
    assert len(await lines(container)) == 2 * WORTH_A_BATCH
    assert container.health() == '{"status":"ok"}'


async def test_folders_of_a_start_that_made_no_stream_are_removed(container):
    container.kill()
    container.batches.mkdir(parents=True)
    container.start()
    assert container.health() == '{"status":"ok"}'
    await send(container, "first")
    assert len(await lines(container)) == WORTH_A_BATCH


async def test_it_takes_turns_with_the_other_processes(container):
    assert container.policy() == os.SCHED_BATCH
