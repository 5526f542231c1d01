"""A correlation that fails once, anywhere, and is retried: the incidents of an undisturbed run.

What the runtime does after a failure is done here by hand: the state is built anew from what is
published, and the message comes again (``Service.rebuild``).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from inspect import CO_GENERATOR
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import correlation_service
from aiops_core.errors import Unavailable
from aiops_core.models import EnrichedAnomaly, Message
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.launch import Context
from aiops_lab.memory_bus import MemoryBus
from correlation_service.__main__ import recipe
from correlation_service.correlator import Correlator
from correlation_service.handler import Correlation
from tests.conftest import ROOT
from tests.correlation_cases import POLICY, SHIP, Book, Merging, anomaly, joined, reborn
from tests.runtime_cases import running, until
from tests.unit.aiops_core.test_silences import silence
from tests.unit.correlation_service.test_properties import ends, merged

HOME = str(Path(correlation_service.__file__).parent)
STEPS = 400  # calls within one message that are tried; few take more


class Failed(RuntimeError):
    """What the test makes a step fail with."""


@contextmanager
def failing_at(step: int) -> Iterator[None]:
    """The *step*th call of a function of correlation-service fails."""
    left = step

    def watch(frame, event, _):
        nonlocal left
        code = frame.f_code  # a generator is also called to be closed, where nobody hears of it
        ours = code.co_filename.startswith(HOME) and not code.co_flags & CO_GENERATOR
        if event == "call" and ours:
            left -= 1
            if left == 0:
                sys.setprofile(None)
                raise Failed

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


def fresh() -> Correlator:
    correlator = Correlator(POLICY)
    correlator.use(SHIP)
    return correlator


def restored(stream: list[Message], size: int) -> Correlator:
    correlator = fresh()
    for fact in joined(stream, size):
        correlator.evolve(fact)
    return correlator


def run(history, fails: Callable[[int], int] = lambda n: 0, size: int = 1, correlator=None):
    """What is in the stream after *history*, and the correlator; the *n*th message fails once at
    the step that *fails* says (0: not at all)."""
    correlator, stream = correlator or fresh(), []
    for n, event in enumerate(history):
        for cause in event.among(correlator) if isinstance(event, Merging) else [event]:
            facts: list[Message] | None = None
            known = [] if isinstance(cause, EnrichedAnomaly) else [cause]
            if step := fails(n):
                try:
                    with failing_at(step):
                        facts = list(correlator.handle(cause))
                except Failed:
                    correlator = restored([*stream, *known], size)
            stream += known
            stream += list(correlator.handle(cause)) if facts is None else facts
    return stream, correlator


@settings(max_examples=500)
@given(merged(), st.data())
def test_a_message_that_fails_once_at_any_step_changes_nothing(history, data):
    undisturbed, correlator = run(history)
    at = data.draw(st.integers(0, max(len(history) - 1, 0)))
    step = data.draw(st.integers(1, STEPS))
    disturbed, other = run(history, lambda n: step if n == at else 0)
    assert disturbed == undisturbed
    assert ends(other) == ends(correlator)


@settings(max_examples=500)
@given(merged(), st.lists(st.integers(0, STEPS), min_size=1, max_size=7), st.integers(1, 40))
def test_many_failures_change_nothing_either(history, steps, size):
    undisturbed, correlator = run(history)
    disturbed, other = run(history, lambda n: steps[n % len(steps)], size)
    assert disturbed == undisturbed
    assert ends(other) == ends(correlator)


def test_the_steps_do_fail():
    correlator = fresh()
    with pytest.raises(Failed), failing_at(3):
        correlator.handle(anomaly(1))


class Breaking(MemoryBus):
    """A broker that goes away after *left* more entries were read; 0: never."""

    left = 0

    async def history(self, subjects, *, since):
        async for stored in super().history(subjects, since=since):
            yield stored
            self.left -= 1
            if self.left == 0:
                raise Unavailable("nats: the history broke off")


def published(stream: list[Message], size: int) -> Breaking:
    bus = Breaking()
    for fact in joined(stream, size):
        bus.put(fact.subject, fact.model_dump_json().encode())
    return bus


@settings(max_examples=1000)
@given(merged(), st.integers(0, 45), st.integers(1, 60), st.integers(1, 40))
def test_a_recovery_that_is_interrupted_and_repeated_changes_nothing(history, at, entry, size):
    async def interrupted() -> Correlator:
        correlation, bus = Correlation(POLICY, one := published(stream, size)), one
        bus.left = entry
        for _ in range(2):
            with suppress(Unavailable):
                await correlation.recover(bus)
        return correlation.correlator

    stream, undisturbed = run(history[:at], correlator=Correlator(POLICY))
    other = asyncio.run(interrupted())
    told, _ = run(history[at:], correlator=undisturbed)
    assert run(history[at:], correlator=other)[0] == told
    assert ends(other) == ends(undisturbed)


async def test_until_a_recovery_is_complete_the_former_state_is_in_force():
    stream, _ = run([anomaly(n, f"srv-{n}") for n in range(3)])
    correlation, bus = Correlation(POLICY, one := published(stream, 1)), one
    before = correlation.correlator
    bus.left = 2
    with pytest.raises(Unavailable):
        await correlation.recover(bus)
    assert correlation.correlator is before
    assert len(before.state.open.incidents) == 0


async def test_what_people_declare_is_in_force_in_the_state_that_is_built_anew():
    bus = MemoryBus()
    one = silence()
    await bus.bucket("silences").put(one.id, one.model_dump_json().encode())
    correlation = Correlation(POLICY, bus)
    for _ in range(2):
        await correlation.recover(bus)
        assert len(correlation.correlator.suppression.silences) == 1


async def test_what_cannot_be_read_in_the_stream_is_skipped():
    stream, correlator = run([anomaly(n) for n in range(3)], correlator=Correlator(POLICY))
    bus = MemoryBus()
    for fact in stream:
        for bad in (b"", b"{", b"\xff", b'{"schema_version": "9.0"}'):
            bus.put(fact.subject, bad)
        bus.put(fact.subject, fact.model_dump_json().encode())
    again = await reborn(bus)
    assert [again.handle(anomaly(n)) for n in range(3)] == [[], [], []]
    assert again.handle(anomaly(9)) == correlator.handle(anomaly(9))


async def served(failing: int) -> list[Message]:
    """What the service publishes of fifty anomalies; the *failing*th that is handled fails once,
    half-way."""
    bus, handled, left = MemoryBus(retry_speed=0.001), Correlator._correlate, failing
    settings_ = Settings(policies=ROOT / "policies")

    def fails(self, *arguments):
        nonlocal left
        left -= 1
        facts = handled(self, *arguments)
        if left == 0:
            raise Failed
        return facts

    with patch.object(Correlator, "_correlate", fails):
        context = Context(settings_, bus, Readiness("test"))
        async with recipe(context) as service, running(bus, service):
            for n in range(50):
                kind = ("link_down", "service_error", "log_error")[n % 3]
                await bus.publish([Outgoing(anomaly(n, f"srv-{n % 7}", kind), f"a{n}")])
            await until(lambda: len(set(bus.acked)) == 50)
    return [m for m in bus.published if not isinstance(m, EnrichedAnomaly)]


async def test_the_service_itself_builds_its_state_anew_and_goes_on():
    undisturbed = Book().read(await served(failing=0))
    for failing in (1, 2, 17, 50):
        disturbed = Book().read(await served(failing))
        assert disturbed.told == undisturbed.told
        assert disturbed.groups == undisturbed.groups
