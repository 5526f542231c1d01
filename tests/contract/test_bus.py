"""What every bus promises. The fake must pass what the real one passes, or it proves nothing."""

import asyncio
import uuid
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta

import pytest

from aiops_core.errors import Reject
from aiops_core.models import BY_SUBJECT, IncidentCleared, MetricSample
from aiops_core.runtime.bus import REASON, SOURCE, SUBJECT, ConsumerOffset, Outgoing
from aiops_core.runtime.service import utc_now
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import nats_bus, sample

ACK_WAIT, WINDOW = 1.0, 0.5  # seconds
BOTH = ["memory", pytest.param("nats", marks=pytest.mark.e2e)]


@pytest.fixture(params=BOTH)
async def bus(request):
    if request.param == "memory":
        yield MemoryBus()
    else:
        async with nats_bus(request.getfixturevalue("nats_url")) as real:
            yield real


@pytest.fixture(params=BOTH)
async def hasty(request, monkeypatch):
    """A bus with an ack wait and a duplicate window that a test can wait for, and nothing in it."""
    if request.param == "memory":
        yield MemoryBus(ack_wait=ACK_WAIT, duplicate_window=WINDOW)
    else:
        monkeypatch.setattr("aiops_core.adapters.nats_consumer.ACK_WAIT", ACK_WAIT)
        monkeypatch.setattr("aiops_core.adapters.nats_inbox.KEEPALIVE", ACK_WAIT / 4)
        monkeypatch.setattr(
            "aiops_core.adapters.nats_streams.DUPLICATE_WINDOW", timedelta(seconds=WINDOW)
        )
        async with nats_bus(request.getfixturevalue("own_nats").url) as real:
            yield real


@asynccontextmanager
async def joined(bus, *subjects, group=None):
    """An inbox that has skipped what other tests left behind."""
    async with bus.subscribe(
        subjects or ["metrics.sampled"], group=group or f"g{uuid.uuid4().hex[:8]}"
    ) as inbox:
        yield inbox


def fresh(value=1.0):
    return sample(value).model_copy(update={"tracking_id": uuid.uuid4().hex})


def cleared():
    return fresh().derive(
        IncidentCleared, incident_id=uuid.uuid4().hex, revision=2, resolve_reason="expired"
    )


def out(message, id=None):
    return Outgoing(message, id or uuid.uuid4().hex)


async def receive(inbox, wanted, within=5.0):
    """The next delivery of *wanted*, past what other tests left in the stream."""
    async with asyncio.timeout(within):
        while True:
            for delivery in await inbox.take(1):
                if read(delivery) == wanted:
                    return delivery
                await inbox.ack([delivery])


async def nothing_of(inbox, wanted):
    with pytest.raises(TimeoutError):
        await receive(inbox, wanted, within=0.5)


async def test_delivers_what_was_published_with_its_subject_and_time(bus):
    message = fresh()
    before = utc_now() - timedelta(seconds=1)
    await bus.publish([out(message)])
    async with joined(bus) as inbox:
        delivery = await receive(inbox, message)
        assert (delivery.subject, delivery.attempt) == ("metrics.sampled", 1)
        assert before < delivery.at < utc_now() + timedelta(seconds=1)
        await inbox.ack([delivery])


async def test_publishing_an_effect_twice_delivers_it_once(bus):
    message = fresh()
    await bus.publish([out(message, f"a/{message.tracking_id}")])
    await bus.publish([out(message, f"a/{message.tracking_id}")])
    async with joined(bus) as inbox:
        await inbox.ack([await receive(inbox, message)])
        await nothing_of(inbox, message)


async def test_a_batch_keeps_its_order(bus):
    batch = [fresh(float(n)) for n in range(50)]
    async with joined(bus) as inbox:
        await bus.publish([out(m) for m in batch])
        got = []
        async with asyncio.timeout(5):
            while len(got) < 50:
                for delivery in await inbox.take(100):
                    got.append(MetricSample.model_validate_json(delivery.data))
                    await inbox.ack([delivery])
    wanted = {m.tracking_id for m in batch}
    assert [m for m in got if m.tracking_id in wanted] == batch[: len(got)]


async def test_of_a_large_batch_whose_half_is_stored_already_the_rest_arrives_once(bus):
    batch = [fresh(float(n)) for n in range(100)]
    async with joined(bus) as inbox:
        await bus.publish([out(m, f"half/{m.tracking_id}") for m in batch[:50]])
        await bus.publish([out(m, f"half/{m.tracking_id}") for m in batch])
        got = []
        async with asyncio.timeout(5):
            while len(got) < 100:
                for delivery in await inbox.take(100):
                    message = MetricSample.model_validate_json(delivery.data)
                    got += [message] if message in batch else []
                    await inbox.ack([delivery])
        await nothing_of(inbox, batch[0])
    assert got == batch


async def test_messages_of_several_streams_may_be_published_together(bus):
    sampled, incident = fresh(), cleared()
    async with joined(bus) as samples, joined(bus, IncidentCleared.subject) as facts:
        await bus.publish([out(sampled), out(incident)])
        await samples.ack([await receive(samples, sampled)])
        await facts.ack([await receive(facts, incident)])


TWO_STREAMS = (MetricSample.subject, IncidentCleared.subject)


def kinds_of(count):
    """Messages of two streams in turn."""
    return [cleared() if n % 3 == 0 else fresh(float(n)) for n in range(count)]


async def test_subjects_of_two_streams_come_to_one_inbox_in_the_order_in_which_they_were_stored(
    bus,
):
    messages, group = kinds_of(1500), f"g{uuid.uuid4().hex[:8]}"
    for n in range(0, len(messages), 50):
        await bus.publish([out(message) for message in messages[n : n + 50]])
    wanted = {message.tracking_id for message in messages}
    async with joined(bus, *TWO_STREAMS, group=group) as inbox:
        got = []
        async with asyncio.timeout(20):
            while len(got) < len(messages):
                taken = await inbox.take(32)
                got += [m for m in map(read, taken) if m.tracking_id in wanted]
                await inbox.ack(taken)
            while await inbox.lag():
                await asyncio.sleep(0.02)
    assert got == messages


async def test_of_two_streams_each_may_be_silent(bus):
    async with joined(bus, *TWO_STREAMS) as inbox:
        await drained(inbox)
        for message in (fresh(), fresh(), cleared(), cleared(), fresh()):
            await bus.publish([out(message)])
            await inbox.ack([await receive(inbox, message, within=0.9)])
        assert await lag_of(inbox, 0)


async def test_what_was_not_acknowledged_of_two_streams_comes_again_to_the_next_of_the_group(bus):
    messages, group = [fresh(), cleared()], uuid.uuid4().hex
    async with joined(bus, *TWO_STREAMS, group=group) as inbox:
        await drained(inbox)
        await bus.publish([out(message) for message in messages])
        for message in messages:
            await receive(inbox, message)
    async with joined(bus, *TWO_STREAMS, group=group) as inbox:
        assert await inbox.lag() == 2
        first, second = [await receive(inbox, m, within=15) for m in messages]
        await first.retry(0.05)
        assert (await receive(inbox, messages[0])).id == first.id
        await second.bury("why not")
        await inbox.ack([first])
        assert await lag_of(inbox, 0)


async def test_the_history_of_two_streams_is_told_in_the_order_of_time(bus):
    messages = kinds_of(40)
    for message in messages:
        await bus.publish([out(message)])
    wanted = {message.tracking_id for message in messages}
    stored = [one async for one in bus.history(TWO_STREAMS, since=None)]
    assert [m for m in map(read, stored) if m.tracking_id in wanted] == messages


async def test_a_history_of_two_streams_may_be_left_in_the_middle(bus):
    await bus.publish([out(message) for message in kinds_of(4)])
    async with aclosing(bus.history(TWO_STREAMS, since=None)) as history:
        assert await anext(history)
    await bus.publish([out(fresh())])


def read(delivery):
    return BY_SUBJECT[delivery.subject].model_validate_json(delivery.data)


async def drained(inbox):
    """Settle what other tests left in the streams."""
    while await inbox.lag():
        await inbox.ack(await inbox.take(1000))
        await asyncio.sleep(0.02)


async def lag_of(inbox, number):
    """Acknowledgements travel for a moment."""
    async with asyncio.timeout(5):
        while await inbox.lag() != number:
            await asyncio.sleep(0.02)
    return True


async def test_retry_delivers_again_and_counts(bus):
    message = fresh()
    await bus.publish([out(message)])
    async with joined(bus) as inbox:
        first = await receive(inbox, message)
        await first.retry(0.05)
        again = await receive(inbox, message)
        assert (again.attempt, again.id) == (2, first.id)
        await inbox.ack([again])


async def test_bury_ends_it(bus):
    message = fresh()
    await bus.publish([out(message)])
    async with joined(bus) as inbox:
        assert await (await receive(inbox, message)).bury("no such ship")
        await nothing_of(inbox, message)


async def test_what_two_groups_of_one_owner_bury_becomes_one_dead_letter_that_says_why(bus):
    message, owner = fresh(), f"o{uuid.uuid4().hex[:8]}"
    await bus.publish([out(message)])
    made = []
    for group in (owner, f"{owner}-history"):
        async with bus.subscribe(["metrics.sampled"], group=group, owner=owner) as inbox:
            delivery = await receive(inbox, message)
            made.append(await delivery.bury("no such ship"))
    [dead] = [stored async for stored in bus.history([f"dead.{owner}"], since=None)]
    assert made == [True, False]
    assert (dead.data, dead.headers[REASON]) == (delivery.data, "no such ship")
    assert (dead.headers[SUBJECT], dead.headers[SOURCE]) == ("metrics.sampled", delivery.id)


async def test_what_was_not_acknowledged_comes_again_to_the_next_of_the_group(bus):
    message, group = fresh(), uuid.uuid4().hex
    await bus.publish([out(message)])
    async with joined(bus, group=group) as inbox:
        await receive(inbox, message)
    async with joined(bus, group=group) as inbox:
        again = await receive(inbox, message, within=15)
        assert again.attempt >= 2
        await inbox.ack([again])


async def test_two_groups_both_receive(bus):
    message = fresh()
    async with AsyncExitStack() as stack:
        inboxes = [await stack.enter_async_context(joined(bus)) for _ in range(2)]
        await bus.publish([out(message)])
        for inbox in inboxes:
            await inbox.ack([await receive(inbox, message)])


async def test_lag_counts_what_waits(bus):
    async with joined(bus) as inbox:
        while await inbox.lag():
            for delivery in await inbox.take(1000):
                await inbox.ack([delivery])
            await asyncio.sleep(0.01)
        await bus.publish([out(fresh()) for _ in range(3)])
        assert await inbox.lag() == 3


async def test_history_reads_from_a_time_on_and_settles_nothing(bus):
    old, new = fresh(), fresh()
    await bus.publish([out(old)])
    await asyncio.sleep(0.05)
    since = utc_now()
    await asyncio.sleep(0.05)
    await bus.publish([out(new)])
    read = [
        MetricSample.model_validate_json(s.data)
        async for s in bus.history(["metrics.sampled"], since=since)
    ]
    assert new in read and old not in read
    everything = [s.data async for s in bus.history(["metrics.sampled"], since=None)]
    assert old.model_dump_json().encode() in everything


async def test_newest_is_the_last_of_its_subject(bus):
    message = fresh()
    await bus.publish([out(fresh()), out(message)])
    newest = await bus.newest("metrics.sampled")
    assert newest and MetricSample.model_validate_json(newest.data) == message
    assert await bus.newest("actions.completed") is None


@pytest.fixture
def bucket(bus):
    return bus.bucket(f"b{uuid.uuid4().hex[:8]}")


async def test_a_bucket_keeps_the_last_value_of_each_key(bucket):
    assert await bucket.get("mode") is None
    await bucket.put("mode", b"port")
    await bucket.put("mode", b"at_sea")
    await bucket.put("window.1", b"{}")
    assert await bucket.get("mode") == b"at_sea"
    assert await bucket.all() == {"mode": b"at_sea", "window.1": b"{}"}


async def test_a_deleted_key_is_gone_and_may_be_put_again(bucket):
    await bucket.put("a", b"1")
    await bucket.delete("a")
    await bucket.delete("never-there")
    assert (await bucket.get("a"), await bucket.all()) == (None, {})
    await bucket.put("a", b"2")
    assert await bucket.all() == {"a": b"2"}


async def test_watching_shows_all_that_is_there_and_every_later_state(bucket):
    await bucket.put("a", b"1")
    seen = []

    async def watch():
        async for state in bucket.watch():
            seen.append(dict(state))

    watching = asyncio.create_task(watch())
    try:
        async with asyncio.timeout(10):
            for key, value, wanted in (
                (None, None, {"a": b"1"}),
                ("b", b"2", {"a": b"1", "b": b"2"}),
                ("a", None, {"b": b"2"}),
            ):
                if key:
                    await (bucket.put(key, value) if value else bucket.delete(key))
                while wanted not in seen:
                    assert not watching.done()
                    await asyncio.sleep(0.02)
        assert seen[-1] == {"b": b"2"}
    finally:
        watching.cancel()


async def test_an_empty_bucket_is_seen_as_empty(bucket):
    async with asyncio.timeout(5):
        assert await anext(bucket.watch()) == {}


@pytest.mark.parametrize("on_demand", [False, True])
async def test_no_more_messages_are_out_than_the_group_wants(bus, on_demand):
    messages = [fresh() for _ in range(3)]
    group = f"g{uuid.uuid4().hex[:8]}"
    async with bus.subscribe(
        ["metrics.sampled"], group=group, max_ack_pending=2, pull_on_demand=on_demand
    ) as inbox:
        await bus.publish([out(message) for message in messages])
        first = await receive(inbox, messages[0])
        assert await receive(inbox, messages[1])
        await nothing_of(inbox, messages[2])
        await inbox.ack([first])
        assert await receive(inbox, messages[2])


async def test_pulled_on_demand_all_that_waits_comes_at_once(bus):
    async with bus.subscribe(
        ["metrics.sampled"], group=f"g{uuid.uuid4().hex[:8]}", pull_on_demand=True
    ) as inbox:
        messages = [fresh() for _ in range(600)]
        before = set()
        while lag := await inbox.lag():  # what other tests left in the stream
            old = await inbox.take(lag)
            before |= {delivery.id for delivery in old}
            await inbox.ack(old)
            await asyncio.sleep(0.05)
        await bus.publish([out(message) for message in messages])
        async with asyncio.timeout(5):
            taken = await inbox.take(1000)
            assert [MetricSample.model_validate_json(d.data) for d in taken] == messages
            assert not before & {delivery.id for delivery in taken}
            await inbox.ack(taken)
            taking = asyncio.create_task(inbox.take(1000))
            await asyncio.sleep(0.5)
            await bus.publish([out(later := fresh())])
            [delivery] = await taking
        assert MetricSample.model_validate_json(delivery.data) == later


async def test_a_group_that_took_nothing_has_reached_nothing(bus):
    assert (
        await bus.offset(["metrics.sampled"], group=f"g{uuid.uuid4().hex[:8]}") == ConsumerOffset()
    )


async def test_how_far_a_group_has_come_is_known_by_what_it_settled_and_what_it_got(bus):
    group, messages = f"g{uuid.uuid4().hex[:8]}", [fresh() for _ in range(3)]
    async with joined(bus, group=group) as inbox:
        await bus.publish([out(message) for message in messages])
        first, second, third = [await receive(inbox, message) for message in messages]
        places = [delivery.sequence for delivery in (first, second, third)]
        await inbox.ack([first, third])
        offset = await acked_up_to(bus, group, places[0])
        assert (offset.ack_floor, offset.delivered) == (places[0], places[2])
        await inbox.ack([second])
        offset = await acked_up_to(bus, group, places[2])
        assert (offset.ack_floor, offset.delivered) == (places[2], places[2])


async def acked_up_to(bus, group, place):
    """How far *group* has come, once it is that far: acknowledgements travel for a moment."""
    async with asyncio.timeout(5):
        while (offset := await bus.offset(["metrics.sampled"], group=group)).ack_floor < place:
            await asyncio.sleep(0.02)
    return offset


@asynccontextmanager
async def killed(bus):
    """Subscribes for a process that is killed at the end: it hands nothing back."""
    group = f"g{uuid.uuid4().hex[:8]}"
    if isinstance(bus, MemoryBus):
        async with joined(bus, group=group) as inbox:
            yield group, inbox
            bus.kill(group)
        return
    url = bus.client.connected_url.geturl()
    async with nats_bus(url) as other, joined(other, group=group) as inbox:
        yield group, inbox
        inbox._in_flight.clear()


async def test_what_a_killed_process_had_in_hand_comes_again_after_the_ack_wait(hasty):
    messages = [fresh(float(n)) for n in range(3)]
    await hasty.publish([out(message) for message in messages])
    async with killed(hasty) as (group, inbox):
        taken = [await receive(inbox, message) for message in messages]
        await inbox.ack(taken[:1])
        await asyncio.sleep(0.1)
    async with joined(hasty, group=group) as inbox:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.take(10), ACK_WAIT / 4)
        again = [await receive(inbox, message) for message in messages[1:]]
        assert [delivery.attempt for delivery in again] == [2, 2]
        await inbox.ack(again)


async def test_what_is_in_hand_for_longer_than_the_ack_wait_is_not_delivered_again(hasty):
    message = fresh()
    await hasty.publish([out(message)])
    async with joined(hasty) as inbox:
        delivery = await receive(inbox, message)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.take(1), 2.5 * ACK_WAIT)
        await inbox.ack([delivery])
        assert await lag_after_acks(inbox) == 0


async def lag_after_acks(inbox):
    """The lag when the acknowledgements have arrived."""
    await asyncio.sleep(0.1)
    return await inbox.lag()


async def test_an_id_is_known_for_the_duplicate_window_and_not_longer(hasty):
    message = fresh()
    async with joined(hasty) as inbox:
        for _ in range(2):
            await hasty.publish([out(message, "once")])
        await inbox.ack([await receive(inbox, message)])
        await nothing_of(inbox, message)
        await asyncio.sleep(2 * WINDOW)
        await hasty.publish([out(message, "once")])
        await inbox.ack([await receive(inbox, message)])


def huge():
    return fresh().model_copy(update={"host": "h" * 1024 * 1024})


async def test_what_is_larger_than_the_broker_takes_is_rejected(bus):
    with pytest.raises(Reject, match="larger"):
        await bus.publish([out(huge())])


@pytest.mark.parametrize("others", [1, 10])
async def test_with_one_that_is_too_large_nothing_of_its_cause_is_stored(bus, others):
    cause = f"svc/LOGS/{uuid.uuid4().int}"
    messages = [fresh(float(n)) for n in range(others)]
    batch = [*messages, huge()]
    async with joined(bus) as inbox:
        with pytest.raises(Reject):
            await bus.publish([out(m, f"{cause}/{n}") for n, m in enumerate(batch)])
        await nothing_of(inbox, messages[0])
        later = fresh()
        await bus.publish([out(m, f"{cause}/{n}") for n, m in enumerate(messages)])
        await bus.publish([out(later)])
        for message in (*messages, later):
            await inbox.ack([await receive(inbox, message)])


async def test_after_one_that_was_too_large_the_others_can_be_published_once_each(bus):
    causes = [f"svc/LOGS/{uuid.uuid4().int}" for _ in range(8)]
    outgoing = [out(fresh(float(n)), f"{cause}/0") for n, cause in enumerate(causes)]
    outgoing[5] = out(huge(), f"{causes[5]}/0")
    async with joined(bus) as inbox:
        with pytest.raises(Reject):
            await bus.publish(outgoing)
        rest = outgoing[:5] + outgoing[6:]
        for one in rest:
            await bus.publish([one])
        wanted = [one.message for one in rest]
        got = []
        async with asyncio.timeout(5):
            while len(got) < len(wanted):
                for delivery in await inbox.take(100):
                    message = MetricSample.model_validate_json(delivery.data)
                    got += [message] if message in wanted else []
                    await inbox.ack([delivery])
        await nothing_of(inbox, wanted[0])
    assert got == wanted


async def test_what_is_put_off_counts_as_out(bus):
    messages = [fresh() for _ in range(3)]
    async with bus.subscribe(
        ["metrics.sampled"], group=f"g{uuid.uuid4().hex[:8]}", max_ack_pending=2
    ) as inbox:
        await bus.publish([out(message) for message in messages])
        first = await receive(inbox, messages[0])
        second = await receive(inbox, messages[1])
        await first.retry(1.0)
        await nothing_of(inbox, messages[2])
        assert await inbox.lag() >= 3
        again = await receive(inbox, messages[0])
        await inbox.ack([again, second])
        await inbox.ack([await receive(inbox, messages[2])])


@pytest.mark.parametrize("count", [1, 3, 20])
async def test_publishing_says_what_was_not_stored_before(bus, count):
    first, second = ([out(fresh()) for _ in range(count)] for _ in range(2))
    assert await bus.publish([]) == set()
    assert await bus.publish(first) == {item.id for item in first}
    assert await bus.publish([*first, *second]) == {item.id for item in second}
    assert await bus.publish([*second, *second]) == set()
    twice = out(fresh())
    assert await bus.publish([twice, out(cleared(), "facts"), twice]) >= {twice.id}
