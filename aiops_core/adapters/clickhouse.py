"""ClickHouse over the native protocol. ``clickhouse-driver`` blocks, so it works in a bounded pool of
threads, off the event loop, with one connection per thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from clickhouse_driver import Client, errors

from aiops_core.adapters.clickhouse_client import EagerClient
from aiops_core.adapters.clickhouse_errors import (
    UNWRITABLE,
    NotReached,
    QueryFailed,
    translated,
)
from aiops_core.errors import AiopsError

__all__ = ["DEPENDENCY", "ClickHouse", "QueryFailed", "Row"]

T = TypeVar("T")
Row = tuple[Any, ...]

CONNECT_TIMEOUT = 2.0  # seconds
QUERY_TIMEOUT = 30.0  # seconds without any answer
DEPENDENCY = "clickhouse"

# It logs a traceback for every refused connection; the adapter says the same in one line.
logging.getLogger("clickhouse_driver").setLevel(logging.CRITICAL)


class ClickHouse:
    """A pool of connections to one server. *patience* is how many seconds it may be silent; *on_state* hears after
    each query whether it answers (None), and why not."""

    def __init__(
        self,
        url: str,
        *,
        threads: int = 4,
        patience: float = QUERY_TIMEOUT,
        on_state: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        self._url = _with_timeouts(url, patience)
        self._local = threading.local()
        self._clients: list[Client] = []
        self._on_state = on_state
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=DEPENDENCY)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        threads: int = 4,
        patience: float = QUERY_TIMEOUT,
        on_state: Callable[[str | None], None] = lambda problem: None,
    ) -> AsyncIterator[ClickHouse]:
        """Connects lazily: that ClickHouse is away shows at the first query, not here."""
        store = cls(url, threads=threads, patience=patience, on_state=on_state)
        try:
            yield store
        finally:
            store._close()

    def _close(self) -> None:
        """Cut the connections first: a query that hangs would hold up the stop."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for client in self._clients:
            if connected := client.connection.socket:
                with contextlib.suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown(wait=True)
        for client in self._clients:
            client.disconnect()

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        within: float | None = None,
    ) -> list[Row]:
        """Rows of *sql*; *parameters* are bound as ``%(name)s``, never formatted by the caller.

        Raises TookTooLong when ClickHouse has worked on it for *within* seconds.
        """
        settings = {"max_execution_time": within} if within else None
        result = await self._run(
            lambda client: client.execute(sql, dict(parameters or {}), settings=settings)
        )
        return result if isinstance(result, list) else []

    async def execute(self, sql: str) -> None:
        """A statement without rows (DDL)."""
        await self._run(lambda client: client.execute(sql))

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        token: str | None = None,
    ) -> None:
        """Insert *rows* in one block. Of several inserts with the same *token* only the first counts."""
        if not rows:
            return
        # In the statement, not beside it: the embedded engine pays a query for each setting that comes
        # with the protocol, and the token is another one every time.
        settings = f"SETTINGS insert_deduplication_token = {_quoted(token)} " if token else ""
        sql = f"INSERT INTO {table} ({', '.join(columns)}) {settings}VALUES"
        await self._run(lambda client: client.execute(sql, list(rows)))

    async def ping(self) -> None:
        """Raises Unavailable when the server does not answer."""
        await self.query("SELECT 1")

    async def _run(self, work: Callable[[Client], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._pool, self._with_client, work)
        except NotReached as exc:
            self._on_state(str(exc))
            raise
        except AiopsError:  # that it refuses is an answer
            self._on_state(None)
            raise
        self._on_state(None)
        return result

    def _with_client(self, work: Callable[[Client], T]) -> T:
        """Runs in a pool thread. A connection that failed is dropped; the next query makes a new one."""
        client = self._client()
        try:
            return work(client)
        except (errors.Error, EOFError, OSError, *UNWRITABLE) as exc:
            client.disconnect()
            raise translated(exc) from exc

    def _client(self) -> Client:
        client = getattr(self._local, "client", None)
        if client is None:
            client = EagerClient.from_url(self._url)
            self._local.client = client
            self._clients.append(client)
        return client


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _with_timeouts(url: str, patience: float) -> str:
    sep = "&" if "?" in url else "?"
    return f"{url}{sep}connect_timeout={CONNECT_TIMEOUT}&send_receive_timeout={patience}"
