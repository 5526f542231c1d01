"""One tracking id leads from the raw line to the incident, and back."""

import asyncio

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import FAST_PATH
from tests.fleet import wait_until
from tests.v3.conftest import entry, incident_with


async def test_the_trace_of_an_anomalous_line_has_the_four_stages_and_all_its_things(
    sink, api, device
):
    line = entry(device, "EXT4-fs error: unable to read inode", service="kernel")
    await sink.send([line])
    incident = incident_with(api, line.tracking_id)
    trace = api.get(f"/api/v3/trace/{line.tracking_id}").json()
    assert trace["tracking_id"] == line.tracking_id and trace["status"] == "complete"
    assert list(trace["stages"]) == list(FAST_PATH)
    for stage in trace["stages"].values():
        assert stage["ts"] and stage["latency_ms"] >= 0
    total = sum(stage["latency_ms"] for stage in trace["stages"].values())
    assert abs(total - trace["total_latency_ms"]) < 1
    assert trace["log"]["msg"] == line.msg
    assert trace["anomaly"]["tracking_id"] == line.tracking_id
    assert trace["incident"]["id"] == incident["id"]


async def test_a_normal_line_is_found_and_is_not_anomalous(sink, api, device):
    line = entry(device, "all quiet", level="info")
    await sink.send([line])
    url = f"/api/v3/trace/{line.tracking_id}"
    assert api.get(url).json()["log"]["msg"] == "all quiet"
    wait_until(lambda: api.get(url).json()["status"] == "not_anomalous")


def test_an_unknown_id_is_a_problem_document(api):
    answer = api.get("/api/v3/trace/no-such-line")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "no-such-line" in answer.json()["detail"]


async def test_every_line_is_in_the_history_once(fleet, sink, device):
    lines = [entry(device, f"message {n}", level="info") for n in range(300)]
    await sink.send(lines)
    async with ClickHouse.open(fleet.settings.clickhouse_url) as store:
        rows = await store.query(
            "SELECT tracking_id, count() FROM logs.raw WHERE host = %(host)s GROUP BY 1",
            {"host": device},
        )
    assert dict(rows) == {line.tracking_id: 1 for line in lines}


async def test_the_stored_anomaly_carries_the_id_of_its_line(fleet, sink, device):
    line = entry(device, "EXT4-fs error: unable to read inode", service="kernel")
    await sink.send([line])
    async with ClickHouse.open(fleet.settings.clickhouse_url) as store:
        query = "SELECT max(version) FROM aiops.anomalies WHERE tracking_id = %(id)s"

        async with asyncio.timeout(20):
            while await store.query(query, {"id": line.tracking_id}) != [(2,)]:
                await asyncio.sleep(0.1)
