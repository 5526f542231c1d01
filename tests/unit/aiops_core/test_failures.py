"""What becomes of messages that fail: counted by this process, tried again, at last buried."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from aiops_core.errors import Premature, Reject, Unavailable
from aiops_core.models import LogEntry, MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.runtime import crashes
from aiops_core.runtime.acks import FAILURES, KEPT, Failures
from aiops_core.runtime.backoff import JITTER, Backoff, until_available
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service
from aiops_core.utils import StructuredLogger
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import line, sample
from tests.runtime_cases import nothing, out, running, until


async def handed_back(bus, group, times):
    """Deliver what waits for *group* and hand it back, as stops and kills do."""
    for _ in range(times):
        async with bus.subscribe([MetricSample.subject], group=group) as inbox:
            await inbox.take(100)


@pytest.mark.parametrize("problem", [Unavailable("away"), Premature("not yet"), ValueError("bug")])
async def test_a_first_failure_is_not_the_last_however_often_it_was_delivered(problem):
    bus, tries = MemoryBus(retry_speed=0), 0
    await bus.publish([out(sample(1))])
    await handed_back(bus, "s", 20)

    async def fails_once(_):
        nonlocal tries
        tries += 1
        if tries == 1:
            raise problem
        return []

    async with running(bus, Service("s", {MetricSample: fails_once})):
        await until(lambda: bus.acked or bus.buried)
    assert (tries, bus.buried) == (2, [])


async def test_a_message_that_needs_what_is_away_is_tried_until_it_is_back():
    bus, tries = MemoryBus(retry_speed=0), 0
    await bus.publish([out(sample(1))])

    async def away_for_long(_):
        nonlocal tries
        tries += 1
        if tries < 10 * FAILURES:
            raise Unavailable("the store is away")
        return []

    async with running(bus, Service("s", {MetricSample: away_for_long})):
        await until(lambda: bus.acked or bus.buried)
    assert bus.acked and not bus.buried


@pytest.mark.parametrize("problem", [Premature("never comes"), ZeroDivisionError("bug")])
async def test_other_failures_end_in_a_dead_letter_after_some_tries(problem):
    bus, tries = MemoryBus(retry_speed=0), 0
    await bus.publish([out(sample(1))])

    async def fails(_):
        nonlocal tries
        tries += 1
        raise problem

    async with running(bus, Service("s", {MetricSample: fails})):
        await until(lambda: bus.buried)
    assert tries == FAILURES
    assert str(problem) in bus.buried[0][1]


async def test_absences_between_its_failures_do_not_count():
    failures, bug = Failures(), ValueError("bug")
    for _ in range(FAILURES - 1):
        assert isinstance(failures.verdict("LOGS/1", bug), float)
        assert isinstance(failures.verdict("LOGS/1", Unavailable()), float)
    verdict = failures.verdict("LOGS/1", bug)
    assert (verdict.outcome, str(verdict)) == ("abandoned", repr(bug))


def test_each_message_has_a_count_of_its_own_that_success_forgets():
    failures = Failures()
    for _ in range(FAILURES - 1):
        failures.verdict("LOGS/1", ValueError())
    assert isinstance(failures.verdict("LOGS/2", ValueError()), float)
    failures.forget("LOGS/1")
    assert isinstance(failures.verdict("LOGS/1", ValueError()), float)


def test_counts_are_bounded_and_the_oldest_gets_more_tries_then():
    failures = Failures()
    for n in range(KEPT + 100):
        failures.verdict(f"LOGS/{n}", ValueError())
    assert len(failures) == KEPT
    assert isinstance(failures.verdict("LOGS/0", ValueError()), float)


def test_delays_grow_up_to_a_bound():
    failures, bug = Failures(), ValueError()
    delays = [failures.verdict("LOGS/1", bug) for _ in range(FAILURES - 1)]
    assert delays == sorted(delays) and delays[0] <= 1 and 60 < delays[-1] <= 120
    absent = [failures.verdict("LOGS/2", Unavailable()) for _ in range(100)]
    assert max(absent) <= 30 and min(absent[10:]) >= 30 * (1 - JITTER)


@pytest.mark.parametrize("failures", [1, 2, 5, 2000])
def test_a_delay_is_shortened_by_chance_and_never_longer_than_the_longest(failures):
    backoff = Backoff(first=1.0, most=10.0)
    delays = {backoff.after(failures) for _ in range(100)}
    whole = min(2.0 ** min(failures - 1, 10), 10.0)
    assert len(delays) > 90
    assert whole * (1 - JITTER) <= min(delays) <= max(delays) <= whole


def test_what_cannot_be_handled_is_buried_at_once():
    failures = Failures()
    for problem in (Reject("no JSON", "malformed"), Reject("unknown ship")):
        assert failures.verdict("a", problem) is problem
    assert len(failures) == 0


async def test_settled_messages_leave_no_counts_behind():
    bus = MemoryBus(retry_speed=0)
    await bus.publish([out(sample(n, n=n)) for n in range(10)])
    tried = set()

    async def first_fails(received):
        message = received.message
        if message.value not in tried:
            tried.add(message.value)
            raise ZeroDivisionError
        if message.value < 3:
            raise Reject("no")
        return []

    async with running(bus, Service("s", {MetricSample: first_fails})) as engine:
        await until(lambda: len(bus.acked) + len(bus.buried) == 10)
        await asyncio.sleep(0.01)
        assert len(engine._handling._acks._failures) == 0


async def test_a_message_of_a_subject_that_is_not_taken_any_more_is_a_dead_letter():
    bus = MemoryBus()
    async with bus.subscribe([MetricSample.subject, LogEntry.subject], group="s"):
        await bus.publish([out(line("x")), out(sample(1))])
    async with running(bus, Service("s", {MetricSample: nothing})):
        await until(lambda: bus.buried and bus.acked)
    assert bus.buried[0][1] == f"s does not take {LogEntry.subject}"


async def killed_at(bus, service, condition):
    """A process that is killed when *condition* holds: nothing is handed back."""
    engine = Runtime(service, bus, Readiness("s"))
    task = asyncio.create_task(engine.run())
    await until(condition)
    bus.kill("s")
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0.01)


async def test_a_message_that_ends_the_process_again_and_again_is_buried_and_the_others_are_not():
    bus, lives = MemoryBus(ack_wait=0.005), 0
    await bus.publish([out(sample(float(n), n=n)) for n in range(40)])
    at_the_end = asyncio.Event()

    async def segfaults(received):
        message = received.message
        if message.value == 20:
            at_the_end.set()
            await asyncio.Event().wait()
        return []

    service = Service("s", {MetricSample: segfaults})
    while not bus.buried and lives < 20:
        lives += 1
        at_the_end.clear()
        await killed_at(bus, service, lambda: at_the_end.is_set() or bus.buried)
    assert crashes.SUSPICIOUS < lives <= crashes.SUSPICIOUS + crashes.DEADLY + 1
    async with running(bus, service):
        await until(lambda: len(set(bus.acked)) == 39)
    [(data, reason)] = bus.buried
    assert json.loads(data)["value"] == 20 and "ended 3 times" in reason


async def test_a_suspicious_message_that_is_handled_leaves_no_note():
    bus, notes = MemoryBus(retry_speed=0), []
    await bus.publish([out(sample(1)), out(sample(2), "other")])
    await handed_back(bus, "s", crashes.SUSPICIOUS)

    async def handle(received):
        notes.append(json.loads(await bus.bucket(crashes.BUCKET).get("s")))
        if len(notes) == 1:
            raise ZeroDivisionError
        return []

    async with running(bus, Service("s", {MetricSample: handle})):
        await until(lambda: len(bus.acked) == 2)
    assert notes[0] == {"MEMORY/1": 1}
    assert json.loads(await bus.bucket(crashes.BUCKET).get("s")) == {}


@pytest.mark.parametrize("notes", [b"{", b"[]", b'{"MEMORY/1": "x"}', b"\xff", b"null"])
async def test_notes_that_cannot_be_read_are_skipped(notes):
    bus = MemoryBus()
    await bus.bucket(crashes.BUCKET).put("s", notes)
    await bus.publish([out(sample(1))])
    await handed_back(bus, "s", crashes.SUSPICIOUS)
    async with running(bus, Service("s", {MetricSample: nothing})):
        await until(lambda: bus.acked)


async def test_without_its_bucket_a_suspicious_message_waits(monkeypatch):
    bus, away = MemoryBus(retry_speed=0), True
    await bus.publish([out(sample(1))])
    await handed_back(bus, "s", crashes.SUSPICIOUS)
    bucket = bus.bucket(crashes.BUCKET)
    put, tries = bucket.put, 0

    async def fails(key, value):
        nonlocal tries
        tries += 1
        if away:
            raise Unavailable("nats: cannot write")
        await put(key, value)

    monkeypatch.setattr(bucket, "put", fails)
    async with running(bus, Service("s", {MetricSample: nothing})):
        await until(lambda: tries > crashes.DEADLY + 5)
        assert not bus.acked and not bus.buried
        away = False
        await until(lambda: bus.acked)


async def test_what_is_away_for_long_is_logged_once_a_minute(capsys, monkeypatch):
    StructuredLogger.configure("info")
    monkeypatch.setattr(Backoff, "after", lambda *_: 0.001)
    now, tries = 1000.0, 0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("aiops_core.runtime.backoff.time", clock)

    async def away():
        nonlocal tries, now
        tries, now = tries + 1, now + 1
        if tries < 100:
            raise Unavailable("the store is away")

    await until_available(away)
    said = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [one["tries"] for one in said] == [1, 61]


async def test_messages_put_off_for_what_is_away_are_logged_once_a_minute(capsys):
    StructuredLogger.configure("info")
    bus, tries = MemoryBus(retry_speed=0), 0
    await bus.publish([out(sample(n, n=n)) for n in range(10)])

    async def away(_):
        nonlocal tries
        tries += 1
        if tries < 100:
            raise Unavailable("the store is away")
        return []

    async with running(bus, Service("s", {MetricSample: away})):
        await until(lambda: len(bus.acked) == 10)
    said = [json.loads(text)["event"] for text in capsys.readouterr().err.splitlines()]
    assert said.count("will retry") == 1


class Often:
    """A delivery that is suspicious."""

    attempt = crashes.SUSPICIOUS + 1

    def __init__(self, id):
        self.id = id


async def noted(bucket):
    return json.loads(await bucket.get("s"))


async def test_a_message_that_is_handled_after_all_is_innocent():
    bucket = MemoryBus().bucket(crashes.BUCKET)
    await bucket.put("s", json.dumps({"LOGS/1": 2, "LOGS/2": 2}).encode())
    notes = crashes.Crashes(bucket, "s")
    async with notes.noted(Often("LOGS/1")):
        assert await noted(bucket) == {"LOGS/1": 3, "LOGS/2": 2}
    with pytest.raises(ZeroDivisionError):
        async with notes.noted(Often("LOGS/2")):
            raise ZeroDivisionError
    assert await noted(bucket) == {}


async def test_a_message_whose_note_could_not_be_made_is_not_in_hand(monkeypatch):
    bucket = MemoryBus().bucket(crashes.BUCKET)
    put = bucket.put

    async def away(*_):
        raise Unavailable

    notes = crashes.Crashes(bucket, "s")
    monkeypatch.setattr(bucket, "put", away)
    with pytest.raises(Unavailable):
        async with notes.noted(Often("LOGS/1")):
            raise AssertionError("handled without a note")
    monkeypatch.setattr(bucket, "put", put)
    async with notes.noted(Often("LOGS/2")):
        assert await noted(bucket) == {"LOGS/2": 1}


async def test_notes_are_bounded_and_the_oldest_is_dropped():
    bucket = MemoryBus().bucket(crashes.BUCKET)
    old = {f"LOGS/{n}": 1 for n in range(2 * crashes.NOTES)}
    await bucket.put("s", json.dumps(old).encode())
    async with crashes.Crashes(bucket, "s").noted(Often("LOGS/x")):
        kept = await noted(bucket)
    assert len(kept) == crashes.NOTES and "LOGS/x" in kept and "LOGS/0" not in kept
