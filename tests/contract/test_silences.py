"""Silences that incident-api stores are what correlation-service sees, also after a broker dies."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from aiops_core.errors import Unavailable
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.watched import watched_silences
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.silences import BUCKET
from aiops_lab.memory_bus import MemoryBus
from incident_api.problems import Problem
from incident_api.silences.models import EditSilence, NewSilence
from incident_api.silences.repository import SilenceRepository
from tests.conftest import ROOT, nats_bus

POLICY = SuppressPolicy.load(ROOT / "policies")


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.e2e)])
async def bus(request):
    if request.param == "memory":
        yield MemoryBus()
    else:
        async with nats_bus(request.getfixturevalue("nats_url")) as real:
            yield real


def after(**span):
    return {"ends_at": utc_now() + timedelta(**span)}


def order(device=None, **changes):
    matchers = [f"device_id={device or f'sw-{uuid.uuid4().hex[:8]}'}"]
    given = {"matchers": matchers, "created_by": "eto", "comment": "cable works"} | after(hours=2)
    return NewSilence.model_validate(given | changes)


async def until(condition, within=10.0):
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_is_put_down_is_found_again_changed_and_ended(bus):
    silences = SilenceRepository(bus, POLICY)
    added = await silences.add(order(), "mate")
    assert await silences.get(added.id) == added
    later = await silences.edit(added.id, EditSilence.model_validate(after(hours=3)), "chief")
    assert later.ends_at > added.ends_at and later.updated_by == "chief"
    over = await SilenceRepository(bus, POLICY).end(added.id, "chief")  # as after a restart
    assert over.state_at(utc_now()) == "expired"
    assert await silences.get(added.id) == over


async def test_a_watcher_sees_every_change(bus):
    silences, seen = SilenceRepository(bus, POLICY), []
    watched = watched_silences(bus, seen.append)
    following = asyncio.create_task(watched.keep())
    try:
        added = await silences.add(order(), "mate")
        await until(lambda: added in watched.value)
        over = await silences.end(added.id, "mate")
        await until(lambda: over in watched.value)
        assert added not in watched.value
    finally:
        following.cancel()


async def test_what_is_tidied_away_is_gone_for_both(bus):
    clock_of_later = SilenceRepository(bus, POLICY, lambda: utc_now() + timedelta(days=60))
    added = await SilenceRepository(bus, POLICY).add(order(), "mate")
    await clock_of_later.tidy()
    with pytest.raises(Problem, match="there is no silence"):
        await clock_of_later.get(added.id)
    watched = watched_silences(bus)
    await watched.load(within=5)
    assert added.id not in {silence.id for silence in watched.value}


async def test_a_foreign_value_is_left_out(bus):
    added = await SilenceRepository(bus, POLICY).add(order(), "mate")
    await bus.bucket(BUCKET).put("not-a-silence", b"{}")
    watched = watched_silences(bus)
    await watched.load(within=5)
    assert added in watched.value
    await bus.bucket(BUCKET).delete("not-a-silence")


@pytest.mark.e2e
async def test_a_broker_that_dies_loses_no_silence(own_nats):
    async with nats_bus(own_nats.url) as bus:
        silences = SilenceRepository(bus, POLICY)
        added = await silences.add(order(), "mate")
        watched = watched_silences(bus)
        following = asyncio.create_task(watched.keep())
        try:
            await until(lambda: added in watched.value)
            own_nats.kill()
            await until(lambda: not bus.connected)
            with pytest.raises(Unavailable):
                await silences.add(order(), "mate")
            assert added in watched.value  # it goes on hiding
            own_nats.start()
            await until(lambda: bus.connected)
            second = await silences.add(order(), "mate")
            await until(lambda: {added, second} <= set(watched.value))
        finally:
            following.cancel()
