"""Files of a fleet: its lock, its bounded logs, and the file that says it is ready."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aiops_core.errors import Misconfigured

LOG_LIMIT = 5_000_000  # bytes of one log; as much again is kept as its predecessor
TAIL = 8_192  # bytes in which the last line is looked for
LINE_SHOWN = 300  # characters


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the data folder while the body runs; raises Misconfigured when another fleet does.

    The lock is the kernel's, so that it ends with the process however that ends.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("a+")
    except OSError as exc:
        raise Misconfigured(f"{data}: cannot be used for data: {exc.strerror}") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise Misconfigured(
                f"{data} is in use by another `aiops up` (pid {pid}); stop it or give --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


class Log:
    """What one process says, appended by the process itself; bounded by us from outside."""

    def __init__(self, path: Path, limit: int = LOG_LIMIT) -> None:
        self.path = path
        self._limit = limit
        self._life_began = 0

    def open(self) -> BinaryIO:
        """A handle for the next life of the process. In append mode, so that truncation is safe."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.bound()
        handle = self.path.open("ab")
        self._life_began = handle.tell()
        return handle

    def bound(self) -> None:
        """Keep the log under its limit: move it to ``.1``; the process goes on writing."""
        if self.path.exists() and self.path.stat().st_size > self._limit:
            shutil.copyfile(self.path, f"{self.path}.1")
            os.truncate(self.path, 0)
            self._life_began = 0

    def last_line(self) -> str:
        """The last line that this life of the process wrote, or ``no output``."""
        with self.path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(min(self._life_began, size), size - TAIL))
            lines = log.read().decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return _readable(last)[:LINE_SHOWN]


def _readable(line: str) -> str:
    """A structured log line as words: its event and its reason; any other line as it is."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    return ": ".join(str(entry[key]) for key in ("event", "reason") if entry.get(key))


def write_atomically(path: Path, content: Mapping[str, object]) -> None:
    """Readers see either no file or all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
