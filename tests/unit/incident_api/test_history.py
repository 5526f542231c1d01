"""The history of anomalies: every one stored once, in its last version, before it is
acknowledged."""

import asyncio

import pytest

from aiops_core.errors import Unavailable
from aiops_core.runtime.backoff import Backoff
from aiops_lab.memory_bus import MemoryBus
from incident_api import outage
from incident_api.history import History
from incident_api.recorder import Recorder
from tests.incident_cases import detected, enriched
from tests.memory_stores import MemoryStore
from tests.runtime_cases import received


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(outage, "RETRY", Backoff(0.001, 0.001))


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
        await history.anomaly(received(message))
    await history.flush()
    (row,) = store.anomalies.values()
    assert (row.version, row.severity, row.device_id) == (2, "critical", "sw-1")


async def test_a_flush_goes_on_until_the_store_takes_the_rows(history, store):
    await history.anomaly(received(detected(1)))
    store.problem = "connection refused"
    flushing = asyncio.create_task(history.flush())
    await asyncio.sleep(0.01)
    await history.anomaly(received(detected(2)))
    assert not flushing.done()
    store.problem = None
    await asyncio.wait_for(flushing, 1)
    assert {row.tracking_id for row in store.anomalies.values()} == {"t1"}
    await history.flush()
    assert len(store.anomalies) == 2


async def test_a_row_says_what_came_word_for_word_and_that_is_how_it_would_be_written_anew(
    history, store
):
    messages = [enriched(1, msg="Überdruck ≥ 9 bar"), detected(2)]
    for message in messages:
        data = message.model_dump_json().encode()
        await history.anomaly(received(message, data=data))
    pending = [row.body for n in (1, 2) for row in history.pending(f"t{n}")]
    await history.flush()
    written = [row.body for row in store.anomalies.values()]
    assert written == pending == [message.model_dump_json() for message in messages]


async def test_rows_are_written_again_as_the_same_batch(history, store, monkeypatch):
    tokens, write = [], store.write

    async def refuse(batch):
        tokens.append(batch.token)
        if len(tokens) < 3:
            await history.anomaly(received(detected(1 + len(tokens))))
            raise Unavailable("away")
        await write(batch)

    monkeypatch.setattr(store, "write", refuse)
    await history.anomaly(received(detected(1)))
    await history.flush()
    assert len(tokens) == 3 and len(set(tokens)) == 1
    assert {row.tracking_id for row in store.anomalies.values()} == {"t1"}


async def test_a_wild_clock_is_cut_to_what_a_column_can_hold(history, store):
    await history.anomaly(received(detected(1, ts="0002-01-01T00:00:00Z")))
    await history.anomaly(received(detected(2, ts="9999-01-01T00:00:00Z")))
    await history.flush()
    assert sorted(row.ts for row in store.anomalies.values()) == [0, 4_102_444_800_000_000]


async def test_it_waits_for_the_tables(store):
    with pytest.raises(Unavailable):
        await History(store, Recorder(store)).recover(MemoryBus())


async def test_it_has_a_consumer_of_its_own_and_the_dead_letters_of_the_service(history):
    service = history.service()
    assert (service.name, service.consumer) == ("incident-api", "incident-api-history")


async def test_what_is_not_stored_yet_is_found_by_its_tracking_id_in_its_last_version(
    history, store
):
    for message in (detected(1), enriched(1), detected(2)):
        await history.anomaly(received(message))
    assert [row.version for row in history.pending("t1")] == [2]
    store.problem = "away"
    flushing = asyncio.create_task(history.flush())
    await asyncio.sleep(0.01)
    assert [row.version for row in history.pending("t1")] == [2]
    store.problem = None
    await flushing
    assert history.pending("t1") == []


async def test_what_is_enriched_while_it_is_being_written_waits_for_the_next_flush(
    history, store, monkeypatch
):
    write = store.write

    async def meanwhile(batch):
        await history.anomaly(received(enriched(1)))
        await write(batch)

    monkeypatch.setattr(store, "write", meanwhile)
    await history.anomaly(received(detected(1)))
    await history.flush()
    assert [row.version for row in store.anomalies.values()] == [1]
    monkeypatch.setattr(store, "write", write)
    await history.flush()
    assert [row.version for row in store.anomalies.values()] == [2]


async def test_when_too_many_bytes_wait_messages_do_as_well(history, monkeypatch):
    monkeypatch.setattr("incident_api.history.WAITING", 100)
    await history.anomaly(received(detected(1), data=detected(1).model_dump_json().encode()))
    handling = asyncio.create_task(history.anomaly(received(detected(2), data=b"{}")))
    await asyncio.sleep(0.01)
    assert not handling.done()
    await history.flush()
    await asyncio.wait_for(handling, 1)
    assert history._bytes == 2
