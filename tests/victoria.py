"""A real VictoriaMetrics for tests, on a free port."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.conftest import free_port, wait_for_port

PROGRAM = shutil.which("victoria-metrics")
needed = pytest.mark.skipif(
    PROGRAM is None, reason="victoria-metrics is not installed (Debian package victoria-metrics)"
)


class Victoria:
    """One server that can be stopped and started again with its data."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["-storageDataPath", self._folder, "-httpListenAddr", f"127.0.0.1:{self._port}"]
        self._process = subprocess.Popen(
            [PROGRAM or "", *options, "-memory.allowedBytes=64MB"], stderr=subprocess.DEVNULL
        )
        wait_for_port(self._port)

    def stop(self) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(20)

    def store(self, name: str, values: dict[datetime, float], **labels: str) -> None:
        """Samples of one series, visible when it returns."""
        row = {
            "metric": {"__name__": name, **labels},
            "timestamps": [int(at.timestamp() * 1000) for at in values],
            "values": list(values.values()),
        }
        httpx.post(f"{self.url}/api/v1/import", content=json.dumps(row)).raise_for_status()
        httpx.get(f"{self.url}/internal/force_flush").raise_for_status()


@contextmanager
def running_victoria(folder: Path) -> Iterator[Victoria]:
    server = Victoria(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
