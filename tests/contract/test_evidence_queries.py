"""The lines around an incident, from the real engine and the real schema."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("chdb")

from clickhouse_driver import Client

from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.errors import Unavailable
from llm_enricher.evidence.gatherer import ContextGatherer
from llm_enricher.evidence.lines import StoredLine
from llm_enricher.evidence.queries import EACH_KEPT, LineQueries
from llm_enricher.policy import LlmPolicy
from llm_enricher.rules.samples import Sample, question_of
from tests.clickhouse_server import running

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC).replace(microsecond=654_321)
POLICY = LlmPolicy.load(ROOT / "policies").evidence


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield port


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[Client]:
    with Client("127.0.0.1", port) as client:
        client.execute("CREATE DATABASE IF NOT EXISTS logs")
        statements = (ROOT / "clickhouse" / "0001_init.sql").read_text()
        raw = re.search(r"CREATE TABLE IF NOT EXISTS logs\.raw.*?;\n", statements, re.DOTALL)
        assert raw
        client.execute(raw[0].rstrip(";\n"))
        yield client


@pytest.fixture
def table(client: Client) -> Client:
    client.execute("TRUNCATE TABLE logs.raw")
    return client


@pytest.fixture
async def store(port: int) -> AsyncIterator[ClickHouse]:
    async with ClickHouse.open(f"clickhouse://default@127.0.0.1:{port}/", threads=1) as store:
        yield store


def insert(client: Client, *lines: tuple[str, timedelta, str, str], ship: str = "s1") -> None:
    """Lines as tracking id, how long before now, device, message."""
    client.execute(
        "INSERT INTO logs.raw (tracking_id, ship_id, ts, ingestion_timestamp, host, device_id,"
        " service, level, msg) VALUES",
        [
            (id_, ship, NOW - ago, NOW, host, "", "syslog", "info", msg)
            for id_, ago, host, msg in lines
        ],
    )


async def around(store: ClickHouse, **changed: object) -> list[StoredLine]:
    asked = {
        "ship": "s1",
        "devices": ["sw-1"],
        "objects": ["Gi1/0/7"],
        "signals": ["packet loss"],
        "members": ["member"],
        "since": NOW - timedelta(hours=1),
        "near": NOW - timedelta(minutes=10),
        "until": NOW,
        "most": 100,
        "within": 5.0,
    }
    return await LineQueries(store).around(**(asked | changed))  # type: ignore[arg-type]


MINUTE = timedelta(minutes=1)


async def test_lines_of_the_device_of_the_object_and_signals_are_found(table, store):
    insert(
        table,
        ("of-device", MINUTE, "sw-1", "fan speed 40"),
        ("of-object", 9 * MINUTE, "core-1", "vlan 7 removed from gi1/0/7"),
        ("signal", 9 * MINUTE, "probe-1", "Packet loss 0 %"),
        ("signal-before", 30 * MINUTE, "sw-1", "packet loss 1 %"),
        ("long-before", 30 * MINUTE, "sw-1", "fan speed 40"),
        ("too-old", 61 * MINUTE, "sw-1", "packet loss 3 %"),
        ("of-others", MINUTE, "pc-9", "hello"),
        ("member", MINUTE, "sw-1", "Gi1/0/7 down"),
    )
    insert(table, ("of-another-ship", MINUTE, "sw-1", "Gi1/0/7"), ship="s2")
    found = await around(store)
    assert {line.tracking_id for line in found} == {
        "of-device",
        "of-object",
        "signal",
        "signal-before",
    }
    [first] = [line for line in found if line.tracking_id == "of-device"]
    assert (first.ts, first.device, first.text) == (NOW - MINUTE, "sw-1", "fan speed 40")


async def test_a_line_that_was_stored_twice_is_found_once(table, store):
    line = ("twice", MINUTE, "sw-1", "fan speed 40")
    insert(table, line)
    insert(table, line)
    assert len(await around(store)) == 1


async def test_a_loud_device_leaves_room_for_others(table, store):
    loud = [(f"l{n}", timedelta(seconds=n), "sw-1", f"noise {n}") for n in range(EACH_KEPT * 3)]
    insert(table, *loud, ("quiet", 9 * MINUTE, "core-1", "Gi1/0/7 disabled"))
    found = await around(store)
    assert len(found) == EACH_KEPT + 1
    assert "quiet" in {line.tracking_id for line in found}


async def test_names_that_look_like_patterns_or_quotes_are_only_names(table, store):
    insert(table, ("odd", MINUTE, "pc-9", "object a'%_\\b seen"), ("other", MINUTE, "pc-9", "abc"))
    found = await around(store, devices=[], signals=[], objects=["a'%_\\b"], members=[])
    assert [line.tracking_id for line in found] == ["odd"]


async def test_nothing_asked_for_finds_nothing(table, store):
    insert(table, ("one", MINUTE, "pc-9", "abc"))
    assert await around(store, devices=[], signals=[], objects=[], members=[]) == []


async def test_a_missing_table_and_a_missing_server_are_told_apart(table, store, port):
    table.execute("RENAME TABLE logs.raw TO logs.kept")
    try:
        with pytest.raises(QueryFailed):
            await around(store)
    finally:
        table.execute("RENAME TABLE logs.kept TO logs.raw")
    async with ClickHouse.open("clickhouse://default@127.0.0.1:9/", threads=1) as nobody:
        with pytest.raises(Unavailable):
            await around(nobody)


async def test_a_day_of_lines_is_searched_within_the_budget(table, store):
    table.execute(
        "INSERT INTO logs.raw (tracking_id, ship_id, ts, ingestion_timestamp, host, service, level,"
        " msg) SELECT toString(number), 's1', now64(6) - number, now64(6), concat('h', "
        "toString(number % 200)), 'syslog', 'info', concat('message number ', toString(number), "
        "' of an ordinary program on board') FROM numbers(1000000)"
    )
    asked = question_of(Sample(members=("h7 link link_down: Interface Gi1/0/7 down",))).incident
    now = datetime.now(UTC)
    incident = asked.model_copy(update={"ship_id": "s1", "first_seen": now, "last_seen": now})
    gatherer = ContextGatherer(LineQueries(store), POLICY)
    await gatherer.gathered(incident, budget=5)  # connects
    took = []
    for _ in range(3):
        started = time.perf_counter()
        told = await gatherer.gathered(incident, budget=5)
        took.append(time.perf_counter() - started)
    assert told.missing == ()
    assert told.facts
    assert min(took) < POLICY.budget.total_seconds() * 3  # this machine is shared with others
