"""A ship that is updated goes on with its incidents: correlation-service on a broker of the former layout."""

import asyncio
from datetime import timedelta

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from aiops_core.models import AnomalyCleared, EnrichedAnomaly, Incident, IncidentTransitioned
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.launch import Context
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import utc_now
from aiops_lab.bench import ledger
from correlation_service.__main__ import recipe
from correlation_service.correlator import Correlator
from correlation_service.facts import SERVICE
from correlation_service.policy import CorrelatePolicy
from tests.conftest import ROOT, nats_bus
from tests.correlation_cases import anomaly

pytestmark = pytest.mark.e2e

TOLD, SETTLED, ALL = 50, 45, 60  # anomalies
DEVICES = ("srv-1", "srv-2", "ap-1", "modem-1", "cam-7", "nobody-knows")
KINDS = ("service_error", "disk_full", "link_down")


def anomalies():
    now = utc_now() - timedelta(minutes=1)
    return [
        anomaly(n, DEVICES[n % 6], KINDS[n // 6 % 3], upstream=(), ts=now + timedelta(seconds=n))
        for n in range(ALL)
    ]


async def fill(url, arrived, correlator):
    """PIPELINE of a correlation-service that was killed: it told of some anomalies that are not settled."""
    client = await nats.connect(url)
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="PIPELINE", subjects=["anomaly.>", "incidents.>"]))
    for n, one in enumerate(arrived):
        facts = correlator.handle(one) if n < TOLD else []
        for message in (one, *facts):
            await js.publish(message.subject, message.model_dump_json().encode())
    subjects = [kind.subject for kind in (EnrichedAnomaly, AnomalyCleared, IncidentTransitioned)]
    await js.add_consumer(
        "PIPELINE",
        ConsumerConfig(
            durable_name=SERVICE,
            filter_subjects=subjects,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=5,
        ),
    )
    reader = await js.pull_subscribe_bind(SERVICE, "PIPELINE")
    for message in await reader.fetch(SETTLED):
        await message.ack_sync()
    await client.close()


async def test_no_incident_is_doubled_or_reopened_and_no_unread_anomaly_is_lost(own_nats):
    arrived = anomalies()
    undisturbed = Correlator(CorrelatePolicy.load(ROOT / "policies"))
    await fill(own_nats.url, arrived, undisturbed)
    for one in arrived[TOLD:]:
        undisturbed.handle(one)
    readiness = Readiness(SERVICE)
    settings = Settings(policies=ROOT / "policies")
    async with (
        nats_bus(own_nats.url, readiness) as bus,
        recipe(Context(settings, bus, readiness)) as service,
    ):
        runtime = Runtime(service, bus, readiness)
        running = asyncio.create_task(runtime.run())
        async with asyncio.timeout(15):
            while (found := await ledger.published(bus)).lost([a.tracking_id for a in arrived]):
                await asyncio.sleep(0.1)
            runtime.stop.set()
            await running
        opened = [one async for one in bus.history([Incident.subject], since=None)]
        found = await ledger.published(bus)
    assert found.doubled([a.tracking_id for a in arrived]) == []
    assert len(opened) == len(undisturbed.windows) > 3
