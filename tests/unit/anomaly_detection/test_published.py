"""How many anomalies detection published, whoever has read them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected
from aiops_core.observability import tally
from aiops_core.observability.tally import BUCKET, KEPT, decode
from aiops_core.runtime.bus import Outgoing
from aiops_lab.memory_bus import MemoryBus
from anomaly_detection.__main__ import service as recipe_of
from anomaly_detection.checkpoint import Checkpointer
from anomaly_detection.handler import DetectionHandler
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.published import PublishedCounts
from tests.conftest import NOON, line
from tests.incident_cases import detected, digested
from tests.runtime_cases import running, until

MINUTE = timedelta(minutes=1)


def found(n: int, at) -> AnomalyDetected:
    return detected(n).stamped("detect", at)


async def written(bus) -> dict:
    return dict(decode(await bus.bucket(BUCKET).all()))


async def test_anomalies_are_counted_by_the_minute_in_which_they_were_detected():
    bus = MemoryBus()
    published = PublishedCounts(bus, lambda: NOON)
    published.count([found(1, NOON), found(2, NOON + 59 * timedelta(seconds=1))])
    published.count([found(3, NOON + MINUTE), found(4, NOON + timedelta(hours=1))])
    await published.write()
    later = NOON + timedelta(hours=1)
    assert await written(bus) == {NOON: 2, NOON + MINUTE: 1, later: 1}


async def test_what_is_digested_is_counted_as_well_also_after_a_kill():
    bus = MemoryBus()
    told = [digested(n).stamped("detect", NOON) for n in range(3)]
    published = PublishedCounts(bus, lambda: NOON)
    published.count(told[:2])
    await published.write()
    await bus.publish([Outgoing(one, one.anomaly_id) for one in told])
    reborn = PublishedCounts(bus, lambda: NOON)
    await reborn.recover(bus)
    await reborn.write()
    assert await written(bus) == {NOON: 3}


async def test_what_a_kill_kept_from_being_written_is_counted_again_in_the_stream():
    bus = MemoryBus()
    published = PublishedCounts(bus, lambda: NOON)
    anomalies = [found(n, NOON + n * timedelta(seconds=20)) for n in range(9)]
    for n, anomaly in enumerate(anomalies):
        await bus.publish([Outgoing(anomaly, f"a{n}")])
        published.count([anomaly])
        if n == 4:
            await published.write()  # and then it is killed
    reborn = PublishedCounts(bus, lambda: NOON)
    for _ in range(2):  # a recovery that is repeated counts nothing twice
        await reborn.recover(bus)
    await reborn.write()
    assert await written(bus) == {NOON: 3, NOON + MINUTE: 3, NOON + 2 * MINUTE: 3}


async def test_what_the_stream_has_discarded_meanwhile_stays_counted():
    bus = MemoryBus()
    published = PublishedCounts(bus, lambda: NOON)
    published.count([found(n, NOON) for n in range(5)])
    await published.write()
    reborn = PublishedCounts(bus, lambda: NOON)
    await reborn.recover(bus)
    reborn.count([found(9, NOON)])
    await reborn.write()
    assert await written(bus) == {NOON: 6}


class Refusing(MemoryBus):
    refuses = False

    def bucket(self, name):
        if self.refuses:
            raise Unavailable("nats: cannot write")
        return super().bucket(name)


async def test_a_write_that_fails_is_made_up_for():
    bus = Refusing()
    published = PublishedCounts(bus, lambda: NOON)
    published.count([found(1, NOON)])
    bus.refuses = True
    with pytest.raises(Unavailable):
        await published.write()
    published.count([found(2, NOON)])
    bus.refuses = False
    await published.write()
    assert await written(bus) == {NOON: 2}


async def test_a_service_that_stops_writes_what_it_has_counted():
    bus = MemoryBus()
    published = PublishedCounts(bus, lambda: NOON)
    keeping = asyncio.create_task(published.run())
    await asyncio.sleep(0)
    published.count([found(1, NOON)])
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert await written(bus) == {NOON: 1}


async def test_hours_that_are_too_old_are_forgotten():
    bus = MemoryBus()
    now = NOON
    published = PublishedCounts(bus, lambda: now)
    published.count([found(1, NOON)])
    await published.write()
    now = NOON + KEPT + timedelta(hours=1)
    published.count([found(2, now)])
    await published.write()
    assert await written(bus) == {now: 1}


async def test_an_hour_that_cannot_be_read_costs_only_itself():
    bus = MemoryBus()
    await bus.bucket(BUCKET).put("2026-06-01T12", b'{"3": 7}')
    for key, value in {
        "junk": b"{}",
        "2026-06-01T13": b"?",
        "2026-06-01T14": b'{"61": 1}',
        "2026-06-01T15": b'{"1": -1}',
    }.items():
        await bus.bucket(BUCKET).put(key, value)
    assert await written(bus) == {NOON + 3 * MINUTE: 7}
    assert tally.decode({}) == {}


async def test_the_service_counts_what_it_publishes_once_whatever_comes_again(policies):
    bus = MemoryBus()
    wrong = [line("disk controller failed", n=n, host=f"h{n}", level="error") for n in range(6)]
    for _ in range(
        2
    ):  # the second life gets all of it again, as after a kill before its acknowledgement
        policy = DetectPolicy.load(policies)
        handler = DetectionHandler(policy)
        checkpointer = Checkpointer(handler, bus, policy.snapshot_every)
        service = recipe_of(checkpointer, bus)
        async with running(bus, service):
            for entry in wrong:
                bus.put(entry.subject, entry.model_dump_json().encode())
            await until(lambda: len(bus.acked) % 6 == 0 and len(bus.acked) > 0)
            await until(lambda: bus.of(AnomalyDetected))
        counted = sum((await written(bus)).values())
        assert counted == len(bus.of(AnomalyDetected)) > 0
