"""A client's session with the engine: its settings, its database, what it knows of tables."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .blocks import Column
from .embedded import Chunk, Insert, chunk, faults, literal, opened
from .faults import NOT_IMPLEMENTED, UNKNOWN_SETTING, Fault
from .statements import Target, unquoted
from .wire import Setting

logger = logging.getLogger(__name__)

SPOOL = "spool"
"""Folder below the data where inserts are gathered."""

_NAME = re.compile(r"[A-Za-z_][\w.]*")


class EngineConnection:
    """One session with the engine. All methods raise Fault."""

    def __init__(self, path: str, tag: str) -> None:
        self._path = path
        self.tag = tag
        self._applied: tuple[Setting, ...] | None = ()
        self._overridden: list[str] = []
        self._session_sets = [
            f"SET implicit_select = 0, log_queries = 0, query_cache_tag = '{tag}'"
        ]
        self._database = "default"
        self._described: dict[tuple[str, tuple[str, ...]], tuple[int, list[Column]]] = {}
        self._chdb = opened(path)
        self._replay()

    def close(self) -> None:
        """Give the connection back; nothing may be running."""
        self._chdb.close()

    def use(self, database: str) -> None:
        """Make `database` the session's own."""
        escaped = database.replace("\\", "\\\\").replace("`", "\\`")
        self.move(f"USE `{escaped}`")

    def move(self, sql: str) -> Chunk:
        """Run a USE of the client: the same names mean other tables from now on."""
        done = self.run(sql)
        self._database = self._facts("SELECT currentDatabase()")["data"][0][0]
        self._described.clear()
        return done

    def run(self, sql: str) -> Chunk:
        """Run a statement and take its whole result."""
        with faults():
            return chunk(self._chdb.query(sql, "Native"))

    def set(self, sql: str) -> Chunk:
        """Run a SET of the client: it holds until the session ends."""
        done = self.run(sql)
        self._session_sets.append(sql)
        return done

    def stream(self, sql: str) -> Generator[Chunk, None, None]:
        """Run a query and give its result part by part; an abandoned iterator must be closed."""
        with faults():
            handle = self._chdb.send_query(sql, "Native")
            finished = False
            try:
                while (
                    part := self._chdb.streaming_fetch_result(handle)
                ) is not None and part.size():
                    yield chunk(part)
                finished = True
            finally:
                if not finished:
                    self._chdb.streaming_cancel_query(handle)

    def insert(self, target: Target, settings: Sequence[Setting] = ()) -> Insert:
        """Begin an insert whose data comes in `Native` format; it must be closed.

        *settings* hold for it alone; they must be known to the engine.
        """
        inline = ", ".join(f"{setting.name} = {literal(setting.value)}" for setting in settings)
        return Insert(self._chdb, target, Path(self._path, SPOOL, self.tag), inline)

    def columns_of(self, target: Target, generation: int) -> list[Column]:
        """The columns that an insert into `target` expects, remembered for one generation of
        tables.
        """
        key = (target.table, target.columns)
        known = self._described.get(key)
        if known and known[0] == generation:
            return known[1]
        columns = self._describe(target)
        self._described[key] = (generation, columns)
        return columns

    def columns_of_query(self, sql: str) -> list[Column]:
        """The columns of a SELECT, without running it."""
        return [Column(row[0], row[1]) for row in self._facts(f"DESCRIBE ({sql})")["data"]]

    def columns_aside(self, sql: str) -> list[Column]:
        """The columns of a SELECT whose result is being streamed, asked in another connection.

        Temporary tables are not known there.
        """
        with closing(EngineConnection(self._path, self.tag)) as aside:
            aside.use(self._database)
            return aside.columns_of_query(sql)

    def columns_of_facts(self, sql: str) -> list[Column]:
        """The columns of SHOW and the like, by running it again."""
        return [Column(column["name"], column["type"]) for column in self._facts(sql)["meta"]]

    def apply(self, settings: tuple[Setting, ...]) -> None:
        """Have exactly these settings for the next query; the same as before cost nothing."""
        if settings == self._applied:
            return
        self._revert()
        for setting in settings:
            self._set(setting)
        self._applied = settings

    def _describe(self, target: Target) -> list[Column]:
        if any("*" in name for name in target.columns):
            listed = ", ".join(target.columns)
            return self.columns_of_query(f"SELECT {listed} FROM {target.table}")  # noqa: S608 - the client's own words
        rows = self._facts(f"DESCRIBE TABLE {target.table}")["data"]
        if not target.columns:
            return [Column(row[0], row[1]) for row in rows if row[2] in ("", "DEFAULT")]
        types = {row[0]: row[1] for row in rows}
        names = [unquoted(name) for name in target.columns]
        if not types.keys() >= set(names):
            with closing(self.insert(target)) as refused:
                refused.finish()  # the engine knows best how to say which column is missing
            raise Fault(NOT_IMPLEMENTED, f"cannot find the columns of {target.head}")
        return [Column(name, types[name]) for name in names]

    def _facts(self, sql: str) -> dict[str, Any]:
        """The result as ClickHouse's JSONCompact; types on one line, as the protocol wants them."""
        with faults():
            self._chdb.query("SET print_pretty_type_names = 0", "Native")
            try:
                facts: dict[str, Any] = json.loads(self._chdb.query(sql, "JSONCompact").bytes())
            finally:
                self._chdb.query("SET print_pretty_type_names = DEFAULT", "Native")
        return facts

    def _set(self, setting: Setting) -> None:
        if not _NAME.fullmatch(setting.name):
            raise Fault(UNKNOWN_SETTING, f"Unknown setting '{setting.name}'")
        try:
            self.run(f"SET {setting.name} = {literal(setting.value)}")
            self._overridden.append(setting.name)
        except Fault as refused:
            if refused.code != UNKNOWN_SETTING or setting.important:
                raise
            logger.info("ignored the unknown setting %s, as ClickHouse does", setting.name)

    def _revert(self) -> None:
        """Undo the settings of the query before. Those that forbid it (readonly) need a new engine
        connection.
        """
        overridden, self._overridden, self._applied = self._overridden, [], None
        if not overridden:
            return
        try:
            self.run("SET " + ", ".join(f"{name} = DEFAULT" for name in overridden))
            self._replay()
        except Fault:
            self._renew()

    def _renew(self) -> None:
        self._chdb.close()
        self._chdb = opened(self._path)
        self._replay()
        self.use(self._database)

    def _replay(self) -> None:
        for sql in self._session_sets:
            self.run(sql)
