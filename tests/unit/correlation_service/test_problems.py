"""What comes back: the same incident, one open item, told only when it changes."""

from datetime import timedelta

import pytest

from aiops_core.models import Incident, IncidentCleared, IncidentUpdated, Severity
from tests.conftest import NOON
from tests.correlation_cases import anomaly, cleared, order
from tests.problem_cases import Ship, announced, by_person, edited

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.fixture
def ship():
    return Ship()


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def times(*seconds, **fields):
    """One anomaly at each of these times."""
    return [anomaly(n, **{"upstream": ()} | fields, at=s) for n, s in enumerate(seconds)]


def opened(facts):
    return [fact for fact in facts if isinstance(fact, Incident)]


def began(facts):
    """The facts that begin an occurrence."""
    return [
        fact
        for fact in facts
        if isinstance(fact, Incident)
        or (isinstance(fact, IncidentUpdated) and fact.recurrence and fact.members)
    ]


def ended(facts):
    return [fact for fact in facts if isinstance(fact, IncidentCleared)]


# --- within the hour


def test_an_incident_is_the_first_occurrence_of_a_problem_and_told(ship):
    [incident] = ship.says(anomaly(1))
    assert incident.recurrence.occurrence == 1 and incident.recurrence.cadence == ""
    assert incident.announce


def test_within_the_hour_the_same_incident_is_reopened_and_not_told_again(ship):
    first, end, again = ship.says(*times(0, 30 * MINUTE))
    assert (end.incident_id, end.resolve_reason) == (first.id, "expired")
    assert (again.incident_id, again.revision) == (first.id, end.revision + 1)
    assert again.reopens and not again.announce
    said = again.recurrence
    assert (said.problem_id, said.occurrence) == (first.recurrence.problem_id, 2)
    assert said.previous == NOON
    assert said.resolved_before == "expired: nothing more was seen for 5 minutes"
    assert again.description.startswith("2 anomalies on srv-1 since 2026-06-01 12:00:00 UTC")


def test_what_recovered_is_reopened_too(ship):
    facts = ship.says(anomaly(0), cleared(60), anomaly(2, at=20 * MINUTE))
    assert [one.resolve_reason for one in ended(facts)] == ["recovered"]
    assert facts[-1].reopens and facts[-1].severity == Severity.MEDIUM
    assert ship.problems[0].occurrences[0].lasted == timedelta(seconds=60)
    assert ended(ship.after(minutes=20))[0].incident_id == facts[0].id


def test_before_the_clock_closes_an_incident_it_goes_on_with_another_occurrence(ship):
    first = ship.correlator.handle(anomaly(0))[0]
    [again] = ship.correlator.handle(anomaly(1, at=20 * MINUTE))
    assert (again.incident_id, again.reopens) == (first.id, False)
    assert again.recurrence.occurrence == 2
    assert len(ship.correlator.state.open.alerts) == 1


def test_later_it_is_a_new_incident_of_the_same_problem_and_told(ship):
    first, second = opened(ship.says(*times(0, 2 * HOUR)))
    assert first.id != second.id and second.announce
    assert second.recurrence.problem_id == first.recurrence.problem_id
    assert (second.recurrence.occurrence, second.recurrence.previous) == (2, NOON)


def test_what_a_person_resolved_and_is_back_within_the_hour_is_reopened_and_told(ship):
    [first] = ship.says(anomaly(0))
    ship.says(by_person(first.id, at=at(60), comment="cable replaced"))
    [again] = ship.says(anomaly(1, at=30 * MINUTE))
    assert again.incident_id == first.id and again.reopens and again.announce
    assert again.recurrence.resolved_before == "resolved by mate: cable replaced"
    assert "it is back" in again.reason


def test_of_a_replayed_past_the_hour_is_that_of_its_lines(ship):
    later = {"enrich": at(1000 * DAY)}
    first = ship.correlator.handle(anomaly(0, stages=later))[0]
    ship.now = at(1000 * DAY)
    assert len(ended(ship.after(minutes=1))) == 1
    [new] = ship.correlator.handle(anomaly(1, at=3 * HOUR, stages=later))
    assert isinstance(new, Incident) and new.recurrence.occurrence == 2
    assert first.recurrence.problem_id == new.recurrence.problem_id


def test_an_incident_that_was_merged_is_never_reopened(ship):
    gone, home = ship.says(anomaly(0), anomaly(1, "srv-2"))
    ship.says(order(gone.id, home.id))
    ship.after(minutes=15)
    [new] = began(ship.says(anomaly(2, at=16 * MINUTE)))
    assert isinstance(new, Incident) and new.id not in (gone.id, home.id)


def test_a_late_anomaly_of_an_occurrence_is_part_of_it(ship):
    ship.says(*times(0, 30 * MINUTE, 30 * MINUTE + 10))
    ship.after(minutes=10)
    [late] = ship.says(anomaly(9, at=30 * MINUTE + 5))
    assert late.reopens and late.recurrence.occurrence == 2 and not late.announce


def test_a_reopened_incident_goes_over_to_no_other(ship):
    """Its earlier members would be nowhere."""
    first = ship.says(*times(0, device="srv-1"))[0]
    ship.says(anomaly(1, "srv-1", at=30 * MINUTE))
    facts = ship.says(anomaly(2, "sw-1", "link_down", at=30 * MINUTE + 5, state=False))
    assert facts[-1].incident_id == first.id
    assert facts[-1].root_cause.device == "sw-1"


def test_an_alert_that_was_quiet_goes_on_while_its_incident_does(ship):
    """Its neighbour kept the incident open; the same trouble opens no second one."""
    history = [anomaly(0), *[anomaly(n, service="db", at=n * 240) for n in range(1, 4)]]
    ship.says(*history)
    [again] = ship.says(anomaly(9, at=800))
    assert again.members[0].role == "duplicate" and again.recurrence is None


# --- chronic


def test_a_chronic_problem_is_one_open_item_that_says_since_when_it_is_quiet(ship):
    facts = ship.says(*times(*(n * 17 * MINUTE for n in range(20))))
    assert len(opened(facts)) == 1 and len(ended(facts)) == 2  # before it was known to be chronic
    quiet = [f for f in facts if isinstance(f, IncidentUpdated) and f.quiet_since]
    assert [f.quiet_since for f in quiet] == [at(n * 17 * MINUTE) for n in range(2, 19)]
    assert "it stays open, as it comes every 17 min" in quiet[0].reason
    assert not any(f.reopens for f in began(facts)[3:])
    assert [f.recurrence.occurrence for f in began(facts)] == list(range(1, 21))
    assert [f.revision for f in facts if hasattr(f, "incident_id")] == list(range(2, 40))
    assert len(announced(facts)) == 2
    assert announced(facts)[1].recurrence.cadence == "every 17 min"


def test_it_is_over_when_it_did_not_come_back_and_told_when_it_does_again(ship):
    ship.says(*times(*(n * DAY for n in range(4))))
    assert ended(ship.after(days=2)) == []
    [end] = ended(ship.after(days=2))
    assert end.resolve_reason == "expired"
    assert end.note == "it did not come back; it came daily at 12:00"
    [again] = began(ship.says(anomaly(9, upstream=(), at=8 * DAY)))
    assert again.incident_id == end.incident_id and again.reopens and again.announce
    assert again.revision == end.revision + 1


def test_one_that_recovers_each_time_stays_open_as_well(ship):
    history = []
    for n in range(6):
        history += [anomaly(n, at=n * 17 * MINUTE), cleared(n * 17 * MINUTE + 60)]
    facts = ship.says(*history) + ship.after(minutes=15)
    assert [one.resolve_reason for one in ended(facts)] == ["recovered"] * 2
    [waiting] = ship.problems
    assert waiting.ending == "waiting" and waiting.note.startswith("recovered: all has recovered")
    assert len(ended(ship.after(hours=1))) == 1


def test_one_that_is_acknowledged_is_waited_for_however_long(ship):
    incident = ship.says(*times(*(n * HOUR for n in range(4))))[0]
    [problem] = ship.problems
    ship.says(by_person(problem.incident, "ack", "ack", at=ship.now))
    assert ended(ship.after(days=3)) == []
    ship.says(by_person(problem.incident, at=ship.now, change=2))
    assert incident and not ship.problems[0].is_open
    assert ended(ship.after(days=3)) == []


def test_often_within_a_day_is_chronic_however_irregular(ship):
    hours = (0, 2, 2.3, 9, 9.5, 20)
    facts = ship.says(*times(*(hour * HOUR for hour in hours)))
    assert began(facts)[-1].recurrence.cadence == "some 6 times a day"


def test_one_that_a_person_opened_again_takes_what_comes(ship):
    [first] = ship.says(anomaly(0))
    ship.after(minutes=10)
    ship.says(by_person(first.id, "reopen", "open", at=ship.now))
    ship.after(hours=10)
    [again] = ship.says(anomaly(1, at=11 * HOUR))
    assert again.incident_id == first.id and not again.reopens


# --- what is told


def test_another_cadence_is_told_within_three_occurrences(ship):
    begins = [n * 17 * MINUTE for n in range(10)]
    begins += [begins[-1] + n * 41 * MINUTE for n in range(1, 20)]
    facts = ship.says(*times(*begins))
    told = announced(facts)
    assert [f.recurrence.occurrence for f in told] == [1, 3, 13]
    assert told[-1].reason.endswith("it comes every 41 min, before: every 17 min")


def test_one_that_was_missed_is_not_told(ship):
    begins = [n * 17 * MINUTE for n in range(30) if n not in (7, 15, 22)]
    assert len(announced(ship.says(*times(*begins)))) == 2


def test_a_severity_above_all_that_was_told_is_told_once(ship):
    grades = ["medium"] * 4 + ["high", "medium", "high", "medium"]
    history = [anomaly(n, at=n * 17 * MINUTE, severity=grade) for n, grade in enumerate(grades)]
    told = announced(ship.says(*history))
    assert [f.severity for f in told] == ["medium", "medium", "high"]


def test_twice_as_many_devices_are_told_once(ship):
    history = []
    for n in range(6):
        below = ("srv-1", "srv-2") if n in (3, 4) else ()
        start = n * 17 * MINUTE
        history.append(anomaly(10 * n, "sw-1", "link_down", at=start, state=False))
        history += [anomaly(10 * n + m, d, at=start + m) for m, d in enumerate(below, 1)]
    told = announced(ship.says(*history))
    assert len(told) == 3
    assert "2 devices are affected, before at most 1" in told[-1].reason


def test_twice_as_long_is_told(ship):
    history, n = [], 0
    for start, minutes in ((0, 0), (20, 0), (40, 0), (60, 12), (90, 12)):
        for minute in range(0, minutes + 1, 4):
            n += 1
            history.append(anomaly(n, at=(start + minute) * MINUTE))
    told = announced(ship.says(*history))
    assert "it lasts longer than before, for 12 min" in told[-1].reason
    assert len(told) == 3


def test_another_root_is_told_once(ship):
    history = []
    for n in range(6):
        start = n * 17 * MINUTE
        history.append(anomaly(10 * n, "srv-1", at=start))
        if n >= 3:
            history.append(anomaly(10 * n + 1, "sw-1", "link_down", at=start + 5, state=False))
    told = announced(ship.says(*history))
    assert len(told) == 3 and "the root is sw-1 now" in told[-1].reason


# --- what is the same problem


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({}, {"device": "srv-3"}, False),
        ({}, {"service": "db"}, False),
        ({}, {"kind": "disk_full"}, False),
        ({}, {"msg": "another thing"}, False),
        ({"msg": "job 17 failed on 10.0.0.1"}, {"msg": "job 4711 failed on 10.9.9.9"}, True),
        ({"template_id": "a"}, {"template_id": "a", "msg": "other names"}, True),
        ({"component": "fan 1"}, {"component": "fan 1", "msg": "fan 1 stands still"}, True),
        ({"component": "fan 1"}, {"component": "fan 1", "service": "snmp"}, True),
        ({"component": "fan 1"}, {"component": "fan 2"}, False),
        ({"metric": "load"}, {"metric": "load", "msg": "load is 17"}, True),
        ({"metric": "load"}, {"metric": "idle"}, False),
    ],
)
def test_which_occurrences_are_one_problem(ship, one, other, same):
    facts = ship.says(
        anomaly(1, at=0, upstream=(), state=False, **one),
        anomaly(2, at=2 * HOUR, upstream=(), state=False, **other),
    )
    first, second = opened(facts)
    assert (first.recurrence.problem_id == second.recurrence.problem_id) is same


def test_one_campaign_is_one_problem_however_many_addresses_and_users(ship):
    kinds = ("credential_attack", "auth_failure")
    history = [
        anomaly(
            n, kind=kinds[n % 2], at=n * 20 * MINUTE, domain="security",
            meta={"peer": f"10.0.0.{n}"}, msg=f"user{n} failed", service=f"s{n % 3}",
        )
        for n in range(20)
    ]  # fmt: skip
    facts = ship.says(*history)
    assert len(opened(facts)) == 1 and len(ship.problems) == 1
    assert ship.problems[0].count == 20


def cascade(n, start, *devices):
    """Each device some seconds after the one before."""
    kinds = {"sw-1": "link_down", "sw-2": "link_down"}
    return [
        anomaly(100 * n + m, d, kinds.get(d, "service_error"), at=start + 5 * m, state=False)
        for m, d in enumerate(devices)
    ]


def test_the_same_cascade_that_is_noticed_first_elsewhere_is_the_same_problem(ship):
    ship.says(*cascade(0, 0, "srv-1", "sw-1"))  # a symptom first: the root becomes known
    ship.after(minutes=20)
    facts = ship.says(*cascade(1, 30 * MINUTE, "sw-1", "srv-1"))
    assert [f.recurrence.occurrence for f in began(facts)] == [2]
    assert len(ship.problems) == 1


def test_a_symptom_that_was_part_of_it_twice_leads_to_it(ship):
    history = cascade(0, 0, "sw-1", "srv-1")
    for n in range(1, 6):
        history += cascade(n, n * 17 * MINUTE, "srv-1", "sw-1")
    facts = ship.says(*history)
    assert len(opened(facts)) == 3
    [problem] = ship.problems
    assert problem.count == 6 and len(problem.signatures) == 2


def test_a_common_symptom_chains_no_two_roots(ship):
    ship.says(*cascade(0, 0, "srv-2", "sw-1"))
    ship.says(*cascade(1, 2 * HOUR, "srv-2", "sw-2"))
    ship.says(*cascade(2, 5 * HOUR, "sw-1"), *cascade(3, 9 * HOUR, "sw-2"))
    of = ship.correlator.state.problems.table.with_signature
    roots = {one.signatures for one in ship.problems}
    assert len(roots) == len(ship.problems) == 2
    assert {of(sign).id for signs in roots for sign in signs} == {p.id for p in ship.problems}


def test_single_errors_join_no_problem(ship):
    history = [anomaly(1, kind="log_error"), anomaly(2, "srv-2", "log_error")]
    history.append(anomaly(3, kind="service_error", at=10))
    ship.says(*history)
    ship.after(minutes=20)
    assert all(len(problem.signatures) == 1 for problem in ship.problems)


# --- by hand


def two_problems(ship):
    ship.says(*times(0, device="srv-1"))
    ship.says(anomaly(2, "srv-2", upstream=(), at=HOUR))
    ship.after(minutes=10)
    return ship.problems


def test_a_merge_by_hand_gives_one_problem_of_both(ship):
    one, other = two_problems(ship)
    assert ship.says(edited(one.id, "merge", ship.now, into=other.id)) == []
    [both] = ship.problems
    assert (both.id, both.count, both.incident) == (other.id, 2, other.incident)
    [again] = began(ship.says(anomaly(9, "srv-1", upstream=(), at=HOUR + 20 * MINUTE)))
    assert again.incident_id == other.incident
    assert again.recurrence.occurrence == 3


def test_a_merge_of_two_that_wait_ends_one_of_their_incidents(ship):
    history = times(*(n * HOUR for n in range(4)), device="srv-1")
    history += [anomaly(50 + n, "srv-2", upstream=(), at=n * HOUR + 30 * MINUTE) for n in range(4)]
    ship.says(*sorted(history, key=lambda one: one.ts))
    ship.after(minutes=20)
    one, other = ship.problems
    assert one.ending == other.ending == "waiting"
    [end] = ship.says(edited(one.id, "merge", ship.now, into=other.id))
    assert (end.resolve_reason, end.incident_id) == ("merged", one.incident)
    assert [p.incident for p in ship.problems] == [other.incident]


def test_a_split_gives_the_incident_a_problem_of_its_own(ship):
    one, other = two_problems(ship)
    ship.says(edited(one.id, "merge", ship.now, into=other.id))
    ship.says(edited(other.id, "split", ship.now, incident_id=one.incident))
    assert [len(p.occurrences) for p in ship.problems] == [1, 1]
    facts = ship.says(
        anomaly(8, "srv-1", upstream=(), at=4 * HOUR), anomaly(9, "srv-2", upstream=(), at=5 * HOUR)
    )
    first, second = opened(facts)
    assert first.recurrence.problem_id not in (one.id, other.id)
    assert second.recurrence.problem_id == other.id
    assert (first.recurrence.occurrence, second.recurrence.occurrence) == (2, 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "merge", "into": "nobody"},
        {"kind": "merge", "into": None},
        {"kind": "split", "incident_id": "nothing"},
        {"kind": "split"},
        {"kind": "merge", "problem_id": "nobody"},
    ],
)
def test_an_edit_of_what_is_not_known_changes_nothing(ship, fields):
    one, other = two_problems(ship)
    before = {problem.id: problem.but(change=0) for problem in (one, other)}
    assert ship.says(edited(**{"problem_id": one.id} | fields, at=ship.now)) == []
    assert {problem.id: problem.but(change=0) for problem in ship.problems} == before


def test_a_problem_merged_with_itself_stays(ship):
    one, other = two_problems(ship)
    ship.says(edited(one.id, "merge", ship.now, into=one.id))
    assert {problem.id for problem in ship.problems} == {one.id, other.id}


def test_an_edit_that_is_read_again_counts_once(ship):
    one, other = two_problems(ship)
    merge = edited(one.id, "merge", ship.now, into=other.id)
    ship.says(merge, merge)
    assert [problem.count for problem in ship.problems] == [2]
