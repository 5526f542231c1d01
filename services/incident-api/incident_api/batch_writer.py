"""Batches into the store. A row that can never be stored does not keep the others waiting: it is
found and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.errors import Unavailable
from incident_api.rows import Batch, TableRow
from incident_api.store import IncidentStore

# Refusals without one row that passed, after which no row is to blame. A bad row among 8,192 (the
# most messages in flight) is found with 26.
FRUITLESS = 32


class TakesNothing(Unavailable):
    """The store is there and refuses everything. Other rows may show which of these is to blame."""


class RefusedRow(NamedTuple):
    row: TableRow
    reason: str


async def write_batch(store: IncidentStore, batch: Batch) -> Sequence[RefusedRow]:
    """Store *batch*. Returns the rows of it that can never be stored. Raises Unavailable when
    all should be written again, TakesNothing when that should be together with others."""
    if not batch.rows:
        return ()
    try:
        await store.write(batch)
    except QueryFailed:
        return [
            RefusedRow(row, f"its row in {name} is refused: {reason}")
            for name, table in batch.tables().items()
            for row, reason in await _Search(store).of(table)
        ]
    return ()


class _Search:
    """Finds the bad rows of one table by halves.

    Some codes say that a value is wrong. With any other a row is to blame when it is refused twice
    while others of its table pass. Otherwise the table is to blame (missing, read-only, of another
    shape), and that passes.
    """

    def __init__(self, store: IncidentStore) -> None:
        self._store = store
        self._passed = False
        self._refusals = 0
        self._suspects: list[tuple[Batch, QueryFailed]] = []

    async def of(self, batch: Batch) -> list[tuple[TableRow, str]]:
        """The bad rows of *batch*, and why they are refused."""
        await self._try(batch)
        return [
            (one.rows[0], str(problem))
            for one, problem in self._suspects
            if problem.is_about_rows or await self._is_refused_again(one, problem)
        ]

    async def _try(self, batch: Batch) -> None:
        try:
            await self._store.write(batch)
            self._passed = True
        except QueryFailed as exc:
            self._refusals += 1
            if not (self._passed or exc.is_about_rows) and self._refusals > FRUITLESS:
                raise TakesNothing(str(exc)) from exc
            await self._look_into(batch, exc)

    async def _look_into(self, batch: Batch, problem: QueryFailed) -> None:
        halves = batch.halves()
        if not halves:
            self._suspects.append((batch, problem))
        for half in halves:
            await self._try(half)

    async def _is_refused_again(self, one: Batch, problem: QueryFailed) -> bool:
        if not self._passed:
            raise TakesNothing(str(problem)) from problem
        try:
            await self._store.write(one)
        except QueryFailed:
            return True
        return False
