"""ClickHouse over the native protocol.

``clickhouse-driver`` blocks: it works in a pool of threads, with one connection for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from clickhouse_driver import Client, errors

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
    """A pool of connections to one server.

    *receive_timeout*: seconds without any answer. *on_state* is called after each query: with None,
    or with the reason why the server does not answer.
    """

    def __init__(
        self,
        url: str,
        *,
        threads: int = 4,
        receive_timeout: float = QUERY_TIMEOUT,
        on_state: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        self._url = _with_timeouts(url, receive_timeout)
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
        receive_timeout: float = QUERY_TIMEOUT,
        on_state: Callable[[str | None], None] = lambda problem: None,
    ) -> AsyncIterator[ClickHouse]:
        """Does not connect: the first query does."""
        store = cls(url, threads=threads, receive_timeout=receive_timeout, on_state=on_state)
        try:
            yield store
        finally:
            store._close()

    def _close(self) -> None:
        """Cut the connections first: a query that hangs would delay the stop."""
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
        """Insert *rows* in one block. A second insert with the same *token* has no effect."""
        if not rows:
            return
        # In the statement: the embedded engine runs a query for each setting of the protocol.
        settings = f"SETTINGS insert_deduplication_token = {_quoted(token)} " if token else ""
        sql = f"INSERT INTO {table} ({', '.join(columns)}) {settings}VALUES"
        await self._run(lambda client: client.execute(sql, list(rows)))

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
        """Runs in a pool thread. After a failure the next query makes a new connection."""
        client = self._client()
        try:
            return work(client)
        except (errors.Error, EOFError, OSError, *UNWRITABLE) as exc:
            client.disconnect()
            raise translated(exc) from exc

    def _client(self) -> Client:
        client = getattr(self._local, "client", None)
        if client is None:
            client = Client.from_url(self._url)
            # Before every query the driver pings, which takes as long as a small query.
            connection = client.connection
            connection.ping = lambda: _is_open(connection.socket)
            self._local.client = client
            self._clients.append(client)
        return client


def _is_open(connected: socket.socket | None) -> bool:
    """Whether the server has not closed the connection: a closed one is readable."""
    return connected is not None and not select.select([connected], [], [], 0)[0]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _with_timeouts(url: str, receive_timeout: float) -> str:
    sep = "&" if "?" in url else "?"
    return f"{url}{sep}connect_timeout={CONNECT_TIMEOUT}&send_receive_timeout={receive_timeout}"
