"""The embedded engine: one per process, with any number of connections, each of one thread.

chdb runs queries of different connections at the same time and serialises those of one connection;
a connection that is used after `close` takes the whole process down. Hence a connection for each
client, closed by the client's own thread, and no lock but the engine's own.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from .connection import SPOOL, EngineConnection
from .embedded import DataInUse, faults, opened
from .faults import Fault

_LIMITS = {
    "max_server_memory_usage": 2 << 30,
    "mark_cache_size": 64 << 20,
    "primary_index_cache_size": 64 << 20,
    "index_mark_cache_size": 16 << 20,
    "query_condition_cache_size": 16 << 20,
    "compiled_expression_cache_size": 32 << 20,
    "background_pool_size": 2,
}
"""Bytes, and threads for merges: the engine shares an edge host, its defaults take the half of the
memory.
"""

_MERGES = "MergeMutate"
"""Name of the engine's threads that merge parts."""
_LOW = 15
"""Their nice value."""


class Engine:
    """chdb on the folder `data`. Raises DataInUse."""

    def __init__(self, data: Path) -> None:
        self._lock = _locked(data)
        limits = "&".join(f"{name}={value}" for name, value in _LIMITS.items())
        self._path = str(data)
        _emptied(data / SPOOL)
        self._numbers = itertools.count(1)
        self._keeper = opened(f"{self._path}?{limits}")
        self.generation = 0
        """Grows with every statement that may change a table; descriptions of tables are kept for
        one generation.
        """

    def connect(self) -> EngineConnection:
        """A connection of its own settings, database and temporary tables."""
        return EngineConnection(self._path, f"aiops-{next(self._numbers)}")

    def kill(self, tag: str) -> None:
        """Cancel what the connection with this tag is running; it fails with code 394 within
        milliseconds.
        """
        with suppress(Fault), faults():
            self._keeper.query(
                f"KILL QUERY WHERE Settings['query_cache_tag'] = '{tag}' ASYNC", "Native"
            )

    def favour_queries(self) -> None:
        """Let merges have the time that nobody else wants: on a small host they would delay the
        inserts that somebody waits for. Threads have a priority of their own on Linux only.
        """
        for task in Path("/proc/self/task").glob("*"):
            with suppress(OSError):
                if (task / "comm").read_text().strip() == _MERGES:
                    os.setpriority(os.PRIO_PROCESS, int(task.name), _LOW)

    def version(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        numbers = str(self._keeper.query("SELECT version()", "TSV").bytes().decode()).split(".")
        return int(numbers[0]), int(numbers[1]), int(numbers[2])

    def close(self) -> None:
        """Stop the engine; all other connections must be closed before."""
        self._keeper.close()
        self._lock.close()


def _locked(data: Path) -> IO[str]:
    """Hold the folder. The engine has a lock of its own, but says so in three lines and a code of
    initialisation.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "server.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataInUse(f"the data folder {data} is in use by another server") from error
    except OSError as error:
        raise DataInUse(f"the data folder {data} cannot be used: {error.strerror}") from error
    return lock


def _emptied(spool: Path) -> None:
    """What a crash left there was never acknowledged."""
    spool.mkdir(exist_ok=True)
    for left in spool.iterdir():
        left.unlink()
