"""A real VictoriaMetrics, a real broker, the service as a process: a target that is down is told
once."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from aiops_core.models import AnomalyDetected
from anomaly_detection.policy import DetectPolicy
from tests.conftest import free_port, nats_bus
from tests.e2e.test_detection_kills import detection, often  # noqa: F401 - a fixture
from tests.fleet import wait_until
from tests.victoria import needed, running_victoria

pytestmark = [pytest.mark.e2e, needed]


@pytest.fixture
def quick(often):  # noqa: F811
    """Policies that ask every second, and call a target down after two."""
    file = often / DetectPolicy.file
    text = file.read_text()
    for old, new in {
        '(up)", interval: PT15S': '(up)", interval: PT1S',
        "metric: target_up, below: 1, for: PT1M": "metric: target_up, below: 1, for: PT2S",
    }.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return often


async def told(bus):
    stored = [one async for one in bus.history([AnomalyDetected.subject], since=None)]
    return [AnomalyDetected.model_validate_json(one.data) for one in stored]


def dependencies(port):
    return httpx.get(f"http://127.0.0.1:{port}/ready").json()["dependencies"]


async def test_a_target_that_is_down_is_told_once_though_the_service_is_killed(
    own_nats, quick, tmp_path
):
    port = free_port()
    with running_victoria(tmp_path / "victoria") as victoria:
        settings = {"VICTORIAMETRICS_URL": victoria.url, "PROBE_PORT": str(port)}
        now = datetime.now(UTC)
        seconds = [now + timedelta(seconds=n) for n in range(120)]
        victoria.store("up", dict.fromkeys(seconds, 0), job="plc", instance="engine-1:9100")
        async with nats_bus(own_nats.url) as bus:
            for _ in range(2):
                with detection(own_nats.url, quick, **settings):
                    await asyncio.to_thread(
                        wait_until, lambda: dependencies(port).get("victoriametrics") == "up"
                    )
                    await asyncio.sleep(6)
                    assert dependencies(port)["poll target_up"] == "up"
            [anomaly] = await told(bus)
    assert (anomaly.anomaly_type, anomaly.device_id, anomaly.service) == (
        "service_down",
        "engine-1",
        "plc",
    )
