"""Rows live by when they were stored, not by when they happened: on the real engine."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("chdb")

from aiops_cli.ingest.sink import IngestSink
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import LogEntry, ProblemEdited, Recurrence
from aiops_core.policy.retention import RetentionPolicy, Tables
from aiops_lab.memory_bus import MemoryBus
from incident_api.lasting import NEWEST_KEPT, store_again
from incident_api.migrate import migrate, read, retention
from incident_api.rows import Batch, anomaly_row
from tests.api_parts import empty_tables, platform_on, recovered
from tests.clickhouse_server import running
from tests.conftest import ROOT
from tests.incident_cases import (
    cleared,
    created,
    detected,
    enriched,
    evidence,
    receive,
    updated,
)

NOW = datetime.now(UTC)
LONG_AGO = datetime(2005, 6, 3, 4, tzinfo=UTC)
YEARS = 7_000  # days: with a partition for each, one insert would be refused (100 are allowed)
KEPT = ("aiops.anomalies", "aiops.incident_members", "aiops.incident_events", "aiops.incidents")


def days() -> Tables:
    return RetentionPolicy.load(ROOT / "policies").tables_days


def lines(number: int, arrived: datetime = NOW) -> list[LogEntry]:
    """One a day since long ago, which all *arrived* then by the clock of their sender."""
    fields = {"ship_id": "s", "host": "h", "msg": "m", "stages": {"ingest": arrived}}
    ts = [LONG_AGO + timedelta(days=n) for n in range(number)]
    return [LogEntry(tracking_id=f"t{n}", ts=at, **fields) for n, at in enumerate(ts)]


async def merged(clickhouse: ClickHouse, *tables: str) -> list[int]:
    """The rows of *tables* after ClickHouse has dropped what is over, and what was replaced."""
    counts = []
    for table in tables:
        await clickhouse.execute(f"OPTIMIZE TABLE {table} FINAL")
        counts += (await clickhouse.query(f"SELECT count() FROM {table}"))[0]  # noqa: S608
    return counts


@pytest.fixture
async def tables(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    async with empty_tables(clickhouse_url) as clickhouse:
        await clickhouse.execute("TRUNCATE TABLE logs.raw")
        yield clickhouse


async def test_twenty_years_of_lines_are_one_insert_and_stay(tables: ClickHouse):
    async with IngestSink.open(MemoryBus(), tables, linger=0) as sink:
        await sink.send(lines(YEARS))
    anomalies = [
        anomaly_row(enriched(n, ts=line.ts)) for n, line in enumerate(lines(YEARS, LONG_AGO))
    ]
    await platform_on(tables).components.store.write(Batch(anomalies))
    assert await merged(tables, "logs.raw", "aiops.anomalies") == [YEARS, YEARS]


@pytest.mark.parametrize("clock", [timedelta(days=-8000), timedelta(days=-40), timedelta(days=90)])
async def test_a_wrong_clock_of_the_sender_shortens_no_life(tables: ClickHouse, clock: timedelta):
    async with IngestSink.open(MemoryBus(), tables, linger=0) as sink:
        await sink.send(lines(3, NOW + clock))
    assert await merged(tables, "logs.raw") == [3]


async def test_incidents_of_long_ago_are_listed_after_a_restart_and_all_merges(tables: ClickHouse):
    first = {"ts": LONG_AGO, "first_seen": LONG_AGO, "last_seen": LONG_AGO}
    opened = created(evidence=(evidence(ts=LONG_AGO),), **first)
    grown = updated(2, 1, ts=LONG_AGO + timedelta(minutes=1))
    grown = grown.but(members=(evidence(1, ts=LONG_AGO + timedelta(minutes=1)),))
    await platform_on(tables).after(enriched(ts=LONG_AGO), enriched(1), opened, grown)
    assert await merged(tables, *KEPT) == [2, 2, 2, 1]
    restarted = await recovered(platform_on(tables))
    async with restarted.client() as api:
        (listed,) = (await api.get("/api/v3/incidents")).json()["items"]
        shown = (await api.get("/api/v3/incidents/i1")).json()
        counted = (await api.get("/api/v3/stats?time_range=1h")).json()
    assert (listed["first_seen"], listed["last_seen"]) == (
        "2005-06-03T04:00:00Z",
        "2005-06-03T04:01:00Z",
    )
    assert {entry["ts"][:10] for entry in shown["timeline"]} == {"2005-06-03"}
    assert len(shown["tracking_ids"]) == counted["fast_path"]["processed"] == 2


async def test_a_row_that_is_replaced_in_another_month_counts_once_and_by_its_newest(tables):
    """Merges join rows of one partition only, and partitions are months of storing."""
    rows = [anomaly_row(detected(ts=LONG_AGO)), anomaly_row(enriched(ts=LONG_AGO))]
    months = [NOW - timedelta(days=20), NOW + timedelta(days=20)]  # never one
    columns = (*rows[0]._fields, "stored_at")
    for row, stored_at in zip(rows, months, strict=True):
        await tables.insert("aiops.anomalies", columns, [(*row, stored_at)])
    assert await merged(tables, "aiops.anomalies") == [2]
    made = platform_on(tables).components
    assert await made.stats.anomalies(NOW - timedelta(days=30), "severity") == {"high": 1}
    (anomaly,) = (await made.traces.traced("t0")).anomalies
    assert anomaly.version == 2


# ---------------------------------------------------------------------------------------- upgrade


@pytest.fixture
async def former(tmp_path: Path) -> AsyncIterator[ClickHouse]:
    """The schema of before, whose lines lived by the arrival that senders state, with such rows."""
    with running(tmp_path / "clickhouse") as port:
        async with ClickHouse.open(f"clickhouse://default@127.0.0.1:{port}/") as clickhouse:
            for statement in read(ROOT / "clickhouse")[0].statements:
                await clickhouse.execute(statement)
            columns = ("tracking_id", "ts", "ingestion_timestamp", "msg")
            for age in (0, 6, 13):
                at = NOW - timedelta(days=age)
                rows = [(f"{age}-{n}", LONG_AGO, at, "m") for n in range(10)]
                await clickhouse.insert("logs.raw", columns, rows)
            yield clickhouse


@pytest.mark.parametrize("killed_after", [0, 1, 2])
async def test_an_upgrade_keeps_every_line_wherever_it_breaks_off(
    former: ClickHouse, tmp_path: Path, killed_after: int
):
    """After the statement, before its record; and after the record, before the TTL is set."""
    second = read(ROOT / "clickhouse")[1]
    if killed_after:
        for statement in second.statements:
            await former.execute(statement)
    if killed_after == 2:
        await migrate(former, ROOT / "clickhouse", days())
        await former.execute(
            "ALTER TABLE logs.raw MODIFY TTL toDateTime(ingestion_timestamp) + INTERVAL 14 DAY"
        )
    for _ in range(2):
        await migrate(former, ROOT / "clickhouse", days())
    assert await merged(former, "logs.raw") == [30]
    ((when,),) = await former.query("SELECT dateDiff('hour', min(stored_at), now()) FROM logs.raw")
    assert when == 0
    assert {await ttl(former, table) for table, _ in retention(days())} == {"stored_at"}


async def ttl(clickhouse: ClickHouse, table: str) -> str:
    """The column by which rows of *table* expire."""
    name = table.split(".")[1]
    rows = await clickhouse.query(
        "SELECT extract(engine_full, 'TTL toDateTime\\\\((\\\\w+)\\\\)') FROM system.tables"
        " WHERE database IN ('logs', 'aiops') AND name = %(name)s",
        {"name": name},
    )
    return str(rows[0][0])


async def test_the_former_release_goes_on_with_the_new_schema(former: ClickHouse, tmp_path: Path):
    """It writes its columns, and sets the TTL as it knows it; the later one sets it back."""
    await migrate(former, ROOT / "clickhouse", days())
    await former.execute(
        "ALTER TABLE logs.raw MODIFY TTL toDateTime(ingestion_timestamp) + INTERVAL 20 DAY"
    )
    columns = ("tracking_id", "ts", "ingestion_timestamp", "msg")
    await former.insert("logs.raw", columns, [("later", LONG_AGO, NOW, "m")])
    await migrate(former, shutil.copytree(ROOT / "clickhouse", tmp_path / "again"), days())
    assert await merged(former, "logs.raw") == [31]
    assert await ttl(former, "logs.raw") == "stored_at"


# -- open incidents outlive the retention ----------------------------------------------------------

AGED = datetime.now(UTC) - timedelta(days=300)


async def aged(clickhouse: ClickHouse, *ids: str) -> None:
    """The incidents *ids* were stored 300 days ago, and nobody has touched them since."""
    named = ", ".join(f"'{one}'" for one in ids)
    await aged_where(clickhouse, "incidents", f"id IN ({named})")
    await aged_where(clickhouse, "problem_occurrences", f"incident_id IN ({named})")


async def aged_where(clickhouse: ClickHouse, table: str, which: str = "1") -> None:
    await clickhouse.execute(
        f"INSERT INTO aiops.{table} SELECT * REPLACE"  # noqa: S608
        f" (toDateTime64('{AGED:%Y-%m-%d %H:%M:%S}', 6, 'UTC') AS stored_at)"
        f" FROM aiops.{table} FINAL WHERE {which}"
    )
    await clickhouse.execute(f"OPTIMIZE TABLE aiops.{table} FINAL")


async def expire_in(clickhouse: ClickHouse, table: str, days: int) -> None:
    """As if the time that is left had passed: the rows of 300 days ago are over now."""
    await clickhouse.execute(
        f"ALTER TABLE {table} MODIFY TTL toDateTime(stored_at) + INTERVAL {days} DAY"
    )
    await clickhouse.execute(f"OPTIMIZE TABLE {table} FINAL")


async def test_an_open_incident_that_nobody_touches_for_a_year_stays(tables: ClickHouse):
    made = platform_on(tables)
    await receive(made.recorder, made.components.store, created("lasts"), created("over"))
    await receive(made.recorder, made.components.store, cleared(2, "over"))
    await aged(tables, "lasts", "over")
    await store_again(tables, 365)
    await expire_in(tables, "aiops.incidents", 299)
    rows = await tables.query("SELECT id, status FROM aiops.incidents")
    assert rows == [("lasts", "open")]


async def test_of_an_open_incident_the_newest_occurrences_are_stored_again(tables: ClickHouse):
    """Not every one of years; the one that goes on is among them, whenever it began."""
    made = platform_on(tables)
    await receive(made.recorder, made.components.store, created("lasts"))
    await tables.execute(
        "INSERT INTO aiops.problem_occurrences"  # noqa: S608
        " (problem_id, incident_id, occurrence, began, ended)"
        " SELECT 'p', 'lasts', number, now() - INTERVAL 9000 - number MINUTE,"
        f" if(number = 1, NULL, now()) FROM numbers(1, {NEWEST_KEPT * 3})"
    )
    await aged(tables, "lasts")
    await store_again(tables, 365)
    await expire_in(tables, "aiops.problem_occurrences", 299)
    rows = await tables.query("SELECT occurrence FROM aiops.problem_occurrences ORDER BY began")
    newest = range(NEWEST_KEPT * 2 + 2, NEWEST_KEPT * 3 + 1)
    assert [row[0] for row in rows] == [1, *newest]


async def test_what_persons_said_stays_as_long_as_it_matters(tables: ClickHouse):
    made = platform_on(tables)
    await receive(made.recorder, made.components.store, created("lasts", **said("a")))
    edits = [edit("a", "b"), edit("b", "c"), edit("gone", "c"), edit("a", "s", "lasts")]
    await receive(made.recorder, made.components.store, *edits)
    await aged_where(tables, "problem_edits")
    await store_again(tables, 365)
    await expire_in(tables, "aiops.problem_edits", 299)
    kept = [(one.problem_id, one.into) for one in await made.components.store.edits()]
    assert kept == [("a", "b"), ("a", "s"), ("b", "c")]


def said(problem_id: str) -> dict[str, Recurrence]:
    return {"recurrence": Recurrence(problem_id=problem_id, occurrence=1, kind="k")}


def edit(problem_id: str, into: str, incident_id: str = "") -> ProblemEdited:
    return ProblemEdited(
        tracking_id="x",
        ship_id="ship-1",
        ts=NOW,
        problem_id=problem_id,
        change=2 if incident_id else 1,
        kind="split" if incident_id else "merge",
        into=into,
        incident_id=incident_id or None,
    )


async def test_what_is_stored_again_hides_no_later_change(tables: ClickHouse):
    """The row that is stored again has the version that it had."""
    made = platform_on(tables)
    await receive(made.recorder, made.components.store, created("i1"))
    await aged(tables, "i1")
    await store_again(tables, 365)
    await receive(made.recorder, made.components.store, cleared(2, "i1"))
    await store_again(tables, 365)
    rows = await tables.query("SELECT status FROM aiops.incidents FINAL")
    assert rows == [("resolved",)]


async def test_what_is_young_is_not_stored_again(tables: ClickHouse):
    made = platform_on(tables)
    await receive(made.recorder, made.components.store, created("young"))
    await store_again(tables, 365)
    assert await tables.query("SELECT count() FROM aiops.incidents") == [(1,)]
