"""The calls into chdb, which has no types of its own, and what comes back from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """An insert whose data is gathered in a file and read by the engine from there.

    chdb's streaming insert would save the file and a millisecond, but (4.4) reports success when
    the table refuses the rows: what was acknowledged would be lost.
    """

    def __init__(self, connection: Any, target: Target, spool: Path) -> None:
        self._chdb = connection
        self._target = target
        self._spool = spool
        self._file = spool.open("wb")

    def append(self, data: bytes, /) -> None:
        """Give it bytes of `Native` format, cut anywhere."""
        try:
            self._file.write(data)
        except OSError as error:
            raise Fault(NOT_ENOUGH_SPACE, f"cannot gather the insert: {error.strerror}") from error

    def finish(self) -> Chunk:
        """Commit: when this returns, the rows survive the death of this process."""
        small = self._file.tell() < _SMALL
        self._file.close()
        settings = self._target.settings or ("SETTINGS max_threads = 1" if small else "")
        source = f"FROM INFILE {literal(str(self._spool))} {settings} FORMAT Native"
        with faults():
            return chunk(self._chdb.query(f"{self._target.head} {source}", "Native"))

    def close(self) -> None:
        """Forget the data, committed or not."""
        self._file.close()
        self._spool.unlink(missing_ok=True)


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
