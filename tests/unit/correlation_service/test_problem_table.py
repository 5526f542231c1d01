"""Problems are bounded, outlast the stream, and are the same after a kill."""

import gc
import time
import tracemalloc
from datetime import timedelta
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aiops_core.models import BY_SUBJECT, Recurrence, Severity
from correlation_service import problem_table
from correlation_service.correlator import Correlator
from correlation_service.problem import OCCURRENCES_KEPT, KnownProblem, Start
from correlation_service.problem_table import PROBLEMS_KEPT, WAITING_KEPT
from correlation_service.problems import Problems
from tests.conftest import NOON
from tests.correlation_cases import POLICY, anomaly, cleared, snapshot
from tests.problem_cases import Ship, by_person, edited

MINUTE, HOUR = 60, 3600


def start(n, occurrence=1, at=None):
    name = f"problem-{n}"
    return Start(
        recurrence=Recurrence(problem_id=name, occurrence=occurrence),
        incident=f"incident-{n}",
        revision=2 * occurrence,
        ship="s1",
        signature=f"{n:016x}",
        at=NOON + timedelta(minutes=17 * occurrence) if at is None else at,
        severity=Severity.MEDIUM,
        device=f"device-{n}",
        announce=occurrence == 1,
    )


def filled(most=PROBLEMS_KEPT, occurrences=1):
    problems = Problems(POLICY)
    for n in range(most):
        problems.begin(start(n))
        table = problems.table
        many = tuple(
            table.get(f"problem-{n}").latest._replace(
                began=NOON + k * timedelta(minutes=17), ended=NOON + k * timedelta(minutes=18)
            )
            for k in range(occurrences)
        )
        table.put(table.get(f"problem-{n}").but(occurrences=many, count=occurrences))
    return problems


def test_the_least_recently_seen_problem_goes_first():
    problems = filled()
    problems.begin(start(0, occurrence=2))
    problems.begin(start(PROBLEMS_KEPT))
    table = problems.table
    assert len(table) == PROBLEMS_KEPT
    assert table.get("problem-0") and table.get("problem-1") is None
    assert table.with_signature(f"{1:016x}") is None and table.of_incident("incident-1") is None


def test_one_that_waits_is_not_forgotten_as_its_incident_is_open():
    problems = filled(3)
    table = problems.table
    table.put(table.get("problem-0").but(ending="waiting"))
    with patch.object(problem_table, "PROBLEMS_KEPT", 3):
        for n in (1, 2, 3, 4):
            problems.begin(start(n, occurrence=2))
    assert len(table) == 3 and table.get("problem-0")


def test_too_many_that_wait_are_over_the_longest_waiting_first():
    problems = filled(WAITING_KEPT + 2)
    for problem in list(problems.table):
        problems.table.put(problem.but(ending="waiting", until=NOON + timedelta(days=9)))
    assert [one.id for one in problems.stopped(NOON)] == ["problem-0", "problem-1"]


def test_occurrences_and_signatures_are_bounded():
    problems = Problems(POLICY)
    for n in range(1, 100):
        problems.begin(start(0, occurrence=n))
    [problem] = problems.table
    assert problem.count == 99 and len(problem.occurrences) == OCCURRENCES_KEPT
    for n in range(40):
        problem = problem.but(count=1).learned(f"root-{n}", is_known=False)
    assert len(problem.signatures) <= 16


@pytest.mark.slow
def test_five_thousand_problems_take_less_than_a_hundred_megabytes():
    gc.collect()
    tracemalloc.start()
    problems = filled(occurrences=OCCURRENCES_KEPT)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(problems.table) == PROBLEMS_KEPT
    assert size < 100e6


def test_to_find_a_problem_takes_microseconds():
    problems = filled()
    began = time.perf_counter()
    for n in range(10_000):
        problems.table.with_signature(f"{n:016x}")
    assert time.perf_counter() - began < 0.5  # 50 microseconds each, on a busy machine


# --- saving


def chronic():
    ship = Ship()
    ship.says(*(anomaly(n, at=n * 17 * MINUTE) for n in range(8)))
    ship.after(minutes=10)
    return ship


def test_a_problem_is_read_back_as_it_was_written():
    [problem] = chronic().problems
    assert problem.cadence and problem.told.gap
    assert KnownProblem.model_validate_json(problem.model_dump_json()) == problem


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{}",
        b"\xff",
        {"occurrences": []},
        {"count": 0},
        {"occurrences": [["i"]]},
        {"since": "noon"},
        {"signatures": ["s"] * 17},
    ],
)
def test_one_that_cannot_be_read_is_refused(broken):
    [problem] = chronic().problems
    whole = problem.model_dump(mode="json")
    text = broken if isinstance(broken, bytes) else None
    with pytest.raises(ValidationError):
        if text is None:
            KnownProblem.model_validate(whole | broken)
        else:
            KnownProblem.model_validate_json(text)


def test_who_saves_sees_what_has_changed():
    problems = filled(5)
    before = dict(problems.table.marks)
    problems.begin(start(3, occurrence=2))
    problems.table.forget(problems.table.get("problem-4"))
    after = problems.table.marks
    assert {id_ for id_ in after if after[id_] != before[id_]} == {"problem-3"}
    assert before.keys() - after.keys() == {"problem-4"}


# --- kills

DEVICES = ("srv-1", "srv-2", "sw-1")
KINDS = ("service_error", "link_down", "credential_attack", "log_error")


@st.composite
def histories(draw):
    """Troubles that come back within hours, recoveries, and what persons do, in order of time."""
    place = st.tuples(st.sampled_from(DEVICES), st.sampled_from(KINDS), st.sampled_from(("", "p1")))
    steps = st.sampled_from((1, 30, 200, 400, 17 * MINUTE, 17 * MINUTE, 50 * MINUTE, 2 * HOUR))
    kinds = st.sampled_from(("anomaly",) * 8 + ("clear", "resolve", "ack", "merge", "split"))
    at, events = 0, []
    for n, (step, kind) in enumerate(draw(st.lists(st.tuples(steps, kinds), max_size=30))):
        at += step
        events.append((n, at, kind, draw(place), draw(st.integers(0, 5))))
    return events


def message(event, ship):
    """What happens then; orders are about what there is."""
    n, seconds, kind, (device, about, part), which = event
    at, table = NOON + timedelta(seconds=seconds), ship.problems
    if kind == "clear":
        return cleared(seconds, device, about, component=part)
    if kind == "anomaly" or not table:
        severity = ("low", "medium", "high")[which % 3]
        return anomaly(n, device, about, at=seconds, component=part, severity=severity)
    problem, other = table[which % len(table)], table[0]
    if kind in ("resolve", "ack"):
        to = "resolved" if kind == "resolve" else "ack"
        return by_person(problem.incident, kind, to, at=at, change=n + 1)
    if kind == "merge":
        return edited(problem.id, "merge", at, into=other.id, change=n + 1)
    return edited(problem.id, "split", at, incident_id=problem.latest.incident, change=n + 1)


def lives(events, ship):
    for event in events:
        ship.waits(NOON + timedelta(seconds=event[1]))
        ship.says(message(event, ship))
    return ship


def compared(correlator):
    """The state, but for what recoveries of old leave behind at a different place."""
    state = snapshot(correlator.state)
    return {name: state[name] for name in ("problems", "incidents", "alerts", "open")}


@settings(max_examples=150, deadline=None)
@given(histories())
def test_the_state_is_the_fold_of_the_facts(events):
    ship = lives(events, Ship())
    before = compared(ship.correlator)
    ship.is_killed()
    assert compared(ship.correlator) == before


@settings(max_examples=150, deadline=None)
@given(histories(), st.integers(0, 30), st.integers(0, 30))
def test_saved_problems_and_all_facts_once_more_are_the_same_problems(events, save, kill):
    """The bucket is older or newer than what the stream still has."""
    ship = lives(events[:save], Ship())
    saved = ship.problems
    lives(events[save:], ship)
    before = {problem.id: problem.count for problem in ship.problems}
    ship.is_killed(saved=saved)
    assert {problem.id: problem.count for problem in ship.problems} == before


@settings(max_examples=100, deadline=None)
@given(histories())
def test_a_decision_changes_nothing(events):
    ship = Ship()
    for event in events:
        ship.waits(NOON + timedelta(seconds=event[1]))
        cause = message(event, ship)
        before = snapshot(ship.correlator.state)
        facts = ship.correlator.decide(cause)
        assert snapshot(ship.correlator.state) == before
        assert ship.correlator.decide(cause) == facts
        ship.says(cause)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_of_one_problem_one_incident_is_open(events):
    ship = lives(events, Ship())
    open_ = [problem.incident for problem in ship.problems if problem.is_open]
    assert len(open_) == len(set(open_))
    for fact in ship.stream:
        assert BY_SUBJECT[fact.subject].model_validate_json(fact.model_dump_json()) == fact


def test_a_problem_outlasts_the_stream():
    ship = chronic()
    saved, since = ship.problems, ship.now - POLICY.longest_memory
    ship.after(minutes=5)
    ship.stream = [fact for fact in ship.stream if fact.ts >= since][-4:]
    ship.is_killed(saved=saved)
    [again] = [f for f in ship.says(anomaly(99, at=8 * 17 * MINUTE)) if getattr(f, "members", ())]
    assert again.incident_id == saved[0].incident
    assert again.recurrence.occurrence == 9 and not again.announce
    assert "9 anomalies" in again.description


def test_one_without_a_saved_table_goes_on_counting():
    """Of a lost bucket the facts of the stream tell the number."""
    ship = chronic()
    ship.stream = ship.stream[-2:]
    ship.is_killed()
    [problem] = ship.problems
    assert problem.count == 8


def test_a_new_correlator_knows_none():
    assert len(Correlator(POLICY).state.problems.table) == 0
