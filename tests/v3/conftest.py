"""One fleet for all tests of the public behaviour; each test uses devices of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from aiops_cli.ingest.sink import IngestSink, open_sink
from aiops_core.models import LogEntry
from aiops_core.runtime.service import utc_now
from tests.fleet import RunningFleet, running_fleet, wait_until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/v3/" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    with running_fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture(scope="session")
def api(fleet: RunningFleet) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fleet.settings.api_url, timeout=10) as client:
        yield client


@pytest.fixture
async def sink(fleet: RunningFleet) -> AsyncIterator[IngestSink]:
    async with open_sink(fleet.settings) as opened:
        yield opened


@pytest.fixture
def device() -> str:
    """A device that no other test uses."""
    return f"dev-{uuid.uuid4().hex[:8]}"


def entry(device: str, msg: str, level: str = "error", service: str = "app") -> LogEntry:
    now = utc_now()
    return LogEntry(
        tracking_id=str(uuid.uuid4()),
        ship_id="testship",
        ts=now,
        stages={"ingest": now},
        host=device,
        service=service,
        level=level,
        msg=msg,
    )


def incidents_of(api: httpx.Client, **filters: str) -> list[dict]:
    answer = api.get("/api/v3/incidents", params=filters)
    answer.raise_for_status()
    return answer.json()["items"]


def incident_with(api: httpx.Client, tracking_id: str, within: float = 20.0) -> dict:
    """The one incident of a line, once it is there."""
    wait_until(lambda: incidents_of(api, tracking_id=tracking_id), within)
    [incident] = incidents_of(api, tracking_id=tracking_id)
    return incident
