"""The writers of incident-api do not write at the same time."""

import asyncio

import pytest

from incident_api import flushing
from incident_api.flushing import EVERY, GROWTH, HISTORY, moment_of


@pytest.mark.parametrize("now", [0.0, 0.2, 0.5, 1234.9])
async def test_each_writer_waits_for_its_own_moment_and_never_longer_than_a_round(monkeypatch, now):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(flushing.asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    await moment_of(GROWTH)
    await moment_of(HISTORY)
    assert all(0 < seconds <= EVERY for seconds in slept)
    growth, history = ((now + seconds) % EVERY for seconds in slept)
    assert min(growth, EVERY - growth) == pytest.approx(0, abs=1e-9)
    assert history == pytest.approx(EVERY / 2)
