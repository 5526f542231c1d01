"""The ClickHouse adapter against the real engine."""

import asyncio
import time

import pytest

from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.adapters.clickhouse_errors import TookTooLong
from aiops_core.errors import Unavailable
from tests import clickhouse_server as server
from tests.conftest import free_port

pytestmark = pytest.mark.e2e

TABLE = (
    "CREATE TABLE numbers (n UInt32) ENGINE = MergeTree ORDER BY n "
    "SETTINGS non_replicated_deduplication_window = 100"
)

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1 SETTINGS max_threads = 1"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with server.running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/"


async def test_rows_in_and_out_with_bound_parameters_and_deduplication(url):
    states = []
    async with ClickHouse.open(url, on_state=states.append) as store:
        await store.execute(TABLE)
        await store.insert("numbers", ["n"], [(1,), (2,)], token="a")
        await store.insert("numbers", ["n"], [(1,), (2,)], token="a")
        await store.insert("numbers", ["n"], [])
        rows = await store.query("SELECT n FROM numbers WHERE n > %(n)s", {"n": 1})
        assert rows == [(2,)]
        assert await store.query("SELECT %(text)s", {"text": "it's; --"}) == [("it's; --",)]
    assert set(states) == {None}


async def test_a_refused_query_says_the_code_and_the_reason(url):
    async with ClickHouse.open(url) as store:
        with pytest.raises(QueryFailed, match=r"code 60: .*nothing_here") as refusal:
            await store.query("SELECT * FROM nothing_here")
        assert refusal.value.code == 60
        await store.query("SELECT 1")


async def test_many_at_once_share_a_bounded_pool(url):
    async with ClickHouse.open(url, threads=2) as store:
        answers = await asyncio.gather(*(store.query(f"SELECT {n}") for n in range(20)))
    assert answers == [[(n,)] for n in range(20)]


async def test_a_server_that_is_away_is_unavailable_and_used_again_when_back(tmp_path):
    port, states = free_port(), []
    url = f"clickhouse://default@127.0.0.1:{port}/"
    async with ClickHouse.open(url, on_state=states.append) as store:
        with pytest.raises(Unavailable, match="clickhouse does not answer"):
            await store.query("SELECT 1")
        child = server.start(tmp_path / "data", port)
        try:
            await store.query("SELECT 1")
            child.kill()
            with pytest.raises(Unavailable):
                await store.query("SELECT 1")
            child = server.start(tmp_path / "data", port)
            await store.query("SELECT 1")
        finally:
            child.stop()
    assert [bool(problem) for problem in states] == [True, False, True, False]


async def test_rows_that_a_restart_of_the_server_cuts_off_are_unavailable_not_lost(tmp_path):
    port = free_port()
    async with ClickHouse.open(f"clickhouse://default@127.0.0.1:{port}/", threads=1) as store:
        child = server.start(tmp_path / "data", port)
        try:
            await store.execute("CREATE TABLE kept (n UInt32) ENGINE = MergeTree ORDER BY n")
            await store.insert("kept", ["n"], [(1,)])
            child.kill()
            with pytest.raises(Unavailable):
                await store.insert("kept", ["n"], [(2,)])
            child = server.start(tmp_path / "data", port)
            await store.insert("kept", ["n"], [(2,)])
            assert await store.query("SELECT n FROM kept ORDER BY n") == [(1,), (2,)]
        finally:
            child.stop()


async def test_closing_does_not_wait_for_a_query_that_hangs(url):
    async with ClickHouse.open(url) as store:
        hanging = asyncio.create_task(store.query(ENDLESS))
        await asyncio.sleep(0.5)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    with pytest.raises((Unavailable, asyncio.CancelledError)):
        await hanging


async def test_rows_that_the_driver_or_the_server_refuses_are_told_apart_from_a_store_that_is_away(
    url,
):
    states = []
    async with ClickHouse.open(url, threads=1, on_state=states.append) as store:
        await store.execute(
            "CREATE TABLE strict (n UInt32, s String, m Map(String, DateTime64(6, 'UTC')),"
            " CONSTRAINT good CHECK s != 'bad') ENGINE = MergeTree ORDER BY n"
        )
        for bad in ((1 << 40, "a", {}), (1, None, {}), (1, "\ud800", {}), (1, "a", {"x": 1 << 70})):
            with pytest.raises(QueryFailed) as refusal:
                await store.insert("strict", ["n", "s", "m"], [(1, "a", {}), bad])
            assert refusal.value.is_about_rows
        with pytest.raises(QueryFailed, match="code 469") as refusal:
            await store.insert("strict", ["n", "s", "m"], [(2, "bad", {}), (3, "a", {})])
        assert refusal.value.is_about_rows
        await store.insert("strict", ["n", "s", "m"], [(4, "a", {})])
        assert await store.query("SELECT n FROM strict") == [(4,)]  # nothing of a refused block
    assert set(states) == {None}


async def test_a_query_is_stopped_at_its_limit_and_the_server_counts_as_there(url):
    states = []
    async with ClickHouse.open(url, threads=1, on_state=states.append) as store:
        started = time.monotonic()
        with pytest.raises(TookTooLong):
            await store.query(ENDLESS, within=0.5)
        assert time.monotonic() - started < 5
        assert await store.query("SELECT 1", within=5) == [(1,)]
    assert set(states) == {None}
