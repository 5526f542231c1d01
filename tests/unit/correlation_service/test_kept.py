"""What is open for long outlasts kills, and streams that have discarded its facts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_core.errors import Unavailable
from aiops_core.models import (
    AnomalyCleared,
    EnrichedAnomaly,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
)
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import LARGEST, Outgoing
from aiops_core.runtime.launch import Context
from aiops_lab.memory_bus import MemoryBus
from correlation_service import bucket_writer, kept
from correlation_service.__main__ import recipe
from correlation_service.kept import AS_OF, BUCKET, KeptIncident, decode
from tests.conftest import NOON, ROOT
from tests.correlation_cases import anomaly, cleared, reborn
from tests.kept_cases import Life
from tests.runtime_cases import running

DAY = 86_400
PORT = {"component": "interface Gi1/0/24"}


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


def resolved(incident_id, at, kind="resolve", status="resolved"):
    return IncidentTransitioned(
        tracking_id="x",
        ship_id="s1",
        ts=after(at),
        incident_id=incident_id,
        change=1,
        kind=kind,
        from_status="open",
        to_status=status,
    )


async def bucket(life):
    """All but the problems, which are kept from their beginning."""
    values = await life.bus.bucket(BUCKET).all()
    return {key: value for key, value in values.items() if not key.startswith("problem.")}


# --- an outage of a month


async def test_an_outage_of_thirty_days_is_open_once_and_ends_when_it_is_cleared():
    life = Life()
    [opened] = await life.receive(anomaly(1, "sw-1", "link_down", **PORT))
    for day in range(1, 31):
        await life.advance(after(day * DAY))
        if day % 3 == 0:
            await life.kill()
        if day % 5 == 0:
            [again] = await life.receive(
                anomaly(100 + day, "sw-1", "link_down", at=day * DAY + 60, **PORT)
            )
            assert again.incident_id == opened.id
    assert not any(stored.at < after(10 * DAY) for stored in life.bus.stored)
    assert [i.id for i in life.state.open.incidents.values()] == [opened.id]
    [over, *_] = await life.receive(cleared(31 * DAY, "sw-1", "link_down", **PORT))
    [end] = await life.advance(after(31 * DAY + 600))
    assert (end.incident_id, end.resolve_reason) == (opened.id, "recovered")
    kinds = {type(fact) for fact in life.told if isinstance(fact, Incident | IncidentCleared)}
    assert sum(isinstance(f, Incident) and f.subject == Incident.subject for f in life.told) == 1
    assert IncidentCleared in kinds and over.cleared
    await life.advance(after(32 * DAY))
    assert list(await bucket(life)) == [AS_OF]


async def test_the_end_of_which_the_stream_alone_tells_counts_too():
    life = Life()
    [opened] = await life.receive(anomaly(1, "sw-1", "link_down", **PORT))
    await life.advance(after(DAY))
    await life.receive(cleared(DAY + 1, "sw-1", "link_down", **PORT))
    with patch.object(bucket_writer.BucketWriter, "copy"):  # the kill comes before the next copy
        assert await life.advance(after(DAY + 600))
    assert f"incident.{opened.id}" in await bucket(life)
    await life.kill()
    assert not life.state.open.incidents


@pytest.mark.parametrize(("kind", "status"), [("resolve", "resolved"), ("ack", "ack")])
async def test_what_a_person_said_before_the_kill_counts(kind, status):
    """Also when it is in the stream before the copy, and was handled after it."""
    life = Life()
    [opened] = await life.receive(anomaly(1, "nas-1", "storage_error"))
    await life.advance(after(DAY))
    order = resolved(opened.id, DAY, kind, status)
    life.bus.put(order.subject, order.model_dump_json().encode())
    await life.tick(after(DAY + 61))
    await life.kill()
    still = life.state.open.incidents.get(opened.id)
    assert still.acknowledged if kind == "ack" else still is None


async def test_an_acknowledged_event_stays_so():
    life = Life()
    [opened] = await life.receive(anomaly(1, "srv-1", "memory_error"))
    await life.receive(resolved(opened.id, 2, "ack", "ack"))
    await life.advance(after(DAY))
    await life.kill()
    assert await life.advance(after(2 * DAY)) == []
    assert life.state.open.incidents[opened.id].quiet_since == after(1)


async def test_a_stream_that_begins_anew_does_not_hide_what_it_tells():
    life = Life()
    [opened] = await life.receive(anomaly(1, "sw-1", "link_down", **PORT))
    await life.advance(after(DAY))
    life.bus.stored.clear()
    life.bus._sequence = 0
    await life.receive(cleared(DAY + 1, "sw-1", "link_down", **PORT))
    with patch.object(bucket_writer.BucketWriter, "copy"):
        [end] = await life.advance(after(DAY + 600))
    assert end.incident_id == opened.id
    await life.kill()
    assert not life.state.open.incidents


async def test_a_recovery_that_breaks_off_is_repeated():
    life = Life()
    await life.receive(anomaly(1, "sw-1", "link_down", **PORT))
    await life.advance(after(DAY))
    before = await bucket(life)

    async def away(self):
        raise Unavailable("nats: away")

    with patch.object(type(life.bus.bucket(BUCKET)), "all", away), suppress(Unavailable):
        await life.kill()
    assert not life.state.open.incidents and await bucket(life) == before
    await life.kill()
    assert len(life.state.open.incidents) == 1


# --- the bucket


async def test_what_is_young_is_not_kept_and_what_changes_is_written_again():
    life = Life()
    [opened] = await life.receive(anomaly(1, "nas-1", "storage_error"))
    await life.tick(after(3000))
    assert list(await bucket(life)) == [AS_OF]
    await life.tick(after(3700))
    first = await bucket(life)
    assert set(first) == {AS_OF, f"incident.{opened.id}"}
    await life.tick(after(3800))
    second = await bucket(life)
    assert second.pop(AS_OF) != first.pop(AS_OF) and second == first
    await life.receive(anomaly(2, "nas-1", "storage_error", at=3900))
    await life.tick(after(4000))
    [again] = decode(await bucket(life))[0].values()
    assert again.revision == 3 and again.alerts[0].count == 2


async def test_there_is_one_pass_a_minute_at_most():
    life = Life()
    await life.receive(anomaly(1, "nas-1", "storage_error"))
    copies = []
    with patch.object(kept.KeptIncident, "marks", lambda *a: copies.append(a) or {}):
        for second in range(180):
            await life.tick(after(4000 + second))
    assert len(copies) == 3


async def test_nothing_is_written_before_what_was_decided_is_published():
    life = Life()
    await life.receive(anomaly(1, "nas-1", "storage_error"))
    life.now = after(4000)
    life.correlation.tick(after(4000))
    assert list(await bucket(life)) == [AS_OF]  # the sink has not come to the mark
    await life.correlation.writer.write()
    assert len(await bucket(life)) == 2


async def test_a_bucket_that_cannot_be_written_is_tried_again():
    life = Life()
    await life.receive(anomaly(1, "nas-1", "storage_error"))

    async def away(self, key, value):
        raise Unavailable("nats: away")

    with patch.object(type(life.bus.bucket(BUCKET)), "put", away):
        await life.tick(after(4000))
        await life.tick(after(4100))
    assert list(await bucket(life)) == [AS_OF]
    await life.tick(after(4200))
    assert len(await bucket(life)) == 2


async def test_many_are_kept_in_several_ticks_and_only_then_as_of_the_first():
    life = Life()
    with patch.object(bucket_writer, "COPIED", 10):
        for n in range(25):
            await life.receive(anomaly(n, f"host-{n}", "storage_error", at=n))
        await life.tick(after(5000))
        values = await bucket(life)
        assert len(values) == 11 and decode(values)[1] == after(1)
        for n in range(1, 6):  # each has a problem, too
            await life.tick(after(5000 + n))
    values = await bucket(life)
    assert len(values) == 26 and decode(values)[1] == after(5000)


async def test_more_than_fits_is_left_to_the_stream():
    life = Life()
    with patch.object(bucket_writer, "BYTES_KEPT", 10_000):
        for n in range(25):
            await life.receive(anomaly(n, f"host-{n}", "storage_error", at=n))
        await life.tick(after(5000))
    values = await bucket(life)
    assert AS_OF in values and sum(map(len, values.values())) < 10_100
    await life.kill()
    assert len(life.state.open.incidents) == 25


async def test_of_an_incident_that_is_too_large_what_lasts_is_kept():
    life = Life()
    for n in range(600):
        await life.receive(anomaly(n, f"host-{n}", "log_error", at=n / 10, msg="x" * 500))
    [incident] = life.state.open.incidents.values()
    copy = KeptIncident.copied(life.state, incident.id)
    last = copy.alerts[-1]
    lasting = last.but(series=(last.series[0].but(raised=last.last),))
    large = copy.but(alerts=(*copy.alerts[:-1], lasting))
    data = large.encoded()
    assert len(data) <= LARGEST < len(large.model_dump_json())
    assert lasting.id == KeptIncident.model_validate_json(data).alerts[0].id


async def test_what_is_of_another_release_stays_in_the_bucket():
    life = Life()
    await life.bus.bucket(BUCKET).put("voyage.7", b"{}")
    await life.kill()
    await life.receive(anomaly(1, "nas-1", "storage_error"))
    await life.advance(after(DAY))
    assert (await bucket(life))["voyage.7"] == b"{}"


async def test_the_service_keeps_what_is_open_and_finds_it_again():
    """With its real sink: the copy waits for what was decided."""
    bus = MemoryBus()
    context = Context(Settings(policies=ROOT / "policies"), bus, Readiness("test"))
    values: Mapping[str, bytes] = {}
    async with recipe(context) as service, running(bus, service):
        await bus.publish([Outgoing(anomaly(1, "nas-1", "storage_error"), "a1")])  # of last year

        async def is_kept() -> bool:
            nonlocal values
            values = await bus.bucket(BUCKET).all()
            return len(values) == 3

        async with asyncio.timeout(10):
            while not await is_kept():
                await asyncio.sleep(0.01)
    [opened] = bus.of(Incident)
    [copy] = [one for one in decode(values)[0].values() if isinstance(one, KeptIncident)]
    assert copy.id == opened.id
    assert copy.sequence == [s.sequence for s in bus.stored if s.subject == Incident.subject][-1]
    bus.stored.clear()
    assert list((await reborn(bus)).state.open.incidents) == [opened.id]


async def test_a_chronic_problem_outlasts_the_stream():
    """Its incident waits without an alert; only the problem knows of it."""
    life = Life()
    for n in range(4):
        at = n * 7200
        await life.advance(after(at))
        await life.receive(anomaly(n, at=at))
    await life.advance(after(25_200))
    await life.advance(after(25_500))
    [problem] = life.correlation.correlator.state.problems.table
    assert problem.ending == "waiting" and problem.count == 4
    life.bus.stored.clear()
    await life.kill()
    [again] = await life.receive(anomaly(9, at=28_800))
    assert (again.incident_id, again.recurrence.occurrence) == (problem.incident, 5)
    assert again.revision == problem.revision + 1 and not again.announce


# --- whatever happens

GAPS = (3, 40, 250, 1200, 4500, 6 * 3600, 3 * DAY)
DEVICES = ("sw-1", "srv-1", "srv-2")
KINDS = ("link_down", "disk_full", "service_error")
PARTS = ("", "interface Gi1/0/1", "interface Gi1/0/2")


@st.composite
def lives(draw):
    """What happens in weeks: anomalies, recoveries, what people end or acknowledge, and kills."""
    event = st.tuples(
        st.sampled_from(GAPS),
        st.sampled_from(("anomaly", "anomaly", "anomaly", "clear", "guess", "resolve", "ack")),
        st.sampled_from(DEVICES),
        st.sampled_from(KINDS),
        st.sampled_from(PARTS),
    )
    at, found = 0, []
    for n, (gap, what, device, kind, part) in enumerate(draw(st.lists(event, max_size=14))):
        at += gap
        if what == "anomaly":
            found.append(anomaly(n, device, kind, at=at, component=part))
        elif what in ("clear", "guess"):
            sure = 1.0 if what == "clear" else 0.7
            found.append(cleared(at, device, kind, component=part, confidence=sure))
        else:
            found.append((what, n, at))
    return found


async def lived(history, kills=()):
    life = Life()
    for n, event in enumerate(history):
        if n in kills:
            await life.kill()
        if isinstance(event, tuple):
            kind, which, at = event
            await life.advance(after(at))
            if still := sorted(life.state.open.incidents):
                status = "ack" if kind == "ack" else "resolved"
                await life.receive(resolved(still[which % len(still)], at, kind, status))
        else:
            await life.receive(event)
    await life.advance(life.now + timedelta(days=2))
    return life


def compared(facts):
    """*facts* without recoveries of long ago, which a member no more needs."""
    for fact in facts:
        name = {Incident: "evidence", IncidentUpdated: "members"}.get(type(fact))
        if name:
            members = tuple(m.but(cleared_at=None) for m in getattr(fact, name))
            fact = fact.but(**{name: members})
        yield fact


@settings(max_examples=60)
@given(lives(), st.sets(st.integers(0, 14), max_size=5))
def test_kills_and_discarded_streams_change_nothing(history, kills):
    undisturbed = asyncio.run(lived(history))
    disturbed = asyncio.run(lived(history, kills))
    assert list(compared(disturbed.told)) == list(compared(undisturbed.told))
    assert set(disturbed.state.open.incidents) == set(undisturbed.state.open.incidents)


@settings(max_examples=60)
@given(lives(), st.sets(st.integers(0, 14), max_size=3))
def test_a_state_ends_only_by_its_own_object_a_person_or_an_inferred_end(history, kills):
    life = asyncio.run(lived(history, kills))
    happened = {a.anomaly_id: a for a in history if isinstance(a, EnrichedAnomaly)}
    clears = [c for c in history if isinstance(c, AnomalyCleared)]
    place, ends = {}, {}
    for fact in life.told:
        for member in (*getattr(fact, "members", ()), *getattr(fact, "evidence", ())):
            place[member.anomaly_id] = getattr(fact, "incident_id", None) or fact.id
        if isinstance(fact, IncidentCleared):
            ends[fact.incident_id] = fact
    for anomaly_id, incident in place.items():
        raised, end = happened[anomaly_id], ends.get(incident)
        if raised.anomaly_type == "service_error" or end is None or end.resolve_reason == "merged":
            continue
        about = [
            c
            for c in clears
            if c.host == raised.host
            and raised.anomaly_type in c.anomaly_types
            and c.ts >= raised.ts
        ]
        same = [c for c in about if c.component in ("", raised.component)]
        sure = [c for c in same if c.confidence == 1]
        nameless = about if not raised.component else []
        assert sure or ((same or nameless) and end.confidence < 1)
