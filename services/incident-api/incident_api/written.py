"""Readers of ClickHouse see everything that has arrived: waiting rows are written first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from aiops_core.errors import Unavailable

Row = tuple[Any, ...]


class SqlQueries(Protocol):
    """What a reader needs of ClickHouse."""

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Raises Unavailable while ClickHouse is away."""


class WrittenFirst:
    """``SqlQueries`` that call *write* before each query."""

    def __init__(self, clickhouse: SqlQueries, write: Callable[[], Awaitable[None]]) -> None:
        self._clickhouse, self._write = clickhouse, write

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        with suppress(Unavailable):  # the query itself says whether ClickHouse is there
            await self._write()
        return await self._clickhouse.query(sql, parameters)
