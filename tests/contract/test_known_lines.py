"""Which lines ``logs.raw`` knows already, on the real engine and the real schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("chdb")

from aiops_cli.ingest.lines import UNSHIFTED
from aiops_cli.ingest.sink import IngestSink
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Unavailable
from aiops_core.models import LogEntry
from aiops_core.policy.retention import RetentionPolicy
from aiops_lab.memory_bus import MemoryBus
from incident_api.migrate import migrate
from tests.conftest import ROOT

NOW = datetime.now(UTC).replace(microsecond=654_321)
LATER = NOW + timedelta(seconds=9)


@pytest.fixture
async def store(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    async with ClickHouse.open(clickhouse_url, threads=2) as store:
        days = RetentionPolicy.load(ROOT / "policies").tables_days
        await migrate(store, ROOT / "clickhouse", days)
        await store.execute("TRUNCATE TABLE logs.raw")
        yield store


def entry(n: int, *, timed: bool = True) -> LogEntry:
    ts = NOW - timedelta(days=200, seconds=n) if timed else NOW
    stages = {"ingest": NOW}
    return LogEntry(tracking_id=f"id-{n}", ship_id="s", ts=ts, stages=stages, host="h", msg="m")


class Returning:
    """A store that does not answer the first question."""

    def __init__(self, store: ClickHouse) -> None:
        self._store, self.insert, self.away = store, store.insert, True

    async def query(self, sql, parameters=None):
        if self.away:
            self.away = False
            raise Unavailable("clickhouse: away")
        return await self._store.query(sql, parameters)


@pytest.mark.parametrize("timed", [True, False])
async def test_what_was_sent_again_while_the_store_was_away_is_stored_once(
    store: ClickHouse, timed: bool
):
    """Of a replay that was killed together with the store, and repeated at once."""
    await store.execute("SYSTEM STOP MERGES logs.raw")
    entries = [entry(n, timed=timed) for n in range(20)]
    async with IngestSink.open(MemoryBus(), store, linger=0) as sink:
        await sink.send(entries[:12])
    again = [one.but(stages={"ingest": LATER}) for one in entries]
    again = again if timed else [one.but(ts=LATER) for one in again]
    async with IngestSink.open(MemoryBus(), Returning(store), linger=0) as sink:
        for part in (again[:10], again[10:]):  # the second within the time in which it is not asked
            assert not await sink.known(part)
            await sink.send(part)
    await store.execute("SYSTEM START MERGES logs.raw")
    rows = await store.query("SELECT tracking_id FROM logs.raw")
    assert sorted(id_ for (id_,) in rows) == sorted(one.tracking_id for one in entries)


@pytest.mark.parametrize("timed", [True, False])
async def test_what_was_stored_is_known_and_nothing_else(store: ClickHouse, timed: bool):
    entries = [entry(n, timed=timed) for n in range(20)]
    async with IngestSink.open(MemoryBus(), store, linger=0) as sink:
        await sink.send(entries[::2])
        known = await sink.known(entries)
        other_ship = [one.but(ship_id="another") for one in entries] if timed else []
        assert await sink.known(other_ship) in ((), set())
    assert known == {one.tracking_id for one in entries[::2]}


async def test_a_shifted_line_is_known_at_whatever_time_it_is_sent_again(store: ClickHouse):
    def shifted(n: int, by: timedelta) -> LogEntry:
        return entry(n).but(ts=entry(n).ts + by, labels={UNSHIFTED: entry(n).ts.isoformat()})

    async with IngestSink.open(MemoryBus(), store, linger=0) as sink:
        await sink.send([shifted(n, timedelta(days=199)) for n in range(10)])
        known = await sink.known([shifted(n, timedelta(days=200)) for n in range(20)])
    assert known == {f"id-{n}" for n in range(10)}
