"""Whom the model is asked about next, and when it is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aiops_core.models import Severity
from llm_enricher.answering.breaker import Breaker
from llm_enricher.answering.queue import CallQueue

LOW, HIGH, CRITICAL = Severity.LOW, Severity.HIGH, Severity.CRITICAL


def test_five_failures_in_a_row_open_it_for_a_minute_then_one_may_try():
    breaker = Breaker(5, 60)
    for n in range(5):
        assert breaker.admits(n)
        breaker.failed(n)
    assert [breaker.state(t) for t in (4, 63.9, 64)] == ["open", "open", "half-open"]
    assert not breaker.admits(10)
    assert breaker.wait(24) == 40
    assert [breaker.admits(64) for _ in range(3)] == [True, False, False]
    breaker.failed(65)
    assert breaker.state(124) == "open"
    assert breaker.admits(125)
    breaker.succeeded()
    assert breaker.state(125) == "closed"
    assert all(breaker.admits(126) for _ in range(3))


def test_a_success_between_failures_begins_the_count_anew():
    breaker = Breaker(2, 60)
    for _ in range(9):
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) == "closed"


def test_a_try_that_is_given_up_leaves_its_place_to_the_next():
    breaker = Breaker(1, 60)
    breaker.failed(0)
    assert breaker.admits(60)
    breaker.gave_up()
    assert breaker.state(60) == "half-open"
    assert breaker.admits(60)


def test_the_most_severe_goes_first_then_who_has_waited_longest():
    queue = CallQueue(9)
    for name, severity in (("a", LOW), ("b", HIGH), ("c", CRITICAL), ("d", HIGH)):
        assert queue.offer(name, severity).placed
    assert [queue.take().incident_id for _ in range(4)] == ["c", "b", "d", "a"]
    assert queue.take() is None


def test_a_full_queue_takes_a_worse_one_for_the_newest_of_the_least_severe():
    queue = CallQueue(3)
    for name, severity in (("a", LOW), ("b", LOW), ("c", HIGH)):
        queue.offer(name, severity)
    assert queue.offer("d", LOW) == (False, None)
    assert queue.offer("e", CRITICAL) == (True, "b")
    assert queue.offer("f", HIGH) == (True, "a")
    assert queue.offer("g", HIGH) == (False, None)
    assert [queue.take().incident_id for _ in range(3)] == ["e", "c", "f"]


def test_one_that_waits_already_keeps_its_place_and_takes_the_new_severity():
    queue = CallQueue(2)
    for name in ("a", "b"):
        queue.offer(name, HIGH)
    assert queue.offer("a", HIGH) == (True, None)
    assert queue.offer("b", CRITICAL) == (True, None)
    assert (len(queue), queue.take().incident_id) == (2, "b")
    assert queue.discard("a")
    assert not queue.discard("a")


def test_one_that_comes_back_has_the_place_that_it_had():
    queue = CallQueue(2)
    queue.offer("a", HIGH)
    taken = queue.take()._replace(failures=1)
    for name in ("b", "c"):
        queue.offer(name, HIGH)
    assert queue.offer("a", HIGH, taken) == (True, "c")
    assert queue.take() == taken


@given(st.lists(st.tuples(st.sampled_from(Severity), st.booleans()), max_size=60))
def test_nobody_disappears_unnamed(steps):
    """Everybody who was offered is served, refused, pushed out by name, or still there."""
    queue, waiting, severities = CallQueue(5), set(), {}
    for n, (severity, serve) in enumerate(steps):
        if serve:
            served = queue.take()
            assert (served is None) == (not waiting)
            if served:
                worst = max(severities[one].rank for one in waiting)
                assert served.severity.rank == worst
                waiting.remove(served.incident_id)
            continue
        offer = queue.offer(str(n), severity)
        severities[str(n)] = severity
        if offer.placed:
            waiting.add(str(n))
        else:
            assert min(severities[one].rank for one in waiting) >= severity.rank
        if offer.left:
            assert severities[offer.left].rank < severity.rank
            waiting.remove(offer.left)
        assert len(queue) == len(waiting) <= 5
