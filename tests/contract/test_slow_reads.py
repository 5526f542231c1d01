"""Requests that read for long, against the real engine: they keep no write waiting, and end at their limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.adapters.clickhouse_errors import TookTooLong
from aiops_core.errors import Unavailable
from incident_api.reads import Reads
from incident_api.wiring import READERS, WRITERS
from tests import clickhouse_server as server

pytestmark = pytest.mark.e2e

SECOND = "SELECT sleepEachRow(0.1) FROM numbers(10) SETTINGS max_block_size = 1"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server.running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/"


async def test_no_insert_waits_behind_six_reads_of_a_second(url):
    async with (
        ClickHouse.open(url, threads=WRITERS) as store,
        ClickHouse.open(url, threads=READERS) as readers,
    ):
        await store.execute("CREATE TABLE n (n UInt32) ENGINE = MergeTree ORDER BY n")
        await store.insert("n", ["n"], [(0,)])
        reading = [asyncio.create_task(Reads(readers, 10).query(SECOND)) for _ in range(6)]
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await asyncio.gather(*(store.insert("n", ["n"], [(n,)]) for n in range(4)))
        assert time.monotonic() - started < 0.5
        assert not any(read.done() for read in reading)
        await asyncio.gather(*reading)


async def test_a_read_ends_at_its_limit_with_one_sentence(url):
    async with ClickHouse.open(url, threads=1) as readers:
        with pytest.raises(TookTooLong, match=r"^reading took longer than 0\.3 s; ask for less$"):
            await Reads(readers, 0.3).query(SECOND)
        assert await Reads(readers, 0.3).query("SELECT 1") == [(1,)]


async def test_a_reader_that_finds_all_threads_busy_does_not_wait_for_ever(url, monkeypatch):
    monkeypatch.setattr("incident_api.reads.SLACK", 0.1)
    async with ClickHouse.open(url, threads=1) as readers:
        long = asyncio.create_task(Reads(readers).query(SECOND))
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable, match="has not answered"):
            await Reads(readers, 0.2).query("SELECT 1")
        await long


async def test_a_refused_query_is_unavailable_and_says_why(url):
    async with ClickHouse.open(url, threads=1) as readers:
        with pytest.raises(Unavailable, match="code 60"):
            await Reads(readers, 1).query("SELECT * FROM nothing_here")
