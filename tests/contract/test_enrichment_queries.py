"""Enrichment's queries on the real engine and the real schema."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("chdb")

from clickhouse_driver import Client

from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected
from aiops_core.utils import compute_fingerprint
from enrichment_service.clickhouse_queries import ContextQueries
from tests.clickhouse_server import running

SCHEMA = Path(__file__).parents[2] / "clickhouse"
NOW = datetime.now(UTC).replace(microsecond=654_321)
DAY_AGO = NOW - timedelta(days=1)
LONG_AGO = datetime(2005, 6, 1, tzinfo=UTC)
NOTHING_YET, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(minutes=10)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield port


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[Client]:
    with Client("127.0.0.1", port) as client:
        for file in sorted(SCHEMA.glob("*.sql")):
            lines = [x for x in file.read_text().splitlines() if not x.startswith("--")]
            for statement in re.split(r";\s*(?:\n|$)", "\n".join(lines)):
                if statement.strip():
                    client.execute(statement)
        yield client


@pytest.fixture
async def queries(port: int) -> AsyncIterator[ContextQueries]:
    async with ClickHouse.open(f"clickhouse://default@127.0.0.1:{port}/", threads=1) as store:
        yield ContextQueries(store)


@pytest.fixture
def tables(client: Client) -> Client:
    for name in ("anomalies", "incidents", "incident_members"):
        client.execute(f"TRUNCATE TABLE aiops.{name}")
    return client


def insert(client: Client, table: str, **fields: object) -> None:
    client.execute(
        f"INSERT INTO aiops.{table} ({', '.join(fields)}) VALUES", [tuple(fields.values())]
    )


def anomaly(n: int, detected: datetime, ts: datetime = NOW) -> AnomalyDetected:
    return AnomalyDetected(
        tracking_id=f"t{n}",
        ship_id="s1",
        ts=ts,
        stages={"detect": detected},
        domain="net",
        anomaly_type="link_down",
        service="kernel",
        host="sw-1",
        detector="pattern",
        score=0.8,
        severity="medium",
        msg="eth0 down ✗",
    )


def store(client: Client, found: AnomalyDetected, version: int = 1) -> AnomalyDetected:
    fields = found.model_dump(
        mode="python",
        include={
            "tracking_id",
            "ship_id",
            "ts",
            "domain",
            "anomaly_type",
            "service",
            "score",
            "msg",
        },
    )
    insert(
        client,
        "anomalies",
        anomaly_id=found.anomaly_id,
        device_id=found.device,
        severity=found.severity.value,
        fingerprint=compute_fingerprint(found),
        stages=found.stages,
        version=version,
        **fields,
    )
    return found


async def test_the_newest_anomaly_is_known_by_its_detection(tables, queries):
    assert await queries.newest(DAY_AGO) is None
    for n, detected in enumerate([EARLIER, NOW, DAY_AGO]):
        store(tables, anomaly(n, detected))
    assert await queries.newest(DAY_AGO) == NOW
    assert await queries.newest(NOTHING_YET) is None


async def test_history_counts_each_anomaly_before_the_cutoff_once_per_minute(tables, queries):
    for n in range(3):
        store(tables, anomaly(n, EARLIER))
        store(tables, anomaly(n, EARLIER), version=2)
    store(tables, anomaly(7, EARLIER, ts=NOW - timedelta(minutes=5)))
    store(tables, anomaly(8, NOW))
    minute = int(NOW.timestamp()) // 60
    series = ("s1", "sw-1", "link_down", "kernel")
    assert await queries.history(DAY_AGO, NOW) == [(*series, minute, 3), (*series, minute - 5, 1)]
    assert await queries.history(NOTHING_YET, NOW) == []


async def test_similar_are_the_newest_six_of_each_fingerprint(tables, queries):
    kept = [store(tables, anomaly(n, NOW, ts=NOW - timedelta(hours=n))) for n in range(8)]
    found = await queries.similar(DAY_AGO)
    assert [s.anomaly_id for _, s in found] == [a.anomaly_id for a in kept[:6]]
    fingerprint, newest = found[0]
    assert fingerprint == compute_fingerprint(kept[0])
    assert (newest.ts, newest.severity, newest.msg) == (NOW, "medium", "eth0 down ✗")


async def test_memberships_leave_out_what_was_suppressed(tables, queries):
    shared = {"ship_id": "s1", "ts": NOW, "fingerprint": "f", "stored_at": NOW}
    insert(
        tables, "incident_members", incident_id="i1", anomaly_id="a1", tracking_id="t1", **shared
    )
    insert(tables, "incident_members", incident_id="", anomaly_id="a2", tracking_id="t2", **shared)
    assert await queries.memberships(DAY_AGO) == [("f", "a1", "i1")]
    assert await queries.memberships(NOTHING_YET) == []


async def test_incidents_come_in_their_last_version_oldest_first(tables, queries):
    shared = {
        "ship_id": "s1",
        "severity": "high",
        "affected_devices": ["sw-1"],
        "affected_services": [],
    }
    for id, version, status, last_seen in [
        ("new", 1, "open", NOW),
        ("old", 1, "open", EARLIER),
        ("old", 2, "resolved", EARLIER),
    ]:
        insert(
            tables,
            "incidents",
            id=id,
            title=id,
            status=status,
            version=version,
            last_seen=last_seen,
            updated_at=LONG_AGO,  # of the past that a replay brings
            stored_at=NOW,
            **shared,
        )
    rows = await queries.incidents(DAY_AGO)
    assert [(r.incident.id, r.incident.status) for r in rows] == [
        ("old", "resolved"),
        ("new", "open"),
    ]
    assert (rows[1].ship, list(rows[1].devices), rows[1].incident.last_seen) == (
        "s1",
        ["sw-1"],
        NOW,
    )
    assert await queries.incidents(NOTHING_YET) == []


async def test_a_missing_table_and_a_missing_server_are_told_apart(port, queries):
    async with ClickHouse.open("clickhouse://default@127.0.0.1:1/") as nobody:
        with pytest.raises(Unavailable):
            await ContextQueries(nobody).newest(DAY_AGO)
    async with ClickHouse.open(f"clickhouse://default@127.0.0.1:{port}/") as here:
        with pytest.raises(QueryFailed, match="code 60"):
            await here.query("SELECT 1 FROM system.nothing_of_that_name")
