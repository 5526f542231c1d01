"""kill -9 of llm-enricher on a real broker, again and again while incidents flow: every incident
has an answer, the open ones the model's, and nothing is said twice."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from aiops_core.models import EnrichedIncident
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.service import utc_now
from tests.conftest import ROOT, free_port, nats_bus, wait_for_port
from tests.incident_cases import cleared, created, updated

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
INCIDENTS, KILLS, APART = 40, 4, 1.0  # how many, and seconds between kills


@contextmanager
def answering_process(nats_url):
    port = free_port()
    where = {"NATS_URL": nats_url, "POLICIES": str(ROOT / "policies"), "PROBE_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.answering_process"],
        cwd=ROOT,
        env=os.environ | {f"AIOPS_{name}": value for name, value in where.items()},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, 30)
        yield process
    finally:
        process.kill()
        process.wait()


def facts():
    """Each incident becomes worse; every fifth is over after that."""
    now = {"ts": utc_now(), "stages": {"correlate": utc_now()}}
    for n in range(INCIDENTS):
        yield created(f"i{n}", n, **now)
    for n in range(INCIDENTS):
        yield updated(2, incident=f"i{n}", severity="critical", **now)
        if n % 5 == 0:
            yield cleared(3, incident=f"i{n}", **now)


async def send(bus, seconds):
    told = list(facts())
    for n, fact in enumerate(told):
        await bus.publish([Outgoing(fact, f"fact-{n}")])
        await asyncio.sleep(seconds / len(told))


async def answers(bus):
    stored = bus.history([EnrichedIncident.subject], since=None)
    found = [EnrichedIncident.model_validate_json(one.data) async for one in stored]
    told = [(one.id, one.llm_insights) for one in found]
    return Counter((id, one.of_revision, one.of_change, one.source) for id, one in told)


def modelled(told):
    """Incidents of which the model, or an answer of it that was kept, explains the last state."""
    return {id for id, revision, _, source in told if revision == 2 and source != "rules"}


async def test_nothing_is_lost_and_nothing_said_twice_whenever_it_is_killed(own_nats):
    lasting = {f"i{n}" for n in range(INCIDENTS) if n % 5}
    async with nats_bus(own_nats.url) as bus:
        sending = asyncio.create_task(send(bus, KILLS * APART))
        for _ in range(KILLS):
            with answering_process(own_nats.url):
                await asyncio.sleep(APART)
        await sending
        with answering_process(own_nats.url):
            async with asyncio.timeout(60):
                while not modelled(told := await answers(bus)) >= lasting:
                    await asyncio.sleep(0.2)
            await asyncio.sleep(6)  # what was delivered before the last kill comes again
        told = await answers(bus)
        dead = [one async for one in bus.history(["dead.llm-enricher"], since=None)]
    assert {id for id, *_ in told} == {f"i{n}" for n in range(INCIDENTS)}
    assert modelled(told) >= lasting
    assert set(told.values()) == {1}
    assert not dead
