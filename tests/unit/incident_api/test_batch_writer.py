"""A refused batch: the bad rows are found and named, all others are stored."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.errors import Unavailable
from incident_api.batch_writer import FRUITLESS, write_batch
from incident_api.rows import AnomalyRow, Batch, EventRow, anomaly_row, event_row
from tests.incident_cases import created, detected
from tests.memory_stores import MemoryStore

TYPE_MISMATCH, NEW_CODE, UNKNOWN_TABLE = 53, 9999, 60


class Refusing(MemoryStore):
    """Refuses every batch of which *problem* says a code."""

    def __init__(self, problem: Callable[[Batch], int | None]) -> None:
        super().__init__()
        self.refusal, self.asked = problem, 0

    async def write(self, batch: Batch) -> None:
        self.asked += 1
        if code := self.refusal(batch):
            raise QueryFailed(f"code {code}: no", code)
        await super().write(batch)


def rows(number: int) -> list[AnomalyRow]:
    return [anomaly_row(detected(n)) for n in range(number)]


def events(number: int) -> list[EventRow]:
    return [event_row(f"i{n}", created(f"i{n}", n)) for n in range(number)]


def about(*bad: int, code: int) -> Callable[[Batch], int | None]:
    lines = {f"t{n}" for n in bad}
    return lambda batch: code if any(row.tracking_id in lines for row in batch.rows) else None


async def test_a_batch_that_is_taken_is_written_once():
    store = Refusing(lambda batch: None)
    assert await write_batch(store, Batch(rows(5))) == ()
    assert (store.asked, len(store.anomalies)) == (1, 5)


async def test_an_empty_batch_is_not_written():
    store = Refusing(lambda batch: TYPE_MISMATCH)
    assert await write_batch(store, Batch()) == ()
    assert store.asked == 0


@pytest.mark.parametrize("code", [TYPE_MISMATCH, NEW_CODE])
@pytest.mark.parametrize("bad", [(0,), (99,), (0, 1, 2), (3, 50, 51, 98), tuple(range(0, 100, 7))])
async def test_bad_rows_are_named_and_all_others_stored(code, bad):
    store = Refusing(about(*bad, code=code))
    refused = await write_batch(store, Batch(rows(100)))
    assert sorted(int(one.row.tracking_id[1:]) for one in refused) == list(bad)
    assert all("anomalies" in one.reason for one in refused)
    assert all(str(code) in one.reason for one in refused)
    assert len(store.anomalies) == 100 - len(bad)


async def test_one_bad_row_among_all_that_may_be_out_is_found_with_few_writes():
    store = Refusing(about(0, code=NEW_CODE))
    refused = await write_batch(store, Batch(rows(8192)))
    assert [one.row.tracking_id for one in refused] == ["t0"]
    assert store.asked <= FRUITLESS


async def test_a_table_that_refuses_everything_is_away_and_loses_no_row():
    store = Refusing(lambda batch: UNKNOWN_TABLE)
    with pytest.raises(Unavailable, match="code 60"):
        await write_batch(store, Batch(rows(2000)))
    assert store.asked <= 2 * FRUITLESS


@pytest.mark.parametrize("code", [UNKNOWN_TABLE, NEW_CODE])
async def test_a_single_row_that_is_refused_alone_proves_nothing(code):
    store = Refusing(about(0, code=code))
    with pytest.raises(Unavailable):
        await write_batch(store, Batch(rows(1)))
    later = await write_batch(store, Batch(rows(2)))  # another one comes, and passes
    assert [one.row.tracking_id for one in later] == ["t0"]


async def test_a_single_row_with_a_value_that_its_column_cannot_hold_needs_no_proof():
    refused = await write_batch(Refusing(about(0, code=TYPE_MISMATCH)), Batch(rows(1)))
    assert [one.row.tracking_id for one in refused] == ["t0"]


async def test_that_other_tables_take_their_rows_says_nothing_about_one_that_is_missing():
    store = Refusing(lambda batch: UNKNOWN_TABLE if "anomalies" in batch.tables() else None)
    with pytest.raises(Unavailable):
        await write_batch(store, Batch([*rows(3), *events(3)]))
    assert store.anomalies == {}


async def test_a_refusal_that_has_passed_meanwhile_blames_nobody():
    answers = iter([NEW_CODE, NEW_CODE, NEW_CODE, None, None])
    store = Refusing(lambda batch: next(answers, None))
    assert await write_batch(store, Batch(rows(2))) == []
    assert len(store.anomalies) == 2


async def test_a_store_that_goes_away_during_the_search_is_away():
    def problem(batch: Batch) -> int | None:
        if len(batch.rows) == 1:
            raise Unavailable("clickhouse does not answer")
        return TYPE_MISMATCH

    with pytest.raises(Unavailable, match="does not answer"):
        await write_batch(Refusing(problem), Batch(rows(8)))
