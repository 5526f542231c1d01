"""kill -9 of a real detection on a real broker, again and again while entries flow: nobody
notices."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from aiops_core.models import AnomalyCleared, AnomalyDetected, AnomalyDigested
from aiops_core.runtime.bus import Outgoing
from anomaly_detection import NAME, snapshots
from anomaly_detection.handler import DetectionHandler
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.snapshots import BUCKET, Manifest
from tests.conftest import ROOT, free_port, nats_bus, wait_for_port
from tests.unit.anomaly_detection.test_checkpoint import entries

pytestmark = pytest.mark.e2e
SUBJECTS = ["logs.ingested", "metrics.sampled"]
KILLS, APART = 5, 1.5  # how many, and seconds between them on average
KINDS = {kind.subject: kind for kind in (AnomalyDetected, AnomalyCleared, AnomalyDigested)}


@pytest.fixture
def often(tmp_path):
    """Policies with a snapshot every half second."""
    folder = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", folder)
    file = folder / DetectPolicy.file
    file.write_text(file.read_text().replace("snapshot_every: PT30S", "snapshot_every: PT0.5S"))
    assert DetectPolicy.load(folder).snapshot_every.total_seconds() == 0.5
    return folder


@contextmanager
def detection(nats_url, policies, **settings):
    """The service as a process; at the end it is killed."""
    port = settings.setdefault("PROBE_PORT", str(free_port()))
    where = {"NATS_URL": nats_url, "POLICIES": str(policies), **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "anomaly_detection"],
        env=os.environ | {f"AIOPS_{name}": value for name, value in where.items()},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(int(port), 30)
        yield process
    finally:
        process.kill()
        process.wait()


def fingerprint(message):
    cleared = isinstance(message, AnomalyCleared)
    told = message.anomaly_types if cleared else message.anomaly_type
    return message.subject, message.tracking_id, message.detector, told, message.reason


async def published(bus):
    """What was told, each as often as it was."""
    stored = [one async for one in bus.history(list(KINDS), since=None)]
    return Counter(fingerprint(KINDS[one.subject].model_validate_json(one.data)) for one in stored)


async def undisturbed(messages, policies):
    handler = DetectionHandler(DetectPolicy.load(policies))
    read = map(handler.reader.read, messages)
    told = [fingerprint(one) for entry in read for one in handler.detection.observe(entry)]
    assert any(tracking_id.startswith("r") for _, tracking_id, *_ in told)  # of a raw line
    return Counter(told)


async def send(bus, messages, seconds):
    for message in messages:
        await bus.publish([Outgoing(message, message.tracking_id)])
        await asyncio.sleep(seconds / len(messages))


async def read_to_the_end(bus, last):
    async with asyncio.timeout(40):
        while (await bus.offset(SUBJECTS, group=NAME)).ack_floor < last:
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_killed_at_random_moments_it_tells_what_it_would_have_told(own_nats, often):
    chance, messages = random.Random(), entries()
    async with nats_bus(own_nats.url) as bus:
        sending = asyncio.create_task(send(bus, messages, KILLS * APART))
        for _ in range(KILLS):
            with detection(own_nats.url, often):
                await asyncio.sleep(chance.uniform(0, 2 * APART))
        await sending
        with detection(own_nats.url, often):
            await read_to_the_end(bus, len(messages))
            told = await published(bus)
            assert await bus.bucket(BUCKET).get(snapshots.MANIFEST)
    expected = await undisturbed(messages, often)
    assert told == expected
    assert set(expected.values()) == {1}


async def test_a_stop_leaves_a_snapshot_and_the_next_start_reads_nothing_again(own_nats, often):
    file = often / DetectPolicy.file
    file.write_text(file.read_text().replace("snapshot_every: PT0.5S", "snapshot_every: PT30M"))
    messages = entries()
    middle = len(messages) // 2
    async with nats_bus(own_nats.url) as bus:
        await send(bus, messages[:middle], 0)
        with detection(own_nats.url, often) as process:
            await read_to_the_end(bus, middle)
            process.terminate()
            assert process.wait(10) == 0
        manifest = Manifest.model_validate_json(
            await bus.bucket(BUCKET).get(snapshots.MANIFEST) or b""
        )
        assert manifest.offset.sequence == middle
        await bus.js.purge_stream("LOGS")
        await send(bus, messages[middle:], 0)
        with detection(own_nats.url, often):
            await read_to_the_end(bus, len(messages))
            assert await published(bus) == await undisturbed(messages, often)
