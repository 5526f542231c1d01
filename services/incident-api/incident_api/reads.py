"""Reading from ClickHouse: every failure is Unavailable, and no query runs for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.adapters.clickhouse_errors import QueryFailed, TookTooLong
from aiops_core.errors import Unavailable
from incident_api.outage import DependencyOutages

SLACK = 2.0  # seconds after the limit, in which ClickHouse notices it itself


class SqlQueries(Protocol):
    """What a reader needs of ClickHouse."""

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Raises Unavailable while ClickHouse is away."""


class Reads:
    """``SqlQueries`` that take at most *within* seconds; None: no limit. With *write*, which is
    called before each query, they see everything that has arrived."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        within: float | None = None,
        write: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._clickhouse, self._within, self._write = clickhouse, within, write
        self._refused = DependencyOutages("clickhouse").of("a query is refused")

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        if self._write:
            with suppress(Unavailable):  # the query itself says whether ClickHouse is there
                await self._write()
        patience = None if self._within is None else self._within + SLACK
        try:
            async with asyncio.timeout(patience):
                return await self._clickhouse.query(sql, parameters, within=self._within)
        except TookTooLong as exc:
            raise TookTooLong(f"reading took longer than {self._within:g} s; ask for less") from exc
        except TimeoutError as exc:
            raise Unavailable(f"clickhouse has not answered within {patience:g} s") from exc
        except QueryFailed as exc:
            self._refused(str(exc))
            raise Unavailable(str(exc)) from exc
