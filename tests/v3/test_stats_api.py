"""``/api/v3/stats``: what the Ops Console counts."""

import pytest

from tests.fleet import wait_until
from tests.v3.conftest import entry, incident_with

PATH_KEYS = {"processed", "errors", "latency_ms", "slo_ms", "compliance"}


async def test_the_counts_follow_the_incidents(sink, api, device):
    before = api.get("/api/v3/stats").json()["total"]
    lines = [entry(f"{device}-{n}", "EXT4-fs error", service="kernel") for n in range(3)]
    await sink.send(lines)
    for line in lines:
        incident_with(api, line.tracking_id)
    stats = api.get("/api/v3/stats", params={"time_range": "1h"}).json()
    assert stats["total"] == before + 3
    for grouped in ("by_severity", "by_status", "by_category"):
        assert sum(stats[grouped].values()) == stats["total"]


async def test_both_paths_say_what_they_did_and_how_fast(sink, api, device):
    line = entry(device, "EXT4-fs error", service="kernel")
    await sink.send([line])
    incident_with(api, line.tracking_id)
    wait_until(lambda: api.get("/api/v3/stats").json()["insight_path"]["processed"])
    stats = api.get("/api/v3/stats", params={"time_range": "15m"}).json()
    for path in ("fast_path", "insight_path"):
        assert stats[path].keys() >= PATH_KEYS
        assert stats[path]["processed"] > 0
        latency = stats[path]["latency_ms"]
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
        assert 0 <= stats[path]["compliance"] <= 1
        assert stats[f"{path}_latency_p99"] == latency["p99"]
    assert stats["fast_path"]["slo_ms"] == 100 and stats["insight_path"]["slo_ms"] == 5000


async def test_duplicates_are_counted(sink, api, device):
    lines = [entry(device, f"EXT4-fs error (device sda{n})", service="kernel") for n in range(4)]
    await sink.send(lines)
    for line in lines:
        incident_with(api, line.tracking_id)
    answer = api.get("/api/v3/stats/duplicates")
    assert answer.status_code == 200 and answer.json()["duplicates"] >= 3


@pytest.mark.parametrize("path", ["severity", "type", "duplicates", "suppressions"])
def test_every_breakdown_answers(api, path):
    assert api.get(f"/api/v3/stats/{path}", params={"time_range": "24h"}).status_code == 200


def test_a_nonsense_time_range_is_a_problem(api):
    answer = api.get("/api/v3/stats", params={"time_range": "soon"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
