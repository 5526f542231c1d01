"""Whatever incident-api asks for fails once, at each of its calls, and then succeeds: what is
stored is what an undisturbed run stores, nothing lost and nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import pytest

from aiops_core.adapters.clickhouse_errors import QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.models import Message
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import Backoff
from aiops_core.runtime.bus import Bus, Outgoing, Stored
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Tuning
from aiops_lab.memory_bus import MemoryBus
from incident_api import history, outage
from incident_api.folding import StoredIncident
from incident_api.history import History
from incident_api.recorder import Recorder
from incident_api.rows import Batch
from tests.incident_cases import (
    at,
    cleared,
    created,
    detected,
    enriched,
    explained,
    incidents_service,
    suppressed,
    transitioned,
    updated,
)
from tests.memory_stores import MemoryStore
from tests.runtime_cases import received

AWAY = Unavailable("clickhouse does not answer")
FULL = Unavailable("clickhouse code 243: not enough space")
MISSING = QueryFailed("clickhouse code 60: no such table", 60)
BUG = ZeroDivisionError("a bug")  # ends the process, which starts again
PROBLEMS = [AWAY, FULL, MISSING, BUG]


def _move() -> list[Message]:
    came = updated(2, 1, incident="i2", moved_from=("i1",))
    members = tuple(one.but(moved_from="i1") for one in came.members)
    return [came.but(members=members), updated(3, departed=tuple(m.anomaly_id for m in members))]


MESSAGES: list[Message] = [
    detected(0),
    enriched(0),
    created(),
    updated(2, 1, reason="the same switch"),
    detected(5),
    created("i2", 5),
    suppressed(9),
    *_move(),
    explained(),
    transitioned(1, "ack"),
    enriched(5),
    cleared(4),
    detected(7),
]


class FailsOnce:
    """Counts calls; the one with the number *wrong* raises *problem*."""

    def __init__(self, wrong: int = 0, problem: Exception = AWAY) -> None:
        self.calls, self._wrong, self._problem = 0, wrong, problem

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self._wrong:
            raise self._problem


class FlakyStore(MemoryStore):
    """Every call may fail, a write also after it was done: the answer is lost."""

    def __init__(self, fail: FailsOnce) -> None:
        super().__init__()
        self.fail = fail

    async def write(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        self.fail()
        await super().write(batch)
        self.fail()

    async def incident(self, incident_id: str) -> StoredIncident | None:
        await asyncio.sleep(0)
        self.fail()
        return await super().incident(incident_id)

    async def newest_open(self, most: int) -> Sequence[StoredIncident]:
        await asyncio.sleep(0)
        self.fail()
        return await super().newest_open(most)


class FlakyBus(MemoryBus):
    """To read what is stored may fail at every entry."""

    def __init__(self, fail: FailsOnce) -> None:
        super().__init__(retry_speed=0.0)
        self.fail = fail

    async def history(
        self, subjects: Sequence[str], *, since: datetime | None
    ) -> AsyncIterator[Stored]:
        self.fail()
        async for stored in super().history(subjects, since=since):
            yield stored
            self.fail()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "FLUSH_EVERY", 0.001)
    monkeypatch.setattr(outage, "RETRY", Backoff(0.001, 0.001))
    monkeypatch.setattr(Backoff, "after", lambda *_: 0.001)


def rows(store: MemoryStore) -> dict[str, Any]:
    return {
        "anomalies": store.anomalies,
        "members": store.members,
        "incidents": store.incidents,
        "events": store.events,
    }


async def served(store: MemoryStore, bus: MemoryBus, messages: Sequence[Message]) -> Recorder:
    """What processes of incident-api do with *messages*, one after the other when a bug ends
    them."""
    await bus.publish([Outgoing(message, str(n)) for n, message in enumerate(messages)])
    async with asyncio.timeout(10):
        while True:
            recorder = Recorder(store, clock=lambda: at(1000))
            with contextlib.suppress(BaseExceptionGroup, ZeroDivisionError):
                await _process(store, bus, recorder, len(messages))
                return recorder


async def _process(store: MemoryStore, bus: MemoryBus, recorder: Recorder, most: int) -> None:
    services = (
        incidents_service(recorder, tuning=Tuning(max_batch=3)),
        History(store, recorder).service(),
    )
    runs = [Runtime(one, bus, Readiness(one.name), clock=lambda: at(1000)) for one in services]
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(run.run())
        while len(set(bus.acked)) < most:
            await asyncio.sleep(0.001)
        for run in runs:
            run.stop.set()


async def undisturbed(messages: Sequence[Message]) -> tuple[dict[str, Any], int]:
    """The rows of a run without any failure, and the number of its calls."""
    fail = FailsOnce()
    store = FlakyStore(fail)
    await served(store, FlakyBus(fail), messages)
    return rows(store), fail.calls


@pytest.mark.parametrize("problem", PROBLEMS, ids=["away", "full", "missing", "bug"])
async def test_whichever_call_fails_once_the_same_is_stored(problem):
    wanted, calls = await undisturbed(MESSAGES)
    assert calls >= 10 and len(wanted["members"]) == 5
    for wrong in range(1, 2 * calls):
        fail = FailsOnce(wrong, problem)
        store, bus = FlakyStore(fail), FlakyBus(fail)
        await served(store, bus, MESSAGES)
        assert rows(store) == wanted, f"call {wrong}"
        assert bus.buried == []


@pytest.mark.parametrize("problem", [AWAY, BUG], ids=["away", "bug"])
async def test_a_recovery_that_is_interrupted_and_repeated_ends_in_the_same_state(problem):
    async def started(fail: FailsOnce) -> tuple[dict[str, Any], list[StoredIncident]]:
        store, bus = FlakyStore(FailsOnce()), FlakyBus(FailsOnce())
        await served(store, bus, [created(), updated(2, 1), created("i2", 5), cleared(3)])
        changes = [transitioned(n, kind, "i2") for n, kind in enumerate(("ack", "resolve"), 1)]
        await bus.publish([Outgoing(change, f"change-{change.change}") for change in changes])
        store.fail = bus.fail = fail
        recorder = Recorder(store, clock=lambda: at(1000))
        while not recorder.recovered:
            with contextlib.suppress(Unavailable, ZeroDivisionError):
                await recorder.recover(bus)
        await recorder.flush()
        return rows(store), sorted(recorder.registry.all(), key=lambda one: one.incident.id)

    wanted = await started(FailsOnce())
    assert [one.incident.status for one in wanted[1]] == ["resolved"]
    for wrong in range(1, 12):
        assert await started(FailsOnce(wrong, problem)) == wanted, f"call {wrong}"


@pytest.mark.parametrize("wrong", range(1, 8))
async def test_what_is_delivered_again_while_the_store_is_away_waits_once(wrong):
    """However often: after each ack wait, for as long as the store is away."""
    store, bus = FlakyStore(FailsOnce()), FlakyBus(FailsOnce())
    recorder = Recorder(store, clock=lambda: at(1000))
    history = History(store, recorder)
    await recorder.recover(bus)
    store.problem = "away"
    await bus.publish([Outgoing(message, str(n)) for n, message in enumerate(MESSAGES)])
    for _ in range(wrong):
        await _delivered(bus, recorder, history)
    assert len(recorder.waiting.facts) == 5
    assert len(recorder.waiting.events) == 8
    assert len(recorder.waiting.incidents) == 2
    assert len(history._waiting) <= 3
    store.problem = None
    await recorder.flush()
    await history.flush()
    assert rows(store) == (await undisturbed(MESSAGES))[0]


async def _delivered(bus: Bus, recorder: Recorder, history: History) -> None:
    """All messages come, are handled, and nothing can be stored."""
    for service in (incidents_service(recorder, tuning=Tuning(max_batch=3)), history.service()):
        async with bus.subscribe(tuple(service.by_subject), group=service.consumer or "g") as inbox:
            for delivery in await inbox.take(100):
                message = service.by_subject[delivery.subject].model_validate_json(delivery.data)
                place = {"sequence": delivery.sequence, "data": delivery.data}
                await service.handlers[type(message)](received(message, **place))
    for flush in (recorder.flush, history.flush):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flush(), 0.005)
