"""The embedded engine: one per process, with a connection for each client.

chdb runs queries of different connections at the same time and serialises those of one connection.
A connection that is used after `close` takes the whole process down: hence a connection for each
client, closed by the client's own thread.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from chdb import _chdb

from .columns import Column, check_served
from .wire import NO_SUCH_COLUMN, UNKNOWN_SETTING, EngineError

_connect: Any = getattr(_chdb, "connect")  # noqa: B009 - the stub of chdb does not name it

_LIMITS = {
    "max_server_memory_usage": 2 << 30,
    "mark_cache_size": 64 << 20,
    "primary_index_cache_size": 64 << 20,
    "index_mark_cache_size": 16 << 20,
    "query_condition_cache_size": 16 << 20,
    "compiled_expression_cache_size": 32 << 20,
    "background_pool_size": 2,
}
"""Bytes, and threads for merges. By default the engine takes half of the host's memory."""
_SMALL = 1 << 20
"""Bytes of an insert that one thread does faster than several."""
_NAME = re.compile(r"[A-Za-z_]\w*")
_INSERT = re.compile(
    r"(?P<head>\s*INSERT\s+INTO\s+(?P<table>[\w.`]+)\s*(?:\((?P<columns>[^()]*)\))?)"
    r"\s*(?P<settings>SETTINGS\s.*?)?\s*VALUES[\s;]*",
    re.IGNORECASE | re.DOTALL,
)
_READ_ONLY = re.compile(r"\s*(?:SELECT|WITH|INSERT)\b", re.IGNORECASE)


class CannotServe(Exception):
    """The port is taken, or the data folder belongs to another engine or cannot be written."""


@dataclass(frozen=True, slots=True)
class InsertTarget:
    """`head` is the statement up to its columns; no columns are all columns of the table."""

    head: str
    table: str
    columns: tuple[str, ...]
    settings: str


def insert_target(sql: str) -> InsertTarget | None:
    """The target of an insert whose rows the client sends; None for any other statement.

    ``INSERT INTO t (a, b) [SETTINGS …] VALUES``
    """
    match = _INSERT.fullmatch(sql)
    if not match:
        return None
    names = (name.strip().strip("`") for name in (match["columns"] or "").split(","))
    columns = tuple(name for name in names if name)
    return InsertTarget(match["head"].strip(), match["table"], columns, match["settings"] or "")


def may_change_tables(sql: str) -> bool:
    """Whether descriptions of tables are out of date after this statement."""
    return not _READ_ONLY.match(sql)


class Engine:
    """chdb on the folder `data`. Raises CannotServe."""

    def __init__(self, data: Path) -> None:
        self._lock = _locked(data)
        self._path = str(data)
        self._numbers = itertools.count(1)
        limits = "&".join(f"{name}={value}" for name, value in _LIMITS.items())
        self._control = _opened(f"{self._path}?{limits}")
        self.generation = 0
        """Number of statements that may have changed a table."""

    def connect(self) -> EngineConnection:
        """A connection with a database and settings of its own."""
        return EngineConnection(self, _opened(self._path), f"aiops-{next(self._numbers)}")

    def kill(self, tag: str) -> None:
        """Cancel the running query of the connection with this tag: it fails with code 394."""
        with suppress(EngineError), _errors():
            self._control.query(
                f"KILL QUERY WHERE Settings['query_cache_tag'] = '{tag}' ASYNC", "Native"
            )

    def version(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        numbers = str(self._control.query("SELECT version()", "TSV").bytes().decode()).split(".")
        return int(numbers[0]), int(numbers[1]), int(numbers[2])

    def close(self) -> None:
        """Stop the engine; all connections must be closed before."""
        self._control.close()
        self._lock.close()


class EngineConnection:
    """One client's connection. All methods raise EngineError."""

    def __init__(self, engine: Engine, chdb: Any, tag: str) -> None:
        self._engine = engine
        self._chdb = chdb
        self.tag = tag
        self._settings: dict[str, str] = {}
        self._described: dict[InsertTarget, tuple[int, list[Column]]] = {}
        self.query(
            "SET implicit_select = 0, log_queries = 0, print_pretty_type_names = 0, "
            f"query_cache_tag = '{tag}'"
        )

    def close(self) -> None:
        """Give the connection back; nothing may be running."""
        self._chdb.close()

    def use(self, database: str) -> None:
        """Make `database` the default of this connection."""
        escaped = database.replace("\\", "\\\\").replace("`", "\\`")
        self.query(f"USE `{escaped}`")

    def query(self, sql: str) -> bytes:
        """The whole result of a statement, as blocks in `Native` format."""
        try:
            with _errors():
                result: bytes = self._chdb.query(sql, "Native").bytes()
        finally:
            if may_change_tables(sql):
                self._engine.generation += 1
        return result

    def apply(self, settings: dict[str, str]) -> None:
        """Have exactly these settings for the next query; the same as before cost nothing."""
        if settings == self._settings:
            return
        for name in settings:
            if not _NAME.fullmatch(name):
                raise EngineError(UNKNOWN_SETTING, f"Unknown setting '{name}'")
        defaults = [f"{name} = DEFAULT" for name in self._settings]
        values = [f"{name} = {literal(value)}" for name, value in settings.items()]
        with _errors():
            self._chdb.query("SET " + ", ".join(defaults + values), "Native")
        self._settings = settings

    def columns_of(self, target: InsertTarget) -> list[Column]:
        """The columns of an insert, remembered until a statement may have changed a table."""
        generation, columns = self._described.get(target, (-1, []))
        if generation == self._engine.generation:
            return columns
        generation = self._engine.generation
        columns = self._describe(target)
        check_served(columns)
        self._described[target] = (generation, columns)
        return columns

    def insert(self, target: InsertTarget, blocks: Sequence[bytes]) -> None:
        """Commit: when this returns, the rows survive the death of this process.

        The engine reads them from a file. chdb's streaming insert would save that, but (4.4)
        reports success when the table refuses the rows.
        """
        with _file(blocks) as (path, size):
            settings = target.settings or ("SETTINGS max_threads = 1" if size < _SMALL else "")
            self.query(f"{target.head} FROM INFILE {literal(path)} {settings} FORMAT Native")

    def _describe(self, target: InsertTarget) -> list[Column]:
        with _errors():
            result = self._chdb.query(f"DESCRIBE TABLE {target.table}", "JSONCompact").bytes()
        rows = json.loads(result)["data"]
        if not target.columns:
            return [Column(row[0], row[1]) for row in rows if row[2] in ("", "DEFAULT")]
        types = {row[0]: row[1] for row in rows}
        for name in target.columns:
            if name not in types:
                raise EngineError(NO_SUCH_COLUMN, f"No such column {name} in {target.table}")
        return [Column(name, types[name]) for name in target.columns]


@contextmanager
def _file(blocks: Sequence[bytes]) -> Iterator[tuple[str, int]]:
    """Path and size of a file with these blocks; on Linux one in memory, which no disk has to
    keep.
    """
    with _memory() if sys.platform == "linux" else tempfile.NamedTemporaryFile("w+b") as file:
        file.writelines(blocks)
        file.flush()
        path = f"/proc/self/fd/{file.fileno()}" if sys.platform == "linux" else file.name
        yield path, file.tell()


def _memory() -> IO[bytes]:
    return os.fdopen(os.memfd_create("insert"), "w+b")


def literal(value: str) -> str:
    """A text as ClickHouse writes it in a query."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextmanager
def _errors() -> Iterator[None]:
    """chdb raises RuntimeError with ClickHouse's text."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError.parsed(str(error)) from error


def _opened(path: str) -> Any:
    """A connection to the engine at `path`; the first one starts it. Raises CannotServe."""
    try:
        return _connect(path)
    except RuntimeError as error:
        raise CannotServe(f"the engine cannot open {path.partition('?')[0]}: {error}") from error


def _locked(data: Path) -> IO[str]:
    """Hold the folder. The engine has a lock of its own, but reports it in three lines."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "server.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CannotServe(f"the data folder {data} is in use by another server") from error
    except OSError as error:
        raise CannotServe(f"the data folder {data} cannot be used: {error.strerror}") from error
    return lock
