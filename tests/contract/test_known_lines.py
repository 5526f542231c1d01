"""Which lines ``logs.raw`` knows already, on the real engine and the real schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("chdb")

from aiops_cli.ingest.lines import UNSHIFTED
from aiops_cli.ingest.sink import IngestSink
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import LogEntry
from aiops_core.policy.retention import RetentionPolicy
from aiops_lab.memory_bus import MemoryBus
from incident_api.migrate import migrate
from tests.conftest import ROOT

NOW = datetime.now(UTC).replace(microsecond=654_321)


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
