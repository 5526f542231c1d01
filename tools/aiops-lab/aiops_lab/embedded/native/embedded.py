"""The calls into chdb, which has no types of its own, and what comes back from them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from chdb import _chdb

from .faults import NOT_ENOUGH_SPACE, Fault, fault
from .statements import Target

_connect: Any = getattr(_chdb, "connect")  # noqa: B009 - the stub of chdb does not name it
_SMALL = 1 << 20
"""Bytes of an insert that one thread does faster than several."""


class DataInUse(Exception):
    """The data folder belongs to another running engine, or cannot be written."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a result: blocks in the engine's `Native` format, and what the engine read for it."""

    data: bytes
    rows: int
    read_rows: int
    read_bytes: int
    written_rows: int = 0
    written_bytes: int = 0

    def work(self) -> tuple[int, int, int, int]:
        """Rows and bytes that were read, then those that were written."""
        return self.read_rows, self.read_bytes, self.written_rows, self.written_bytes


class Insert:
    """An insert whose data is gathered and then read by the engine from a file: a small one from
    memory, where no file system has to keep it, a large one from the spool.

    chdb's streaming insert would save the file and a millisecond, but (4.4) reports success when
    the table refuses the rows: what was acknowledged would be lost.
    """

    def __init__(self, connection: Any, target: Target, spool: Path, settings: str = "") -> None:
        self._chdb = connection
        self._target = target
        self._spool = spool
        self._settings = settings
        self._file, self._path = _in_memory(spool)
        self._size = 0

    def append(self, data: bytes, /) -> None:
        """Give it bytes of `Native` format, cut anywhere."""
        try:
            if self._path != self._spool and self._size + len(data) >= _SMALL:
                self._move_to_spool()
            self._size += self._file.write(data)
        except OSError as error:
            raise Fault(NOT_ENOUGH_SPACE, f"cannot gather the insert: {error.strerror}") from error

    def finish(self) -> Chunk:
        """Commit: when this returns, the rows survive the death of this process."""
        self._file.flush()
        source = f"FROM INFILE {literal(str(self._path))} {self._clause()} FORMAT Native"
        with faults():
            return chunk(self._chdb.query(f"{self._target.head} {source}", "Native"))

    def close(self) -> None:
        """Forget the data, committed or not."""
        self._file.close()
        self._spool.unlink(missing_ok=True)

    def _move_to_spool(self) -> None:
        memory, self._file, self._path = self._file, self._spool.open("w+b"), self._spool
        with memory:
            memory.seek(0)
            shutil.copyfileobj(memory, self._file)

    def _clause(self) -> str:
        """The client's own settings stand as written; otherwise a small insert takes one thread."""
        if self._target.settings:
            return f"{self._target.settings}{', ' * bool(self._settings)}{self._settings}"
        given = [self._settings, "max_threads = 1" if self._size < _SMALL else ""]
        settings = ", ".join(filter(None, given))
        return f"SETTINGS {settings}" if settings else ""


def _in_memory(spool: Path) -> tuple[IO[bytes], Path]:
    """A file that no disk knows, and where the engine finds it; elsewhere than on Linux the spool."""
    if sys.platform != "linux":
        return spool.open("w+b"), spool
    file = os.fdopen(os.memfd_create(spool.name), "w+b")
    return file, Path(f"/proc/self/fd/{file.fileno()}")


def literal(value: str) -> str:
    """A text as ClickHouse writes it in a query."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def chunk(result: Any) -> Chunk:
    """What came back from a query, whole or a part of it."""
    read = result.storage_rows_read(), result.storage_bytes_read()
    written = result.rows_written(), result.bytes_written()
    return Chunk(result.bytes(), result.rows_read(), *read, *written)


@contextmanager
def faults() -> Iterator[None]:
    """The engine reports every error as RuntimeError with ClickHouse's text."""
    try:
        yield
    except RuntimeError as error:
        raise fault(str(error)) from error


def opened(path: str) -> Any:
    """A connection to the engine at `path`, which is started by the first one. Raises DataInUse."""
    try:
        return _connect(path)
    except RuntimeError as error:
        raise DataInUse(f"the engine cannot open {path.partition('?')[0]}: {error}") from error
