"""Fast path: from a log line at the door to its incident in the store and at the API."""

import asyncio
from datetime import timedelta

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import MetricSample
from aiops_core.runtime.service import utc_now
from aiops_lab.bench import ledger
from tests.v3.conftest import entry, incident_with, incidents_of

DISK = "blk_update_request: I/O error, dev sda, sector {}"


async def test_an_anomalous_line_becomes_an_incident_that_explains_itself(sink, api, device):
    line = entry(device, DISK.format(1), service="kernel")
    await sink.send([line])
    incident = incident_with(api, line.tracking_id)
    assert incident["affected_devices"] == [device]
    assert incident["status"] == "open" and device in incident["title"]
    whole = api.get(f"/api/v3/incidents/{incident['id']}").json()
    [evidence] = whole["evidence"]
    assert evidence["tracking_id"] == line.tracking_id
    assert evidence["reason"] and whole["root_cause"]["device"] == device
    assert list(evidence["stages"]) == ["ingest", "detect", "enrich", "correlate", "store"]
    times = [evidence["stages"][s] for s in evidence["stages"]]
    assert times == sorted(times)


async def test_normal_lines_make_no_incident(sink, api, device):
    lines = [entry(device, f"session {n} opened", level="info") for n in range(20)]
    wrong = entry(device, DISK.format(1), service="kernel")
    await sink.send([*lines, wrong])
    incident_with(api, wrong.tracking_id)
    assert not any(incidents_of(api, tracking_id=line.tracking_id) for line in lines)


async def test_repetitions_are_counted_in_one_incident(sink, api, device):
    lines = [entry(device, DISK.format(n), service="kernel") for n in range(25)]
    await sink.send(lines)
    found = {incident_with(api, line.tracking_id)["id"] for line in lines}
    assert len(found) == 1
    whole = api.get(f"/api/v3/incidents/{found.pop()}").json()
    assert whole["anomaly_count"] == 25
    assert set(whole["tracking_ids"]) == {line.tracking_id for line in lines}
    assert [e["role"] for e in whole["evidence"]].count("member") == 1


async def test_two_devices_are_two_incidents(sink, api, device):
    lines = [entry(f"{device}-{n}", DISK.format(n), service="kernel") for n in range(2)]
    await sink.send(lines)
    assert len({incident_with(api, line.tracking_id)["id"] for line in lines}) == 2


async def test_a_metric_beyond_its_limit_for_long_enough_becomes_an_incident(sink, api, device):
    now = utc_now()
    samples = [
        MetricSample(
            tracking_id=f"{device}-{n}",
            ship_id="testship",
            ts=now + timedelta(seconds=n - 60),
            host=device,
            service="system",
            metric="disk_used_percent",
            value=99.0,
        )
        for n in range(0, 60, 5)
    ]
    await sink.send(samples)
    async with asyncio.timeout(20):
        while not (found := incidents_of(api, device_id=device)):
            await asyncio.sleep(0.1)
    assert "disk" in (found[0]["title"] + found[0]["description"]).lower()


async def test_latency_is_measured_from_ingest_to_store(fleet, sink, api, device):
    began = utc_now()
    lines = [entry(f"{device}-{n}", DISK.format(n), service="kernel") for n in range(10)]
    await sink.send(lines)
    for line in lines:
        incident_with(api, line.tracking_id)
    async with ClickHouse.open(fleet.settings.clickhouse_url) as store:
        ids = [line.tracking_id for line in lines]
        await ledger.settled(store, "testship", began, ids, within=10)  # shown first, then written
        rows = await ledger.stage_times(store, "testship", began)
    assert len(rows) >= 10
    assert all(list(row) == sorted(row) for row in rows)
