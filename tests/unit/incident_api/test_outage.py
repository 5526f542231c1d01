"""What fails for a while: back-off with jitter, one line a minute, and a readiness that says it."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from aiops_core.adapters.clickhouse_errors import TookTooLong
from aiops_core.errors import Unavailable
from aiops_core.runtime.backoff import Backoff
from incident_api import outage as module
from incident_api.outage import RETRY, DependencyOutages, Outage, keep_doing, persistently


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(outage: Outage, problem: str = "disk full") -> None:
    with pytest.raises(Unavailable), outage.noticed():
        raise Unavailable(problem)


def end(outage: Outage) -> None:
    with outage.noticed():
        pass


def test_rests_grow_up_to_a_bound_differ_and_start_anew():
    outage = Outage(clock=Clock())
    assert outage.delay == 0
    rests = []
    for _ in range(20):
        fail(outage)
        rests.append(outage.delay)
    assert rests[0] <= RETRY.first < rests[4] <= max(rests) <= RETRY.most
    assert len(set(rests)) == 20
    end(outage)
    assert (outage.delay, outage.problem) == (0, None)
    fail(outage)
    assert outage.delay <= RETRY.first


def test_the_log_says_it_once_a_minute_and_when_it_is_over():
    clock, heard = Clock(), []
    troubles = DependencyOutages("clickhouse", heard.append, clock)
    one, two = troubles.outage("rows"), troubles.outage("start")
    with capture_logs() as logs:
        for _ in range(179):
            fail(one)
            fail(two, "other")
            clock.now += 1
        end(one)
        assert heard[-1] == "start: other"
        end(two)
        assert heard[-1] is None
    assert [line["event"] for line in logs] == ["waiting"] * 3 + ["going on"]
    assert logs[0]["reason"] == "rows: disk full"


def test_what_comes_and_goes_is_not_said_each_time():
    clock = Clock()
    outage = DependencyOutages("clickhouse", clock=clock).outage("rows")
    with capture_logs() as logs:
        for _ in range(120):
            fail(outage)
            end(outage)
            clock.now += 0.5
    assert [line["event"] for line in logs] == ["waiting", "going on"]


def test_another_outage_is_said_at_once():
    clock = Clock()
    troubles = DependencyOutages("clickhouse", clock=clock)
    start, rows = troubles.outage("start"), troubles.outage("rows")
    with capture_logs() as logs:
        for outage in (start, rows):
            fail(outage)
            end(outage)
            clock.now += 5
    assert [line["event"] for line in logs] == ["waiting", "going on"] * 2


async def test_when_one_is_over_the_others_do_not_rest():
    troubles = DependencyOutages("clickhouse")
    one, two = troubles.outage("incidents"), troubles.outage("anomalies")
    for _ in range(4):
        fail(one)
        fail(two)
    resting = asyncio.create_task(two.wait())
    await asyncio.sleep(0.01)
    assert not resting.done()
    end(one)
    await asyncio.wait_for(resting, 0.5)
    fail(two)
    assert two.delay > 0
    end(one)  # nothing was over
    assert two.delay > 0


async def test_a_loop_goes_on_after_what_passes_and_ends_with_what_does_not(monkeypatch):
    monkeypatch.setattr(module, "RETRY", Backoff(0.001, 0.001))
    problems = iter([Unavailable("away"), None, Unavailable("away"), ZeroDivisionError()])
    done = []

    async def work() -> None:
        problem = next(problems)
        done.append(problem)
        if problem:
            raise problem

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(keep_doing(work, 0, Outage()), 5)
    assert len(done) == 4


async def test_after_a_failure_a_loop_rests_no_longer_than_the_outage(monkeypatch):
    monkeypatch.setattr(module, "RETRY", Backoff(0.001, 0.001))
    outage, tries, done = Outage(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("away")
        done.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(keep_doing(work, 3600, outage))
        await done.wait()
        await asyncio.sleep(0.02)
        loop.cancel()
    assert (outage.problem, tries) == (None, 3)


async def test_what_takes_too_long_is_not_tried_again_at_once(monkeypatch):
    monkeypatch.setattr(module, "RETRY", Backoff(0.001, 0.001))
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        raise TookTooLong("ask for less")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(keep_doing(work, 3600, Outage()), 0.05)
    assert tries == 1


async def test_a_result_that_is_insisted_on_comes_when_the_outage_is_over(monkeypatch):
    monkeypatch.setattr(module, "RETRY", Backoff(0.001, 0.001))
    outage, tries = Outage(), 0

    async def work() -> int:
        nonlocal tries
        with outage.noticed():
            tries += 1
            if tries < 3:
                raise Unavailable("away")
            return tries

    assert await asyncio.wait_for(persistently(work, outage), 5) == 3
    assert outage.problem is None
