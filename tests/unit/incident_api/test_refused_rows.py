"""A row that can never be stored: its message is a dead letter, everything else is stored and
acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.models import Message
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import Backoff
from aiops_core.runtime.bus import REASON, SUBJECT, Outgoing
from aiops_core.runtime.runtime import Runtime
from aiops_lab.memory_bus import MemoryBus, MemoryDelivery
from incident_api import history, outage
from incident_api.history import History
from incident_api.recorder import Recorder
from incident_api.rows import Batch, IncidentRow, TableRow
from tests.incident_cases import (
    created,
    detected,
    enriched,
    incidents_service,
    suppressed,
    updated,
)
from tests.memory_stores import MemoryStore

TYPE_MISMATCH = 53


class Strict(MemoryStore):
    """Refuses every batch with a row that is bad, as one block is refused as a whole."""

    def __init__(self, is_bad: Callable[[TableRow], bool], code: int = TYPE_MISMATCH) -> None:
        super().__init__()
        self.is_bad, self.code, self.asked = is_bad, code, 0

    async def write(self, batch: Batch) -> None:
        self.asked += 1
        if any(map(self.is_bad, batch.rows)):
            raise QueryFailed(f"code {self.code}: no", self.code)
        await super().write(batch)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "FLUSH_EVERY", 0.005)
    monkeypatch.setattr(outage, "RETRY", Backoff(0.001, 0.001))


@contextlib.asynccontextmanager
async def serving(store: MemoryStore, bus: MemoryBus) -> AsyncIterator[Recorder]:
    recorder = Recorder(store)
    services = (incidents_service(recorder), History(store, recorder).service())
    runs = [Runtime(one, bus, Readiness(one.name)) for one in services]
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(run.run())
        yield recorder
        for run in runs:
            run.stop.set()


async def publish(bus: MemoryBus, *messages: Message) -> None:
    """Return when all are acknowledged or buried."""
    first = len(bus.published)
    await bus.publish([Outgoing(m, str(first + n)) for n, m in enumerate(messages)])
    async with asyncio.timeout(5):
        while not {m.model_dump_json().encode() for m in messages} <= settled(bus):
            await asyncio.sleep(0.001)


def settled(bus: MemoryBus) -> set[bytes]:
    return {*bus.acked, *(data for data, _ in bus.buried)}


def dead_letters(bus: MemoryBus) -> list[str]:
    return [s.headers[SUBJECT] for s in bus.stored if s.subject == "dead.incident-api"]


async def test_a_member_that_cannot_be_stored_takes_no_other_with_it():
    store = Strict(lambda row: getattr(row, "tracking_id", "") == "t1" and hasattr(row, "place"))
    bus = MemoryBus()
    async with serving(store, bus):
        await publish(bus, created(), updated(2, 1), updated(3, 2), suppressed(9))
        assert dead_letters(bus) == ["incidents.updated"]
        assert {row.tracking_id for row in store.members.values()} == {"t0", "t2", "t9"}
        assert store.incidents["i1"].anomaly_count == 3
        (dead_letter,) = [s for s in bus.stored if s.subject == "dead.incident-api"]
        assert "incident_members" in dead_letter.headers[REASON]
        assert updated(2, 1).model_dump_json().encode() == dead_letter.data


async def test_an_incident_that_cannot_be_stored_goes_on_from_its_last_version_that_could():
    def is_bad(row: TableRow) -> bool:
        return isinstance(row, IncidentRow) and row.title == "bad"

    store, bus = Strict(is_bad), MemoryBus()
    async with serving(store, bus) as recorder:
        await publish(bus, created(), created("i2", 5))
        await publish(bus, updated(2, 1, title="bad"), updated(2, 6, incident="i2"))
        assert dead_letters(bus) == ["incidents.updated"]
        assert recorder.registry.known("i1") is None
        await publish(bus, updated(3, 2))
        assert (store.incidents["i1"].title, store.incidents["i1"].anomaly_count) == (
            "Link down on sw-0",
            2,
        )
        assert store.incidents["i2"].anomaly_count == 2
        assert len(dead_letters(bus)) == 1


async def test_an_anomaly_that_cannot_be_stored_takes_no_other_with_it():
    store = Strict(lambda row: getattr(row, "msg", "") == "bad")
    bus = MemoryBus()
    async with serving(store, bus):
        await publish(bus, detected(1), enriched(2, msg="bad"), detected(2), enriched(3))
        assert dead_letters(bus) == ["anomaly.enriched"]
        assert {row.tracking_id for row in store.anomalies.values()} == {"t1", "t3"}


async def test_whoever_is_refused_alone_and_for_an_unknown_reason_waits_for_company():
    store = Strict(lambda row: getattr(row, "tracking_id", "") == "t1", code=9999)
    bus = MemoryBus()
    async with serving(store, bus):
        await bus.publish([Outgoing(detected(1), "a"), Outgoing(suppressed(1), "b")])
        await asyncio.sleep(0.1)
        assert (bus.acked, dead_letters(bus)) == ([], [])
        await publish(bus, detected(2), suppressed(2))
        assert sorted(dead_letters(bus)) == ["anomaly.detected", "anomaly.suppressed"]
        assert {row.tracking_id for row in store.anomalies.values()} == {"t2"}
        assert {row.tracking_id for row in store.members.values()} == {"t2"}


async def test_a_bad_row_is_not_tried_again_after_the_next_start():
    store = Strict(lambda row: getattr(row, "msg", "") == "bad")
    bus = MemoryBus()
    async with serving(store, bus):
        await publish(bus, detected(1, msg="bad"))
    asked = store.asked
    async with serving(store, bus):
        await publish(bus, detected(2))
    assert store.asked == asked + 1
    assert len(dead_letters(bus)) == 1


async def test_a_dead_letter_that_cannot_be_written_keeps_its_message_unacknowledged(monkeypatch):
    store = Strict(lambda row: getattr(row, "msg", "") == "bad")
    bus, tries, bury = MemoryBus(), iter([OSError("no broker"), None]), MemoryDelivery.bury

    async def at_the_second_try(delivery: MemoryDelivery, reason: str) -> bool:
        if problem := next(tries):
            raise problem
        return await bury(delivery, reason)

    monkeypatch.setattr(MemoryDelivery, "bury", at_the_second_try)
    with pytest.raises(BaseExceptionGroup):
        async with serving(store, bus):
            await publish(bus, detected(1, msg="bad"))
    assert (bus.acked, dead_letters(bus)) == ([], [])
    async with serving(store, bus):
        await publish(bus, detected(2))
    assert dead_letters(bus) == ["anomaly.detected"]
