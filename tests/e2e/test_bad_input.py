"""Nonsense on every ingress subject: a dead letter with a reason each, and everything else
handled."""

import json
import uuid

import httpx
import pytest

from aiops_cli.ingest.sink import open_sink
from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Incident, LogEntry, MetricSample
from aiops_core.runtime.bus import LARGEST, REASON, SUBJECT
from aiops_core.runtime.service import utc_now
from tests.conftest import nats_bus
from tests.fleet import running_fleet, wait_until
from tests.incident_cases import detected
from tests.v3.conftest import entry, incidents_of

pytestmark = pytest.mark.e2e

READERS = {
    LogEntry.subject: ("anomaly-detection",),
    MetricSample.subject: ("anomaly-detection",),
    AnomalyDetected.subject: ("enrichment-service", "incident-api"),
    EnrichedAnomaly.subject: ("correlation-service", "incident-api"),
    Incident.subject: ("llm-enricher", "incident-api"),
}


def nonsense(subject):
    """Bytes that are wrong, with a word that the reason must have."""
    now = utc_now().isoformat()
    base = {"tracking_id": str(uuid.uuid4()), "ship_id": "testship", "ts": now, "host": "h"}
    yield b"{broken", "JSON"
    yield b"\xff\xfe\xfd", "JSON"
    yield json.dumps(base | {"ts": 5, "msg": {"a": 1}, "metric": [], "severity": 7}).encode(), ": "
    yield b'{"msg": "' + b"x" * (LARGEST * 2) + b'"}', "limit"
    yield (
        json.dumps(base | {"schema_version": "4.0"}).encode(),
        "version '4.0' is of another release",
    )


def of_a_later_minor_version():
    """Messages with a field that this release does not know, of which an incident must come."""
    later = {"schema_version": "3.9", "zone": {"deck": 5}}
    line = entry("dev-x", "disk controller failed", service="kernel").model_dump(mode="json")
    yield line | later | {"subject": LogEntry.subject}
    stages = {"detect": utc_now().isoformat()}
    for kind, number in ((AnomalyDetected, 901), (EnrichedAnomaly, 902)):
        found = detected(number, ship_id="testship", ts=utc_now()).model_dump(mode="json")
        yield found | later | {"subject": kind.subject, "stages": stages}


async def letters(bus, service):
    stored = [s async for s in bus.history([f"dead.{service}"], since=None)]
    found = []
    for letter in stored:
        raw = await bus.js.get_msg("OPS", letter.sequence)
        found.append((raw.headers[SUBJECT], raw.headers[REASON]))
    return found


async def test_nonsense_is_buried_with_a_reason_and_good_messages_in_between_are_handled(tmp_path):
    with running_fleet(tmp_path) as fleet:
        pids, good, expected = fleet.about["pids"], [], []
        async with nats_bus(fleet.settings.nats_url) as bus, open_sink(fleet.settings) as sink:
            for subject, services in READERS.items():
                for data, word in nonsense(subject):
                    await bus.js.publish(subject, data)
                    expected += [(service, subject, word) for service in services]
                    line = entry(f"dev-{len(good)}", "disk controller failed", service="kernel")
                    good.append(line.tracking_id)
                    await sink.send([line])
            with httpx.Client(base_url=fleet.settings.api_url) as api:
                wait_until(lambda: all(incidents_of(api, tracking_id=t) for t in good), 30)
                for later in of_a_later_minor_version():
                    await bus.js.publish(later["subject"], json.dumps(later).encode())
                    wait_until(lambda t=later["tracking_id"]: incidents_of(api, tracking_id=t), 30)
            buried = {s: await letters(bus, s) for s in set(sum(READERS.values(), ()))}
        for service, subject, word in expected:
            assert any(s == subject and word in reason for s, reason in buried[service]), (
                service, subject, word, buried[service],
            )  # fmt: skip
        assert sum(map(len, buried.values())) == len(expected)
        assert fleet.about["pids"] == pids
