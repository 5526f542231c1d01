"""A real fleet for tests, started by the command that people use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aiops_core.policy.settings import Settings
from tests.conftest import ROOT

READY_WITHIN = 90.0  # seconds; the machines of CI are slow and busy


@dataclass
class RunningFleet:
    """``aiops up`` as a child process, and where its parts are."""

    process: subprocess.Popen[str]
    data: Path
    ready_file: Path

    @property
    def about(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads(self.ready_file.read_text())
        return described

    @property
    def settings(self) -> Settings:
        about = self.about
        return Settings(
            ship_id=about["ship_id"],
            nats_url=about["nats_url"],
            clickhouse_url=about["clickhouse_url"],
            api_url=about["api_url"],
            policies=ROOT / "policies",
        )

    def kill(self, name: str) -> int:
        """SIGKILL one process of the fleet; returns the pid that it had."""
        pid: int = self.about["pids"][name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_back(self, name: str, old: int, within: float = READY_WITHIN) -> None:
        """Wait until *name* runs again under another pid and all are ready."""
        wait_until(lambda: self._all_ready() and self.about["pids"][name] != old, within)

    def _all_ready(self) -> bool:
        addresses = self.about["addresses"]
        urls = [url for url in addresses.values() if url.startswith("http")]
        try:
            return all(httpx.get(f"{url}/ready", timeout=2).status_code == 200 for url in urls)
        except httpx.HTTPError:
            return False

    def stop(self, within: float = 15.0) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(within)


def wait_until(condition: Callable[[], object], within: float = 20.0, every: float = 0.05) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not true within {within:g} s")
        time.sleep(every)


def python_path(tree: Path) -> str:
    """Where Python finds the packages of *tree* before those that are installed."""
    packages = [*sorted(tree.glob("services/*")), *sorted(tree.glob("tools/*"))]
    return os.pathsep.join(map(str, (tree, *packages)))


@contextmanager
def running_fleet(
    data: Path, *, policies: Path | None = None, tree: Path = ROOT
) -> Iterator[RunningFleet]:
    """A fleet of the code in *tree*, on what an earlier one may have left in *data*."""
    ready_file = data / "ready.json"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "aiops_cli", "up", "--data", str(data / "fleet")]
    command += ["--ports", "auto", "--ready-file", str(ready_file), "--ship-id", "testship"]
    command += ["--policies", str(policies)] if policies else []
    with (data / "up.log").open("w") as said:
        process = subprocess.Popen(
            command,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tree,
            env=os.environ | {"PYTHONPATH": python_path(tree)},
        )
        fleet = RunningFleet(process, data, ready_file)
        try:
            wait_until(lambda: ready_file.exists() or process.poll() is not None, READY_WITHIN)
            assert process.poll() is None, (data / "up.log").read_text()
            yield fleet
        finally:
            if process.poll() is None:
                fleet.stop()
