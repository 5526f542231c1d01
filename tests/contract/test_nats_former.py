"""A broker of a former release has one stream PIPELINE; this release reads it out once."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import nats
import pytest
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from aiops_core.adapters import nats_former
from aiops_core.adapters.nats_streams import (
    ANOMALIES,
    INCIDENTS,
    SUBJECTS,
    configs,
    ensure_streams,
    stream_of,
)
from aiops_core.models import (
    AnomalyCleared,
    AnomalyDetected,
    EnrichedAnomaly,
    IncidentTransitioned,
    IncidentUpdated,
)
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.service import utc_now
from tests.conftest import ROOT, nats_bus

pytestmark = pytest.mark.e2e

DETECTED, ENRICHED = AnomalyDetected.subject, EnrichedAnomaly.subject
CLEARED, UPDATED = AnomalyCleared.subject, IncidentUpdated.subject
CORRELATION = (ENRICHED, CLEARED, IncidentTransitioned.subject)
GROUPS = {
    "enrichment-service": (DETECTED,),
    "correlation-service": CORRELATION,
    "incident-api": ("incidents.created", UPDATED, "anomaly.suppressed"),
    "incident-api-history": (DETECTED, ENRICHED),
}
LIMITS = RetentionPolicy.load(ROOT / "policies").streams


def subject(n):
    """What the *n*-th message of PIPELINE is about."""
    return CLEARED if n % 30 == 0 else (DETECTED, ENRICHED, UPDATED)[n % 3]


async def quiet(exc):
    """nats-py would print it."""


@asynccontextmanager
async def jetstream(server):
    client = await nats.connect(server.url, error_cb=quiet)
    try:
        yield client.jetstream(timeout=2)
    finally:
        with suppress(OSError):  # the broker may have been killed
            await client.close()


async def make_former(js, count, settled, *, gone=0):
    """PIPELINE as the former release left it: messages 1 to *count*, without the first *gone*; of each group its
    messages up to the sequence in *settled* are acknowledged."""
    await js.add_stream(
        StreamConfig(
            name="PIPELINE",
            subjects=["anomaly.>", "incidents.>", "actions.>"],
            max_age=timedelta(days=7).total_seconds(),
            max_bytes=2_000_000_000,
            duplicate_window=120,
            allow_atomic=True,
        )
    )
    for n in range(1, count + 1):
        await js.publish(subject(n), json.dumps(n).encode(), headers={"Nats-Msg-Id": f"svc/{n}"})
    for group, subjects in GROUPS.items():
        await js.add_consumer(
            "PIPELINE",
            ConsumerConfig(
                durable_name=group,
                filter_subjects=list(subjects),
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=5,
                max_ack_pending=2048,
                deliver_policy=DeliverPolicy.ALL,
            ),
        )
        await settle(js, group, settled.get(group, 0))
    if gone:
        await js.purge_stream("PIPELINE", seq=gone + 1)


async def settle(js, group, last):
    reader = await js.pull_subscribe_bind(group, "PIPELINE")
    wanted = sum(subject(n) in GROUPS[group] for n in range(1, last + 1))
    while wanted:
        for message in await reader.fetch(wanted):
            await message.ack_sync()
            wanted -= 1
    await reader.unsubscribe()


async def everything(js, stream):
    """Sequence, subject, data and id of all that is stored."""
    info = await js.add_consumer(stream, ConsumerConfig(ack_policy=AckPolicy.NONE))
    reader = await js.pull_subscribe_bind(info.name, stream)
    found, left = [], info.num_pending
    while len(found) < left:
        found += [
            (m.metadata.sequence.stream, m.subject, json.loads(m.data), m.headers["Nats-Msg-Id"])
            for m in await reader.fetch(left - len(found))
        ]
    return found


def wanted(stream, first, count):
    """What *stream* must hold of messages *first* to *count*."""
    numbers = range(first, count + 1)
    return [(n, subject(n), n, f"svc/{n}") for n in numbers if stream_of(subject(n)) == stream]


async def unread(bus, group):
    """The messages that *group* gets, as numbers."""
    found = []
    async with bus.subscribe(GROUPS[group], group=group) as inbox:
        while await inbox.lag():
            taken = await inbox.take(100)
            found += [json.loads(delivery.data) for delivery in taken]
            await inbox.ack(taken)
            await asyncio.sleep(0.02)
    return found


def unsettled(group, settled, count):
    return [n for n in range(settled + 1, count + 1) if subject(n) in GROUPS[group]]


async def assert_read_out(server, count, settled, *, first=1):
    async with nats_bus(server.url) as bus, jetstream(server) as js:
        with pytest.raises(NotFoundError):
            await js.stream_info("PIPELINE")
        for config in configs(LIMITS):
            info = await js.stream_info(config.name)
            assert (set(info.config.subjects), info.mirror) == (set(SUBJECTS[config.name]), None)
            assert (info.config.max_bytes, info.config.allow_atomic) == (config.max_bytes, True)
        assert await everything(js, INCIDENTS) == wanted(INCIDENTS, first, count)
        assert await everything(js, ANOMALIES) == wanted(ANOMALIES, first, count)
        for group in GROUPS:
            start = max(settled.get(group, 0), first - 1)
            assert await unread(bus, group) == unsettled(group, start, count), group
        stored = await js.publish(UPDATED, b"later", headers={"Nats-Msg-Id": "svc/later"})
        assert (stored.stream, stored.seq) == (INCIDENTS, last(INCIDENTS, count) + 1)


def last(stream, count):
    return max(n for n in range(1, count + 1) if stream_of(subject(n)) == stream)


SETTLED = {
    "enrichment-service": 80,
    "correlation-service": 61,
    "incident-api": 95,
    "incident-api-history": 40,
}


async def test_all_messages_and_positions_are_as_they_were(own_nats):
    async with jetstream(own_nats) as js:
        await make_former(js, 100, SETTLED)
    await assert_read_out(own_nats, 100, SETTLED)


async def test_what_the_former_stream_has_discarded_is_not_waited_for(own_nats):
    async with jetstream(own_nats) as js:
        await make_former(js, 100, SETTLED, gone=50)
    await assert_read_out(own_nats, 100, SETTLED, first=51)


async def test_messages_keep_the_time_at_which_they_were_stored(own_nats):
    async with jetstream(own_nats) as js:
        await make_former(js, 10, {})
    await asyncio.sleep(0.5)
    since = utc_now()
    async with nats_bus(own_nats.url) as bus:
        assert not [one async for one in bus.history([UPDATED, ENRICHED], since=since)]
        stored = [one async for one in bus.history([UPDATED, ENRICHED], since=None)]
    assert [one.sequence for one in stored] == [n for n in range(1, 11) if n % 3]


async def test_of_settled_anomalies_only_the_last_hour_is_copied(own_nats, monkeypatch):
    monkeypatch.setattr(nats_former, "READ_AGAIN", timedelta(0))
    done = dict.fromkeys(GROUPS, 100)
    async with jetstream(own_nats) as js:
        await make_former(js, 100, done | {"enrichment-service": 90})
    async with nats_bus(own_nats.url) as bus, jetstream(own_nats) as js:
        found = await everything(js, ANOMALIES)
        assert found == wanted(ANOMALIES, 88, 100)  # 87 is the last that enrichment-service settled
        assert await everything(js, INCIDENTS) == wanted(INCIDENTS, 1, 100)
        assert await unread(bus, "enrichment-service") == unsettled("enrichment-service", 90, 100)
        assert await unread(bus, "correlation-service") == []


async def test_a_stream_whose_anomalies_are_all_settled_goes_on_counting(own_nats, monkeypatch):
    monkeypatch.setattr(nats_former, "READ_AGAIN", timedelta(0))
    async with jetstream(own_nats) as js:
        await make_former(js, 100, dict.fromkeys(GROUPS, 100))
    async with nats_bus(own_nats.url) as bus, jetstream(own_nats) as js:
        stored = await js.publish(ENRICHED, b"101")
        assert (stored.stream, stored.seq) == (ANOMALIES, last(ANOMALIES, 100) + 1)
        assert await unread(bus, "correlation-service") == [101]
        assert await unread(bus, "enrichment-service") == []


@pytest.mark.parametrize("kept", [(), (UPDATED,), (DETECTED,)])
async def test_a_former_stream_may_lack_a_part(own_nats, monkeypatch, kept):
    monkeypatch.setattr("tests.contract.test_nats_former.subject", lambda n: kept[0])
    async with jetstream(own_nats) as js:
        await make_former(js, 3 * len(kept), {})
    async with nats_bus(own_nats.url) as bus, jetstream(own_nats) as js:
        await js.publish(DETECTED, b"101")
        await js.publish(UPDATED, b"102")
        old = [1, 2, 3]
        assert await unread(bus, "enrichment-service") == (old if DETECTED in kept else []) + [101]
        assert await unread(bus, "incident-api") == (old if UPDATED in kept else []) + [102]


class Mortal:
    """JetStream whose caller is killed instead of the call number *lives*."""

    def __init__(self, js, lives):
        self._js, self._lives = js, lives

    def __getattr__(self, name):
        self._lives -= 1
        if self._lives < 0:
            raise Killed
        return getattr(self._js, name)


class Killed(Exception):
    pass


@pytest.mark.slow
async def test_killed_at_any_step_the_next_process_goes_on(own_nats, monkeypatch):
    monkeypatch.setattr(nats_former, "LOOK_EVERY", 0.005)
    steps = 0
    while True:
        async with jetstream(own_nats) as js:
            for stream in SUBJECTS:
                with suppress(NotFoundError):
                    await js.delete_stream(stream)
            await make_former(js, 40, {"correlation-service": 20})
            try:
                await ensure_streams(Mortal(js, steps), LIMITS, str)
                break
            except Killed:
                pass
        await assert_read_out(own_nats, 40, {"correlation-service": 20})
        steps += 1
    assert steps > 20


class Fragile:
    """JetStream whose broker is killed as soon as it has begun to copy."""

    def __init__(self, js, server):
        self._js, self._server = js, server

    def __getattr__(self, name):
        return getattr(self._js, name)

    async def add_stream(self, config):
        await self._js.add_stream(config)
        self._server.kill()


async def test_a_broker_that_is_killed_in_the_middle_copies_the_rest(own_nats):
    async with jetstream(own_nats) as js:
        await make_former(js, 3000, SETTLED)
        await asyncio.sleep(
            2
        )  # the broker writes down positions later, so that a kill may cost the newest
        with pytest.raises((NatsError, OSError, TimeoutError)):
            await ensure_streams(Fragile(js, own_nats), LIMITS, str)
    own_nats.start()
    await assert_read_out(own_nats, 3000, SETTLED)


async def test_five_processes_at_once(own_nats):
    async with jetstream(own_nats) as js:
        await make_former(js, 1000, SETTLED)

    async def one():
        async with jetstream(own_nats) as js:
            while True:
                try:
                    return await ensure_streams(js, LIMITS, str)
                except NatsError:  # another was faster; the bus tries again as well
                    await asyncio.sleep(0.1)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(one())
    await assert_read_out(own_nats, 1000, SETTLED)
