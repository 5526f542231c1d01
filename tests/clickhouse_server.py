"""The embedded ClickHouse as a child process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START = 20.0
_STOP = 5.0


class NotStarted(Exception):
    """The server ended before it was ready; the text is the last line that it said."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    def stop(self) -> int:
        """Ask it to end; returns its exit code. After five seconds it is killed."""
        self.process.terminate()
        try:
            return self.process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(data: Path, port: int = 0) -> Iterator[int]:
    """The port of a server over the folder `data` for the length of a `with`. Raises NotStarted."""
    child = start(data, port)
    try:
        yield child.port
    finally:
        child.stop()


def start(data: Path, port: int = 0) -> Child:
    """A server that is ready for clients; the caller ends it. Raises NotStarted."""
    with tempfile.TemporaryDirectory() as folder:
        ready, said = Path(folder, "port"), Path(folder, "stderr")
        with said.open("w") as errors:
            process = subprocess.Popen(
                _command(data, port, ready),
                stderr=errors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                text=True,
            )
        return Child(process, _wait(process, ready, said))


def _wait(process: subprocess.Popen[str], ready: Path, said: Path) -> int:
    deadline = time.monotonic() + _START
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            # The last line: the engine itself may say much before it, e.g. about cgroups.
            *_, why = said.read_text().splitlines() or [f"not ready within {_START:.0f} s"]
            raise NotStarted(why)
        time.sleep(0.02)
    return int(ready.read_text())


def _command(data: Path, port: int, ready: Path) -> list[str]:
    place = ["--port", str(port), "--data", str(data), "--ready-file", str(ready)]
    return [sys.executable, "-m", "aiops_lab.embedded.clickhouse", *place]
