"""Messages -> rows, stored before they are acknowledged, each counted once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.errors import Premature, Unavailable
from aiops_core.models import Status
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import Backoff
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import LINGER
from aiops_lab.memory_bus import MemoryBus
from incident_api import outage
from incident_api.reads import Reads
from incident_api.recorder import Recorder
from incident_api.registry import Registry
from incident_api.rows import Batch, moment
from tests.incident_cases import (
    at,
    cleared,
    created,
    explained,
    handle,
    incidents_service,
    suppressed,
    transitioned,
    updated,
)
from tests.memory_stores import MemoryStore
from tests.runtime_cases import until


async def recorder_on(store: MemoryStore, bus: MemoryBus | None = None) -> Recorder:
    recorder = Recorder(store)
    await recorder.recover(bus or MemoryBus())
    return recorder


def held(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Writes to *store* wait from now on until the event is set."""
    release, write = asyncio.Event(), store.write

    async def slow(batch: Batch) -> None:
        await release.wait()
        await write(batch)

    monkeypatch.setattr(store, "write", slow)
    return release


@contextlib.asynccontextmanager
async def writing_urgent(recorder: Recorder) -> AsyncIterator[None]:
    loop = asyncio.create_task(recorder.write_urgent())
    try:
        yield
    finally:
        loop.cancel()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_several_versions_of_an_incident_are_one_row():
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created(), updated(2, 1), updated(3, 2), cleared(4))
    await recorder.write()
    assert store.writes == 1
    assert store.incidents["i1"].anomaly_count == 3
    assert store.incidents["i1"].status == "resolved"
    assert {row.incident_id for row in store.members.values()} == {"i1"}


async def test_members_are_shown_at_once_and_written_together():
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created(), updated(2, 1), suppressed(9))
    known = recorder.registry.known("i1")
    assert known and known.incident.anomaly_count == 2
    assert not store.members
    assert await recorder.flush() == {}
    assert (store.writes, len(store.members)) == (1, 3)
    assert not recorder.waiting


async def test_who_reads_what_is_written_finds_what_was_shown_before(monkeypatch):
    monkeypatch.setattr(outage, "RETRY", Backoff(0.01, 0.01))
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created())

    class Written:
        async def query(self, sql: str, parameters: object = None, within: object = None):
            return [(len(store.members),)]

    reader = Reads(Written(), write=recorder.write_shown)
    assert await reader.query("how many?") == [(1,)]
    await handle(recorder, updated(2, 1))
    store.problem = "away"
    assert await reader.query("how many?") == [(1,)]  # whether it is there the query says
    store.problem = None
    await asyncio.sleep(0.01)  # until the next try
    assert await reader.query("how many?") == [(2,)]


async def test_a_reader_waits_for_the_write_that_is_under_way(monkeypatch):
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created())
    release = held(store, monkeypatch)
    under_way = asyncio.create_task(recorder.write())
    await asyncio.sleep(0)
    reading = asyncio.create_task(recorder.write_shown())
    await asyncio.sleep(0.01)
    assert not reading.done()
    release.set()
    await asyncio.gather(under_way, reading)
    assert len(store.members) == 1


async def test_readers_that_ask_together_share_one_write():
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created(), updated(2, 1))
    before = store.writes
    await asyncio.gather(*(recorder.write_shown() for _ in range(20)))
    assert (store.writes - before, len(store.members)) == (1, 2)


async def test_polling_does_not_drive_the_rate_of_writes(monkeypatch):
    monkeypatch.setattr("incident_api.recorder.READERS_EVERY", 0.05)
    store = MemoryStore()
    recorder = await recorder_on(store)
    loop = asyncio.get_running_loop()
    await handle(recorder, created())
    await recorder.flush()
    began, before, n = loop.time(), store.writes, 1

    async def poll() -> None:
        while loop.time() - began < 0.5:
            await recorder.write_shown()
            await asyncio.sleep(0)

    pollers = [asyncio.create_task(poll()) for _ in range(6)]
    while loop.time() - began < 0.5:
        n += 1
        await handle(recorder, updated(n, n))
        await asyncio.sleep(0.002)
    await asyncio.gather(*pollers)
    assert store.writes - before <= 0.6 / 0.05 + 1
    await recorder.write_shown()
    assert len(store.members) == n


@pytest.mark.parametrize("problem", [Unavailable("away"), QueryFailed("code 60: no table", 60)])
async def test_a_write_that_fails_is_not_the_readers_problem_and_not_tried_for_each(
    monkeypatch, problem
):
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created())
    tries = 0

    async def refuse(batch: Batch) -> None:
        nonlocal tries
        tries += 1
        raise problem

    class Stored:
        async def query(self, sql: str, parameters: object = None, within: object = None):
            return [(len(store.members),)]

    monkeypatch.setattr(store, "write", refuse)
    reader = Reads(Stored(), write=recorder.write_shown)
    assert await reader.query("how many?") == [(0,)]
    first = tries
    for _ in range(20):
        assert await reader.query("how many?") == [(0,)]
    assert tries == first


async def test_urgent_rows_do_not_knock_again_while_the_store_refuses(monkeypatch):
    store = MemoryStore()
    recorder = await recorder_on(store)
    tries = 0

    async def refuse(batch: Batch) -> None:
        nonlocal tries
        tries += 1
        raise Unavailable("disk full")

    monkeypatch.setattr(store, "write", refuse)
    async with writing_urgent(recorder):
        for n in range(10):
            await handle(recorder, created(f"i{n}", n))
            await asyncio.sleep(2 * LINGER)
    assert tries == 1
    assert len(recorder.unwritten().incidents) == 10


async def test_an_incident_that_begins_while_the_store_is_away_is_shown_at_once(monkeypatch):
    store = MemoryStore()
    recorder = await recorder_on(store)
    store.problem = "restarting"
    await asyncio.wait_for(handle(recorder, created(), updated(2, 1)), 1)
    known = recorder.registry.known("i1")
    assert known and known.incident.anomaly_count == 2
    store.problem = None
    await recorder.flush()
    assert store.incidents["i1"].anomaly_count == 2


async def test_one_that_the_store_knows_after_all_goes_on_from_there():
    store = MemoryStore()
    first = await recorder_on(store)
    await handle(first, created(), updated(2, 1), cleared(3))
    await first.flush()
    second = Recorder(store)  # does not know it: there are newer ones
    store.problem = "restarting"
    await handle(second, created(), updated(4, 2))
    store.problem = None
    await second.flush()
    assert store.incidents["i1"].anomaly_count == 3
    assert store.incidents["i1"].status == "resolved"


@pytest.mark.parametrize("message", [updated(3, 20), suppressed(30)])
async def test_when_too_much_waits_messages_do_as_well(monkeypatch, message):
    monkeypatch.setattr("incident_api.recorder.WAITING", 10)
    store = MemoryStore()
    recorder = await recorder_on(store)
    store.problem = "away"
    await handle(recorder, created(), updated(2, *range(1, 9)))
    handling = asyncio.create_task(handle(recorder, message))
    await asyncio.sleep(0.05)
    assert not handling.done()
    store.problem = None
    await recorder.write()
    await asyncio.wait_for(handling, 1)
    await recorder.write()
    assert len(store.members) == 10


async def test_a_flush_that_comes_after_an_urgent_row_that_fails_writes_what_it_had(monkeypatch):
    """The urgent row of an incident has growth of before."""
    monkeypatch.setattr(outage, "RETRY", Backoff(0.01, 0.01))
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created())
    await recorder.write()
    await handle(recorder, updated(2, 1))
    release, write = asyncio.Event(), store.write

    async def refuse_first(batch: Batch) -> None:
        if not release.is_set():
            await release.wait()
            raise Unavailable("away")
        await write(batch)

    monkeypatch.setattr(store, "write", refuse_first)
    recorder.record(transitioned(1, "ack"))
    urgent = asyncio.create_task(recorder.try_write({"i1"}))
    await asyncio.sleep(0.01)
    flushing = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0.01)
    assert not flushing.done()
    release.set()
    await asyncio.wait_for(asyncio.gather(urgent, flushing), 1)
    assert store.incidents["i1"].anomaly_count == 2


async def test_a_reader_waits_for_the_urgent_row_that_is_under_way(monkeypatch):
    store = MemoryStore()
    recorder = await recorder_on(store)
    release = held(store, monkeypatch)
    await handle(recorder, created())
    urgent = asyncio.create_task(recorder.try_write({"i1"}))
    await asyncio.sleep(0)
    reading = asyncio.create_task(recorder.write_shown())
    await asyncio.sleep(0.01)
    assert not reading.done()
    release.set()
    await asyncio.gather(urgent, reading)
    assert (len(store.incidents), len(store.members)) == (1, 1)


async def test_the_time_of_a_row_is_when_it_was_shown_first():
    store, moments = MemoryStore(), iter([at(0), at(1)])
    recorder = Recorder(store, clock=lambda: next(moments))
    await handle(recorder, created(), created())
    await recorder.write()
    assert [moment(row.stored_at) for row in store.members.values()] == [at(0)]


async def test_a_flush_returns_when_everything_is_written_however_long_the_store_is_away(
    monkeypatch,
):
    monkeypatch.setattr(outage, "RETRY", Backoff(0.01, 0.01))
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created(), updated(2, 1))
    store.problem = "restarting"
    flushing = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0.05)
    assert not flushing.done()
    store.problem = None
    await asyncio.wait_for(flushing, 1)
    assert len(store.members) == 2
    assert store.incidents["i1"].anomaly_count == 2


async def test_every_fact_is_an_event_of_its_incident_once():
    store = MemoryStore()
    recorder = await recorder_on(store)
    facts = (
        created(),
        updated(2, 1),
        updated(2, 1),
        transitioned(1, "ack"),
        explained(),
        cleared(3),
    )
    await handle(recorder, *facts)
    await recorder.write()
    kinds = [row.kind for row in store.events.values()]
    assert kinds == ["created", "updated", "ack", "insight", "cleared"]
    assert {row.incident_id for row in store.events.values()} == {"i1"}


async def test_the_event_of_a_fact_is_written_also_when_its_incident_never_came():
    store = MemoryStore()
    recorder = await recorder_on(store)
    with pytest.raises(Premature):
        await handle(recorder, updated(2, 1))
    await recorder.flush()
    assert [row.kind for row in store.events.values()] == ["updated"]
    assert (store.members, store.incidents) == ({}, {})


async def test_the_event_of_a_fact_that_comes_again_is_completed():
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created(), cleared(2))
    await recorder.write()
    store.events.clear()
    await handle(recorder, cleared(2))
    await recorder.write()
    assert [row.kind for row in store.events.values()] == ["cleared"]


async def test_each_member_passes_the_stage_store_and_is_measured_once():
    before = metric("aiops_fast_path_requests_total")
    recorder = await recorder_on(MemoryStore())
    await handle(recorder, created(), updated(2, 1, 2), updated(2, 1, 2), suppressed(9))
    await recorder.flush()
    assert metric("aiops_fast_path_requests_total") - before == 4
    stored = recorder.registry.known("i1")
    assert stored and all("store" in one.stages for one in stored.incident.evidence)


async def test_a_suppressed_anomaly_ends_in_no_incident_but_under_its_rule():
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, suppressed(1))
    await recorder.flush()
    (row,) = store.members.values()
    assert (row.role, row.incident_id, row.rule) == ("suppressed", "", "dock-noise")


async def test_the_first_explanation_is_measured_the_second_is_not():
    before = metric("aiops_insight_path_requests_total")
    recorder = await recorder_on(MemoryStore())
    await handle(recorder, created(), explained("rules", 1), explained("llm", 5))
    assert metric("aiops_insight_path_requests_total") - before == 1


async def test_while_the_store_is_away_nothing_is_lost_and_then_all_is_stored_once():
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created())
    store.problem = "connection refused"
    for _ in range(2):
        with pytest.raises(Unavailable):
            await recorder.write()
    await handle(recorder, updated(2, 1))
    store.problem = None
    await recorder.flush()
    assert store.incidents["i1"].anomaly_count == 2
    assert len(store.members) == 2


async def test_a_killed_recorder_goes_on_from_the_store_and_folds_nothing_twice():
    store = MemoryStore()
    first = await recorder_on(store)
    await handle(first, created(), updated(2, 1))
    await first.flush()
    second = await recorder_on(store)
    await handle(second, created(), updated(2, 1), updated(3, 2))
    await second.flush()
    assert store.incidents["i1"].anomaly_count == 3
    assert len(store.members) == 3


async def test_what_a_half_written_batch_lacks_comes_with_its_redelivery():
    store = MemoryStore()
    first = await recorder_on(store)
    await handle(first, created(), updated(2, 1))
    await first.flush()
    store.members.clear()
    second = await recorder_on(store)
    await handle(second, created(), updated(2, 1))
    await second.flush()
    assert len(store.members) == 2
    assert store.incidents["i1"].anomaly_count == 2


async def test_a_transition_that_a_kill_left_in_the_stream_is_folded_before_serving():
    store, bus = MemoryStore(), MemoryBus()
    first = await recorder_on(store, bus)
    await handle(first, created())
    await first.flush()
    await bus.publish([Outgoing(transitioned(1, "ack"), "x")])
    bus.put("incidents.transitioned", b"not JSON")
    second = await recorder_on(store, bus)
    stored = second.registry.known("i1")
    assert stored and stored.incident.status is Status.ACK
    assert store.incidents["i1"].status == "ack"


async def test_a_fact_waits_for_the_store_rather_than_being_given_up(monkeypatch):
    monkeypatch.setattr(Backoff, "after", lambda *_: 0.01)
    store = MemoryStore()
    first = await recorder_on(store)
    await handle(first, created(), cleared(2))
    await first.flush()
    second = await recorder_on(store)
    store.problem = "restarting"
    waiting = asyncio.create_task(handle(second, updated(3, 1)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    store.problem = None
    await waiting
    await second.flush()
    assert store.incidents["i1"].anomaly_count == 2
    assert store.incidents["i1"].status == "resolved"


async def test_memory_is_bounded_and_what_is_forgotten_is_looked_up():
    store = MemoryStore()
    recorder = await recorder_on(store)
    recorder.registry = Registry(store, kept=5)
    await handle(recorder, *(created(f"i{n}", n) for n in range(20)))
    assert len(recorder.registry) == 20  # nothing that is not stored is forgotten
    await recorder.flush()
    assert len(recorder.registry) == 5
    await handle(recorder, updated(2, 50, incident="i0"))
    await recorder.flush()
    assert store.incidents["i0"].anomaly_count == 2


async def test_growth_waits_for_the_flush():
    store = MemoryStore()
    recorder = await recorder_on(store)
    async with writing_urgent(recorder):
        await handle(recorder, created())
        await until(lambda: store.incidents)
        await handle(recorder, updated(2, 1))
        await asyncio.sleep(2 * LINGER)
    assert store.incidents["i1"].anomaly_count == 1
    await recorder.flush()
    assert store.incidents["i1"].anomaly_count == 2


async def test_what_grows_while_a_flush_is_under_way_waits_for_the_next(monkeypatch):
    store = MemoryStore()
    recorder = await recorder_on(store)
    release = held(store, monkeypatch)
    await handle(recorder, created(), updated(2, 1))
    flushing = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0.01)
    await handle(recorder, updated(3, 2))
    release.set()
    await flushing
    assert store.incidents["i1"].anomaly_count == 2
    assert recorder.waiting.incidents.keys() == {"i1"}
    await recorder.flush()
    assert store.incidents["i1"].anomaly_count == 3
    assert not recorder.waiting


@pytest.mark.parametrize("urgent", [cleared(3), transitioned(1, "ack")])
async def test_what_changes_an_incidents_state_is_stored_at_once(urgent):
    store = MemoryStore()
    recorder = await recorder_on(store)
    await handle(recorder, created(), updated(2, 1))
    await recorder.write()
    before = store.incidents["i1"].version
    async with writing_urgent(recorder):
        await handle(recorder, urgent)
        await until(lambda: store.incidents["i1"].version == before + 1)


async def test_in_the_runtime_messages_are_acknowledged_after_they_are_stored():
    store, bus = MemoryStore(), MemoryBus()
    recorder = Recorder(store)
    runtime = Runtime(incidents_service(recorder), bus, Readiness("incident-api"))
    store.problem = "away"
    running = asyncio.create_task(runtime.run())
    await bus.publish([Outgoing(created(), "1"), Outgoing(updated(2, 1), "2")])
    await asyncio.sleep(0.05)
    assert bus.acked == []
    store.problem = None
    async with asyncio.timeout(5):
        while len(bus.acked) < 2:
            await asyncio.sleep(0.01)
    assert store.incidents["i1"].anomaly_count == 2
    runtime.stop.set()
    await running
