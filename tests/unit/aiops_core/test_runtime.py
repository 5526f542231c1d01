"""What the runtime promises every service, on a bus in memory."""

import asyncio
import json

import pytest

from aiops_core.errors import Reject, Unavailable
from aiops_core.models import AnomalyDetected, LogEntry, MetricSample
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.acks import FAILURES
from aiops_core.runtime.backoff import Backoff
from aiops_core.runtime.bus import LARGEST
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service, Tuning
from aiops_core.runtime.storing import Storing
from aiops_core.utils import StructuredLogger
from aiops_lab.memory_bus import MemoryBus
from tests.conftest import NOON, line, sample
from tests.runtime_cases import anomaly_of, found, nothing, out, running, until

SAMPLES = MetricSample.subject


async def test_what_is_logged_while_a_message_is_handled_names_its_tracking_id(capsys):
    StructuredLogger.configure("info")
    log = StructuredLogger.get_logger(name="n", service="s", version="1")
    bus = MemoryBus()

    async def handle(received):
        log.info("odd")
        return []

    await bus.publish([out(line("x"))])
    async with running(bus, Service("s", {LogEntry: handle})):
        await until(lambda: bus.acked)
    said = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    ids = {one["event"]: one.get("tracking_id") for one in said}
    assert ids["odd"] == "l0"
    assert ids["serving"] is ids["stopped"] is None


async def test_what_a_handler_returns_is_published_before_the_ack():
    bus = MemoryBus()

    async def handle(received):
        message = received.message
        assert not bus.acked
        return [anomaly_of(message)]

    await bus.publish([out(line("x"))])
    async with running(bus, Service("s", {LogEntry: handle})):
        await until(lambda: bus.acked)
    assert bus.published[-1].tracking_id == "l0"


async def test_effects_carry_the_stage_and_keep_the_earlier_ones():
    bus = MemoryBus()
    await bus.publish([out(line("x", stages={"ingest": NOON}))])
    async with running(bus, Service("s", {LogEntry: found}, Publishing(stage="detect"))):
        await until(lambda: bus.acked)
    assert bus.published[-1].stages.keys() == {"ingest", "detect"}


async def test_a_client_that_does_not_stamp_is_stamped_by_the_broker():
    bus = MemoryBus()
    bus.put(LogEntry.subject, line("x").model_dump_json().encode())
    async with running(bus, Service("s", {LogEntry: found}, Publishing(stage="detect"))):
        await until(lambda: bus.acked)
    assert bus.published[-1].stages["ingest"] == bus.stored[0].at


async def test_several_subjects_go_to_their_handlers():
    bus, logs, metrics = MemoryBus(), [], []

    async def on_log(received):
        message = received.message
        logs.append(message)
        return []

    async def on_metric(received):
        message = received.message
        metrics.append(message)
        return []

    await bus.publish([out(line("x")), out(sample(1))])
    async with running(bus, Service("s", {LogEntry: on_log, MetricSample: on_metric})):
        await until(lambda: len(bus.acked) == 2)
    assert (logs[0].msg, metrics[0].value) == ("x", 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"value": 1}', "tracking_id"),
        (b"{not json", "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"", "JSON"),
        (b"[]", "object"),
        (
            b'{"tracking_id":"t","ship_id":"s","ts":"0001-01-01T00:00:00+02:00","metric":"m"}',
            "no equivalent in UTC",
        ),
        (b'"' + b"x" * LARGEST + b'"', "limit"),
    ],
)
async def test_malformed_is_buried_with_a_reason_and_the_rest_is_handled(data, reason):
    bus = MemoryBus()
    await bus.publish([out(sample(1, n=1))])
    bus.put(SAMPLES, data)
    await bus.publish([out(sample(1, n=2))])
    async with running(bus, Service("s", {MetricSample: nothing})):
        await until(lambda: len(bus.acked) == 2 and bus.buried)
    assert reason in bus.buried[0][1]


async def test_what_two_consumers_of_one_service_bury_is_counted_once():
    bus, counted = MemoryBus(), metrics.DEAD_LETTERS.labels("twins")
    bus.put(SAMPLES, b"{")
    before = counted._value.get()
    history = Service("twins", {MetricSample: nothing}, consumer="twins-history")
    async with running(bus, Service("twins", {MetricSample: nothing})), running(bus, history):
        await until(lambda: len(bus.buried) == 2)
    assert counted._value.get() == before + 1


async def test_rejected_is_buried_at_once():
    bus = MemoryBus()
    await bus.publish([out(sample(1))])

    async def refuse(_):
        raise Reject("unknown ship")

    async with running(bus, Service("s", {MetricSample: refuse})):
        await until(lambda: bus.buried)
    assert bus.buried[0][1] == "unknown ship"


async def test_a_bug_is_retried_and_then_buried_while_others_go_on():
    bus, calls = MemoryBus(retry_speed=0), 0
    await bus.publish([out(sample(-1, n=1)), out(sample(1, n=2))])

    async def handle(received):
        message = received.message
        nonlocal calls
        if message.value < 0:
            calls += 1
            raise ZeroDivisionError
        return []

    async with running(bus, Service("s", {MetricSample: handle})):
        await until(lambda: bus.buried and bus.acked)
    assert calls == FAILURES


def storing(flush):
    return Service("s", {MetricSample: nothing}, Storing(flush, every=0.01))


async def test_messages_are_acknowledged_after_the_flush_that_waits_for_the_store(monkeypatch):
    monkeypatch.setattr(Backoff, "after", lambda *_: 0.0)
    bus, tries = MemoryBus(), 0
    await bus.publish([out(sample(1, n=n)) for n in range(3)])

    async def flush():
        nonlocal tries
        tries += 1
        if tries < 3:
            assert not bus.acked
            raise Unavailable("store is away")
        return {}

    async with running(bus, storing(flush)):
        await until(lambda: len(bus.acked) == 3)
        assert tries >= 3


async def test_messages_are_handled_while_a_flush_is_under_way():
    bus, release, handled = MemoryBus(), asyncio.Event(), []

    async def flush():
        await release.wait()
        return {}

    async def handle(received):
        handled.append(received.message)
        return []

    async with running(bus, Service("s", {MetricSample: handle}, Storing(flush, every=0.01))):
        await bus.publish([out(sample(1, n=1))])
        await until(lambda: len(handled) == 1)
        await asyncio.sleep(0.02)
        await bus.publish([out(sample(1, n=2))])
        await until(lambda: len(handled) == 2)
        assert not bus.acked
        release.set()
        await until(lambda: len(bus.acked) == 2)


async def test_what_is_handled_during_a_flush_is_acknowledged_after_the_next():
    bus, flushes, gates = MemoryBus(), 0, [asyncio.Event(), asyncio.Event()]

    async def flush():
        nonlocal flushes
        flushes += 1
        if flushes <= len(gates):
            await gates[flushes - 1].wait()
        return {}

    async with running(bus, storing(flush)):
        await until(lambda: flushes == 1)
        await bus.publish([out(sample(1))])
        await asyncio.sleep(0.02)
        gates[0].set()
        await until(lambda: flushes == 2)
        assert not bus.acked
        gates[1].set()
        await until(lambda: bus.acked)


async def test_a_message_that_the_store_can_never_take_is_buried_and_the_others_acknowledged():
    bus = MemoryBus()
    await bus.publish([out(sample(1, n=n)) for n in range(3)])

    async def flush():
        return {(SAMPLES, 2): "no such column"}

    async with running(bus, storing(flush)):
        await until(lambda: len(bus.acked) == 2)
    assert [reason for _, reason in bus.buried] == ["no such column"]


async def test_what_is_refused_before_its_batch_is_complete_is_buried_after_that():
    bus, refused = MemoryBus(), asyncio.Event()
    await bus.publish([out(sample(1, n=n)) for n in range(3)])

    async def handle(received):
        if received.sequence == 3:
            await refused.wait()
        return []

    async def flush():
        if refused.is_set():
            return {}
        refused.set()
        return {(SAMPLES, 2): "no such column"}

    service = Service("s", {MetricSample: handle}, Storing(flush, every=0.01))
    async with running(bus, service):
        await until(lambda: len(bus.acked) == 2 and bus.buried)
    assert [reason for _, reason in bus.buried] == ["no such column"]


async def test_handlers_of_a_service_that_stores_cause_nothing():
    bus = MemoryBus()
    await bus.publish([out(line("x"))])
    service = Service("s", {LogEntry: found}, Storing(lambda: nothing(None)))
    with pytest.raises(ExceptionGroup, match="unhandled"):
        async with asyncio.timeout(5):
            await Runtime(service, bus, Readiness("s")).run()


async def test_no_more_messages_wait_for_a_flush_than_the_service_wants():
    bus, release, handled = MemoryBus(), asyncio.Event(), []

    async def flush():
        await release.wait()
        return {}

    async def handle(received):
        handled.append(received.message)
        return []

    sink, tuning = Storing(flush, every=0.01), Tuning(max_ack_pending=2)
    async with running(bus, Service("s", {MetricSample: handle}, sink, tuning=tuning)):
        await bus.publish([out(sample(1, n=n)) for n in range(3)])
        await until(lambda: len(handled) == 2)
        await asyncio.sleep(0.02)
        assert len(handled) == 2
        release.set()
        await until(lambda: len(bus.acked) == 3)


async def test_a_stop_waits_for_the_last_flush_and_does_not_wait_for_its_turn():
    bus = MemoryBus()
    await bus.publish([out(sample(1))])

    async def flush():
        await asyncio.sleep(0.1)
        return {}

    engine = Runtime(
        Service("s", {MetricSample: nothing}, Storing(flush, every=60)), bus, Readiness("s")
    )
    serving = asyncio.create_task(engine.run())
    await asyncio.sleep(0.05)
    engine.stop.set()
    await asyncio.wait_for(serving, 1)
    assert len(bus.acked) == 1


async def test_two_services_flush_at_different_moments_of_the_same_interval():
    began, moments = asyncio.get_running_loop().time(), {0.0: [], 0.1: []}
    clock = asyncio.get_running_loop().time

    def service(phase):
        async def flush():
            moments[phase].append(clock() % 0.2)
            return {}

        sink = Storing(flush, every=0.2, phase=phase)
        return Service("s", {MetricSample: nothing}, sink, consumer=f"s-{phase}")

    bus = MemoryBus()
    async with running(bus, service(0.0)), running(bus, service(0.1)):
        await until(lambda: clock() - began > 0.45)
    assert all(one < 0.05 for one in moments[0.0][:2])
    assert all(0.1 <= one < 0.15 for one in moments[0.1][:2])


async def test_recovery_comes_before_the_first_message_and_is_repeated_until_it_works(monkeypatch):
    monkeypatch.setattr(Backoff, "after", lambda *_: 0.0)
    bus, order = MemoryBus(), []
    await bus.publish([out(sample(1))])

    async def recover(_):
        order.append("recover")
        if len(order) < 2:
            raise Unavailable

    async def handle(_):
        order.append("handle")
        return []

    async with running(bus, Service("s", {MetricSample: handle}, recover=recover)):
        await until(lambda: bus.acked)
    assert order == ["recover", "recover", "handle"]


async def test_linger_gathers_what_arrives_between_two_batches():
    bus, publications = MemoryBus(), []

    def published(messages):
        publications.append(len(messages))

    sink, tuning = Publishing(on_published=published), Tuning(linger=0.1)
    async with running(bus, Service("s", {LogEntry: found}, sink, tuning=tuning)):
        for n in range(10):
            await bus.publish([out(line("x", n=n))])
            await asyncio.sleep(0.001)
        await until(lambda: len(bus.acked) == 10)
    assert len(publications) == 2  # the first message goes at once


async def test_a_full_batch_does_not_linger():
    bus, tuning = MemoryBus(), Tuning(max_batch=2, linger=60)
    await bus.publish([out(sample(1, n=n)) for n in range(10)])
    async with running(bus, Service("s", {MetricSample: nothing}, tuning=tuning)):
        await until(lambda: len(bus.acked) == 10)


async def test_merge_joins_the_effects_of_a_batch():
    bus = MemoryBus()
    await bus.publish([out(line("x", n=n)) for n in range(3)])
    service = Service("s", {LogEntry: found}, sink=Publishing(merge=lambda effects: effects[:1]))
    async with running(bus, service):
        await until(lambda: len(bus.acked) == 3)
    assert len(bus.of(AnomalyDetected)) == 1


async def test_time_passes_by_ticks():
    bus = MemoryBus()
    service = Service(
        "s",
        {LogEntry: nothing},
        tick=lambda now: [out(anomaly_of(line("tick")), "once")],
        tick_every=0.01,
    )
    async with running(bus, service):
        await until(lambda: bus.of(AnomalyDetected))
    assert len(bus.of(AnomalyDetected)) == 1


async def test_stop_waits_for_what_is_in_flight():
    bus, started, release = MemoryBus(), asyncio.Event(), asyncio.Event()
    await bus.publish([out(sample(1))])

    async def slow(_):
        started.set()
        await release.wait()
        return []

    engine = Runtime(Service("slow", {MetricSample: slow}), bus, Readiness("slow"))
    serving = asyncio.create_task(engine.run())
    await started.wait()
    assert engine.readiness.state == "serving"
    engine.stop.set()
    await asyncio.sleep(0.02)
    assert not serving.done() and not bus.acked and engine.readiness.state == "draining"
    release.set()
    await serving
    assert bus.acked and engine.readiness.state == "stopped"


async def test_stop_does_not_wait_longer_than_the_grace_and_the_message_comes_again():
    bus, started = MemoryBus(), asyncio.Event()
    await bus.publish([out(sample(1))])

    async def stuck(_):
        started.set()
        await asyncio.Event().wait()

    service = Service("stuck", {MetricSample: stuck}, tuning=Tuning(drain_timeout=0.05))
    engine = Runtime(service, bus, Readiness("stuck"))
    serving = asyncio.create_task(engine.run())
    await started.wait()
    engine.stop.set()
    await serving
    assert not bus.acked
    async with running(bus, Service("stuck", {MetricSample: nothing})):
        await until(lambda: bus.acked)


async def test_a_stop_ends_the_pulling_however_much_waits():
    bus, started = MemoryBus(), asyncio.Event()
    await bus.publish([out(sample(1, n=n)) for n in range(50)])

    async def handle(_):
        started.set()
        await asyncio.sleep(0.01)
        return []

    engine = Runtime(
        Service("s", {MetricSample: handle}, tuning=Tuning(max_batch=1)), bus, Readiness("s")
    )
    serving = asyncio.create_task(engine.run())
    await started.wait()
    engine.stop.set()
    await serving
    assert len(bus.acked) == 1


async def test_a_full_concurrent_service_stops_pulling():
    bus, release, seen = MemoryBus(), asyncio.Event(), 0
    await bus.publish([out(sample(1, n=n)) for n in range(5)])

    async def count(_):
        nonlocal seen
        seen += 1
        await release.wait()
        return []

    async with running(bus, Service("full", {MetricSample: count}, tuning=Tuning(concurrency=2))):
        await asyncio.sleep(0.05)
        assert seen == 2
        release.set()
        await until(lambda: len(bus.acked) == 5)


async def test_a_background_loop_lives_with_the_service_and_its_failure_ends_it():
    bus = MemoryBus()

    async def fails():
        raise RuntimeError("the loop broke")

    engine = Runtime(Service("s", {MetricSample: nothing}, background=[fails]), bus, Readiness("s"))
    with pytest.raises(ExceptionGroup) as failure:
        async with asyncio.timeout(5):
            await engine.run()
    assert "the loop broke" in str(failure.value.exceptions)
