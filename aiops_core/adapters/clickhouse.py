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
from aiops_core.errors import AiopsError, Unavailable

T = TypeVar("T")
Row = tuple[Any, ...]

CONNECT_TIMEOUT = 2.0  # seconds
QUERY_TIMEOUT = 30.0  # seconds without any answer
DEPENDENCY = "clickhouse"

# Codes of ClickHouse's own that pass by themselves: the server is overloaded or going down.
_PASSING = {
    errors.ErrorCodes.TIMEOUT_EXCEEDED,
    errors.ErrorCodes.SOCKET_TIMEOUT,
    errors.ErrorCodes.NETWORK_ERROR,
    errors.ErrorCodes.MEMORY_LIMIT_EXCEEDED,
    errors.ErrorCodes.TOO_MANY_SIMULTANEOUS_QUERIES,
    errors.ErrorCodes.QUERY_WAS_CANCELLED,
    252,  # TOO_MANY_PARTS: merges lag behind
    735,  # QUERY_WAS_CANCELLED_BY_CLIENT
}

# It logs a traceback for every refused connection; the adapter says the same in one line.
logging.getLogger("clickhouse_driver").setLevel(logging.CRITICAL)


class QueryFailed(AiopsError):
    """ClickHouse refused the query; asking again would not help."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ClickHouse:
    """A pool of connections to one server. *on_state* hears of every change between up and down."""

    def __init__(
        self,
        url: str,
        *,
        threads: int = 4,
        on_state: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        self._url = url
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
        on_state: Callable[[str | None], None] = lambda problem: None,
    ) -> AsyncIterator[ClickHouse]:
        """Connects lazily: that ClickHouse is away shows at the first query, not here."""
        store = cls(url, threads=threads, on_state=on_state)
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

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Rows of *sql*; *parameters* are bound as ``%(name)s``, never formatted by the caller."""
        result = await self._run(lambda client: client.execute(sql, dict(parameters or {})))
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
        except Unavailable as exc:
            self._on_state(str(exc))
            raise
        self._on_state(None)
        return result

    def _with_client(self, work: Callable[[Client], T]) -> T:
        """Runs in a pool thread. A connection that failed is dropped; the next query makes a new one."""
        client = self._client()
        try:
            return work(client)
        except (errors.NetworkError, EOFError, OSError) as exc:
            client.disconnect()
            raise Unavailable(f"clickhouse does not answer: {_first_line(exc)}") from exc
        except errors.PartiallyConsumedQueryError as exc:
            client.disconnect()
            raise Unavailable("clickhouse connection was interrupted") from exc
        except errors.ServerException as exc:
            kind = Unavailable if exc.code in _PASSING else None
            message = f"clickhouse code {exc.code}: {_first_line(exc)}"
            raise (kind(message) if kind else QueryFailed(message, exc.code)) from exc

    def _client(self) -> Client:
        client = getattr(self._local, "client", None)
        if client is None:
            client = EagerClient.from_url(_with_timeouts(self._url))
            self._local.client = client
            self._clients.append(client)
        return client


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _with_timeouts(url: str) -> str:
    sep = "&" if "?" in url else "?"
    return f"{url}{sep}connect_timeout={CONNECT_TIMEOUT}&send_receive_timeout={QUERY_TIMEOUT}"


def _first_line(exc: BaseException) -> str:
    """What the driver says, without its own ``Code: N.`` line before it."""
    text = str(getattr(exc, "message", "") or exc).strip() or type(exc).__name__
    line = text.splitlines()[0].removeprefix("DB::Exception: ").partition(" Stack trace:")[0]
    return line[:300]
