"""The history of anomalies: every one stored once, in its last version, before it is acknowledged."""

import asyncio

import pytest

from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, EnrichedAnomaly
from aiops_core.runtime.bus import Outgoing
from aiops_lab.memory_bus import MemoryBus
from incident_api.history import History
from incident_api.memory_store import MemoryStore
from incident_api.recorder import Recorder
from tests.incident_cases import detected, enriched


@pytest.fixture
async def store():
    return MemoryStore()


@pytest.fixture
async def history(store):
    recorder = Recorder(store)
    await recorder.recover(MemoryBus())
    return History(store, recorder)


async def test_a_detected_and_enriched_anomaly_is_one_row_the_enriched(history, store):
    for message in (enriched(1, severity="critical"), detected(1)):
        await history.anomaly(message)
    await history.flush()
    (row,) = store.anomalies.values()
    assert (row.version, row.severity, row.device_id) == (2, "critical", "sw-1")


async def test_what_a_failing_store_refused_is_stored_later_with_what_came_since(history, store):
    await history.anomaly(detected(1))
    store.problem = "connection refused"
    with pytest.raises(Unavailable):
        await history.flush()
    await history.anomaly(detected(2))
    store.problem = None
    await history.flush()
    assert len(store.anomalies) == 2


async def test_a_row_says_what_came_word_for_word_and_that_is_how_it_would_be_written_anew(
    history, store
):
    sees = history.service().sees
    assert sees
    messages = [enriched(1, msg="Überdruck ≥ 9 bar"), detected(2)]
    bus = MemoryBus()
    await bus.publish([Outgoing(message, str(n)) for n, message in enumerate(messages)])
    async with bus.subscribe(
        [EnrichedAnomaly.subject, AnomalyDetected.subject], group="g"
    ) as inbox:
        for delivery, message in zip(await inbox.take(2), messages, strict=True):
            sees(delivery)
            await history.anomaly(message)
    pending = [row.body for n in (1, 2) for row in history.pending(f"t{n}")]
    await history.flush()
    written = [row.body for row in store.anomalies.values()]
    assert written == pending == [message.model_dump_json() for message in messages]


async def test_rows_are_written_again_as_one_batch(history, store, monkeypatch):
    tokens = []

    async def refuse(batch):
        tokens.append(batch.token)
        raise Unavailable("away")

    monkeypatch.setattr(store, "write", refuse)
    await history.anomaly(detected(1))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await history.flush()
        await history.anomaly(detected(2))
    assert len(tokens) == 2 and len(set(tokens)) == 1


async def test_a_wild_clock_is_cut_to_what_a_column_can_hold(history, store):
    await history.anomaly(detected(1, ts="0002-01-01T00:00:00Z"))
    await history.anomaly(detected(2, ts="9999-01-01T00:00:00Z"))
    await history.flush()
    assert sorted(row.ts for row in store.anomalies.values()) == [0, 4_102_444_800_000_000]


async def test_it_waits_for_the_tables(store):
    with pytest.raises(Unavailable):
        await History(store, Recorder(store)).recover(MemoryBus())


async def test_it_has_a_consumer_of_its_own_and_the_dead_letters_of_the_service(history):
    service = history.service()
    assert (service.name, service.group) == ("incident-api", "incident-api-history")


async def test_what_is_not_stored_yet_is_found_by_its_tracking_id_in_its_last_version(
    history, store
):
    for message in (detected(1), enriched(1), detected(2)):
        await history.anomaly(message)
    assert [row.version for row in history.pending("t1")] == [2]
    store.problem = "away"
    with pytest.raises(Unavailable):
        await history.flush()
    assert [row.version for row in history.pending("t1")] == [2]
    store.problem = None
    await history.flush()
    assert history.pending("t1") == []


async def test_acknowledgements_wait_for_the_flush_that_stores_also_after_one_that_fails(
    history, store
):
    await history.anomaly(detected(1))
    first = asyncio.create_task(history.settled())
    await asyncio.sleep(0)
    store.problem = "away"
    with pytest.raises(Unavailable):
        await history.flush()
    await history.anomaly(detected(2))
    second = asyncio.create_task(history.settled())
    await asyncio.sleep(0.01)
    assert not first.done() and not second.done()
    store.problem = None
    await history.flush()
    await asyncio.wait_for(asyncio.gather(first, second), 1)
    assert len(store.anomalies) == 2


async def test_when_too_many_bytes_wait_messages_do_as_well(history, store, monkeypatch):
    monkeypatch.setattr("incident_api.history.WAITING", 100)
    service, bus = history.service(), MemoryBus()
    assert service.sees
    await bus.publish([Outgoing(detected(n), str(n)) for n in range(3)])
    async with bus.subscribe([AnomalyDetected.subject], group="g") as inbox:
        for delivery in await inbox.take(3):
            service.sees(delivery)
            await history.anomaly(AnomalyDetected.model_validate_json(delivery.data))
    committing = asyncio.create_task(history.commit())
    await asyncio.sleep(0.01)
    assert not committing.done()
    await history.flush()
    await asyncio.wait_for(committing, 1)
