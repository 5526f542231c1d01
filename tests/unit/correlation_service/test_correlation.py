"""The pure correlator: histories of anomalies in, facts out."""

from datetime import timedelta

import pytest

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalySuppressed,
    Device,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Role,
    Severity,
    Status,
)
from aiops_core.runtime.bus import LARGEST, Outgoing
from aiops_lab.memory_bus import MemoryBus
from correlation_service.alerts import unpacked
from correlation_service.correlator import Correlator
from correlation_service.facts import RECOUNTED
from correlation_service.joining import merge
from correlation_service.policy import CorrelatePolicy
from tests.conftest import NOON
from tests.correlation_cases import POLICY, SHIP, anomaly, cleared, reborn, told
from tests.incident_cases import evidence


def own(correlator, anomaly):
    """The fact that *anomaly* itself becomes part of; None when it was told before."""
    return next(iter(correlator.handle(anomaly)), None)


def with_policy(**changes):
    return Correlator(CorrelatePolicy.model_validate(POLICY.model_dump() | changes))


@pytest.fixture
def correlator():
    return Correlator(POLICY)


def test_the_first_anomaly_opens_an_incident_that_says_what_where_and_why(correlator):
    incident = own(correlator, anomaly(1))
    assert isinstance(incident, Incident)
    assert incident.title == "app reports an error on srv-1"
    assert (incident.category, incident.severity) == ("service", Severity.MEDIUM)
    assert incident.affected_devices == ("srv-1",)
    assert incident.root_cause.device == "srv-1"
    assert incident.root_cause.anomaly == incident.evidence[0].anomaly_id
    assert incident.description == "1 anomaly on srv-1 since 2026-06-01 12:00:01 UTC."


def test_a_name_at_the_beginning_of_a_title_stays_as_it_is_written(correlator):
    assert own(correlator, anomaly(1, "sw-1", "device_reboot")).title == "sw-1 restarted"


def test_a_repetition_is_a_duplicate_of_a_member_and_counted(correlator):
    first = own(correlator, anomaly(1))
    again = own(correlator, anomaly(2))
    assert isinstance(again, IncidentUpdated) and again.incident_id == first.id
    assert again.members[0].role == Role.DUPLICATE
    assert again.members[0].duplicate_of == first.evidence[0].anomaly_id
    assert again.revision == 2


def test_another_problem_of_the_same_device_is_a_member(correlator):
    own(correlator, anomaly(1))
    joined = own(correlator, anomaly(2, kind="device_reboot"))
    assert joined.members[0].role == Role.MEMBER
    assert joined.members[0].reason == "same device: srv-1"


def test_a_redelivered_anomaly_changes_nothing(correlator):
    own(correlator, anomaly(1))
    assert own(correlator, anomaly(1)) is None


def test_unrelated_devices_stay_apart(correlator):
    assert isinstance(own(correlator, anomaly(1, "srv-1")), Incident)
    assert isinstance(own(correlator, anomaly(2, "srv-2")), Incident)


def test_a_symptom_joins_the_open_cause_upstream_of_it(correlator):
    cause = own(correlator, anomaly(1, "sw-1", "link_down"))
    symptom = own(correlator, anomaly(3, "srv-1", upstream=["sw-1", "core-1"]))
    assert symptom.incident_id == cause.id
    assert symptom.members[0].reason == "srv-1 depends on sw-1"
    assert symptom.root_cause.device == "sw-1"
    assert symptom.title == "Link down on sw-1, 1 more device affected"


def test_a_cause_that_arrives_after_its_symptoms_takes_over_the_title_and_the_root(correlator):
    first = own(correlator, anomaly(1, "srv-1", upstream=["sw-1"]))
    late = own(correlator, anomaly(2, "sw-1", "link_down"))
    assert late.incident_id == first.id
    assert late.root_cause.device == "sw-1"
    assert late.title.startswith("Link down on sw-1")
    assert late.category == "network"
    assert "the other affected device depends on sw-1" in late.root_cause.reason


def test_the_nearest_open_cause_gets_the_symptom(correlator):
    own(correlator, anomaly(1, "core-1", "link_down"))
    near = own(correlator, anomaly(9, "sw-1", "link_down", upstream=()))
    symptom = own(correlator, anomaly(10, "srv-1", upstream=["sw-1", "core-1"]))
    assert symptom.incident_id == near.id


def test_a_full_disk_is_no_symptom_of_a_dead_switch(correlator):
    own(correlator, anomaly(1, "sw-1", "link_down"))
    assert isinstance(
        own(correlator, anomaly(2, "srv-1", "disk_full", upstream=["sw-1"])), Incident
    )


def test_a_full_disk_explains_the_full_disk_downstream_of_it(correlator):
    cause = own(correlator, anomaly(1, "nvr-1", "disk_full"))
    symptom = own(correlator, anomaly(2, "desk-1", "disk_full", upstream=["nvr-1"]))
    assert symptom.incident_id == cause.id


def test_an_error_that_nobody_knows_explains_nothing_else(correlator):
    own(correlator, anomaly(1, "core-1", "log_error"))
    other = anomaly(2, "srv-1", "service_error", upstream=["core-1"])
    assert isinstance(own(correlator, other), Incident)


def test_an_attack_on_the_directory_explains_failed_logins_of_what_uses_it(correlator):
    security = {"domain": "security", "meta": {"peer": "10.9.8.7"}}
    attack = own(correlator, anomaly(1, "dir-1", "credential_attack", **security))
    logins = anomaly(2, "app-1", "auth_failure", upstream=["dir-1"], domain="security")
    assert own(correlator, logins).incident_id == attack.id
    broken = own(correlator, anomaly(3, "app-1", "service_error", upstream=["dir-1"]))
    assert isinstance(broken, Incident)


def test_an_attack_groups_by_its_peer_and_not_with_a_breakdown(correlator):
    attack = {"kind": "credential_attack", "domain": "security"}
    own(correlator, anomaly(1, "srv-1"))
    first = own(correlator, anomaly(2, "srv-1", meta={"peer": "10.9.8.7"}, **attack))
    assert isinstance(first, Incident)
    assert first.title == "Password guessing on srv-1 from 10.9.8.7"
    second = own(correlator, anomaly(3, "srv-2", meta={"peer": "10.9.8.7"}, **attack))
    assert second.incident_id == first.id


def test_an_empty_key_does_not_group(correlator):
    attack = {"kind": "credential_attack", "domain": "security", "meta": {"peer": ""}}
    own(correlator, anomaly(1, "srv-1", **attack))
    assert isinstance(own(correlator, anomaly(2, "srv-2", **attack)), Incident)


def test_after_the_window_another_problem_opens_a_new_incident(correlator):
    first = own(correlator, anomaly(1))
    later = own(correlator, anomaly(2, at=POLICY.window.total_seconds() + 2, service="db"))
    assert isinstance(later, Incident) and later.id != first.id


def test_a_late_anomaly_lands_in_the_incident_of_its_time(correlator):
    window = POLICY.window.total_seconds()
    first = own(correlator, anomaly(1))
    second = own(correlator, anomaly(2, at=3 * window, service="db"))
    assert own(correlator, anomaly(3, at=30)).incident_id == first.id
    assert own(correlator, anomaly(4, at=3 * window + 30)).incident_id == second.id


def test_what_lasts_longer_than_the_maximum_goes_on_in_its_incident_with_new_alerts():
    correlator = with_policy(max_length=timedelta(minutes=10))
    facts = [own(correlator, anomaly(n, at=n * 60)) for n in range(40)]
    assert sum(isinstance(f, Incident) for f in facts) == 1
    assert {f.recurrence.occurrence for f in facts if f.recurrence} == {1}
    assert not any(f.announce for f in facts[1:])
    [incident] = correlator.state.open.incidents.values()
    assert incident.last_seen - incident.first_seen <= timedelta(minutes=10)
    assert incident.total == 40


def test_severity_is_the_worst_and_rises_when_many_devices_are_affected(correlator):
    own(correlator, anomaly(0, "sw-1", "link_down", severity="low"))
    severities = [
        own(correlator, anomaly(n, f"srv-{n}", upstream=["sw-1"])).severity for n in range(1, 5)
    ]
    assert severities == ["medium", "medium", "high", "high"]


def test_silence_expires_an_incident_and_nothing_else_joins_it(correlator):
    incident = own(correlator, anomaly(1))
    assert list(correlator.expire(NOON + timedelta(seconds=60))) == []
    [cleared] = correlator.expire(NOON + POLICY.window + POLICY.settle + timedelta(seconds=60))
    assert (cleared.incident_id, cleared.resolve_reason) == (incident.id, "expired")
    assert cleared.revision == 2
    assert isinstance(own(correlator, anomaly(2, service="db")), Incident)


def test_old_lines_stay_open_while_their_replay_goes_on(correlator):
    years_later = NOON + timedelta(days=1000)
    replayed = {"stages": {"enrich": years_later}}
    own(correlator, anomaly(1, **replayed))
    assert list(correlator.expire(years_later + POLICY.settle / 2)) == []
    assert len(list(correlator.expire(years_later + POLICY.settle * 2))) == 1


def test_what_is_over_in_a_replayed_past_was_over_then(correlator):
    """Its time is of the lines; when that was decided is in the stages."""
    years_later = NOON + timedelta(days=1000)
    replayed = {"stages": {"enrich": years_later}}
    own(correlator, anomaly(1, "srv-1", "service_error", **replayed))
    own(correlator, anomaly(2, "sw-7", "link_down", at=4, **replayed))
    correlator.handle(cleared(9, "sw-7", "link_down"))
    decided = years_later + timedelta(hours=1)
    quiet, recovered = sorted(correlator.expire(decided), key=lambda over: over.resolve_reason)
    assert quiet.ts == NOON + timedelta(seconds=1) + POLICY.window
    assert recovered.ts == NOON + timedelta(seconds=9)
    assert {quiet.stages["correlate"], recovered.stages["correlate"]} == {decided}


def test_what_is_over_now_was_never_over_later_than_now(correlator):
    """A clock that is ahead: the line states a time of tomorrow."""
    ahead = {"ts": NOON + timedelta(days=1), "stages": {"enrich": NOON}}
    own(correlator, anomaly(1, "srv-1", "service_error", **ahead))
    now = NOON + timedelta(hours=1)
    [over] = correlator.expire(now)
    assert over.ts == now


def test_nothing_else_joins_an_incident_that_an_operator_resolved(correlator):
    incident = own(correlator, anomaly(1))
    correlator.handle(resolved(incident.id))
    assert isinstance(own(correlator, anomaly(2, service="db")), Incident)


RULE = {"id": "bench", "reason": "test bench", "match": {"device_id": "bench-*"}}


def test_a_rule_suppresses_and_is_named():
    correlator = with_policy(suppress=[RULE])
    hidden = own(correlator, anomaly(1, "bench-7"))
    assert isinstance(hidden, AnomalySuppressed)
    assert (hidden.by, hidden.reason) == ("bench", "test bench")
    assert isinstance(own(correlator, anomaly(2, "srv-1")), Incident)


@pytest.mark.parametrize("changes", [{"severity": "critical"}, {"kind": "kernel_panic"}])
def test_what_must_never_be_hidden_is_not(changes):
    correlator = with_policy(suppress=[RULE])
    assert isinstance(own(correlator, anomaly(1, "bench-7", **changes)), Incident)


@pytest.mark.parametrize(
    "match",
    [{"domain": "app"}, {"msg": "*ON BENCH*"}, {"service": "app"}, {"anomaly_type": "service_*"}],
)
def test_every_condition_of_a_rule_counts(match):
    rule = RULE | {"match": {"device_id": "bench-*"} | match}
    correlator = with_policy(suppress=[rule])
    assert isinstance(own(correlator, anomaly(1, "bench-7")), AnomalySuppressed)
    other = {"domain": "net", "msg": "else", "service": "x", "kind": "link_down"}
    assert isinstance(own(correlator, anomaly(2, "bench-7", **other)), Incident)


def test_a_rule_that_matches_everything_is_refused():
    with pytest.raises(ValueError, match="matches every anomaly"):
        with_policy(suppress=[RULE | {"match": {}}])


def test_updates_of_one_incident_in_a_batch_become_one_fact(correlator):
    facts = [own(correlator, anomaly(n)) for n in range(5)]
    merged = merge([Outgoing(f, f"x/{n}") for n, f in enumerate(facts)])
    assert [type(o.message) for o in merged] == [Incident, IncidentUpdated]
    assert [m.tracking_id for m in merged[1].message.members] == ["t1", "t2", "t3", "t4"]
    assert (merged[1].id, merged[1].message.revision) == ("x/1", 5)


def test_of_a_large_incident_a_repetition_tells_only_itself_and_the_count_now_and_then(correlator):
    facts = [own(correlator, anomaly(n, at=n / 10)) for n in range(2 * RECOUNTED + 1)]
    retold = [n for n, fact in enumerate(facts, 1) if fact.title is not None]
    assert retold == [*range(1, RECOUNTED + 1), 2 * RECOUNTED]
    assert f"{2 * RECOUNTED} anomalies" in facts[2 * RECOUNTED - 1].description


def test_what_a_repetition_tells_is_its_own_and_as_valid_as_any_fact(correlator):
    for n in range(RECOUNTED):
        own(correlator, anomaly(n, at=n / 10))
    again = anomaly(99, at=8, ship_id="s1", msg="y" * 1000)
    told = own(correlator, again)
    carried = (told.tracking_id, told.ship_id, told.ts, told.stages)
    assert carried == (again.tracking_id, again.ship_id, again.ts, again.stages)
    assert told.revision == RECOUNTED + 1
    assert IncidentUpdated.model_validate_json(told.model_dump_json()) == told


def test_the_count_of_a_storm_is_told_to_two_digits(correlator):
    facts = [own(correlator, anomaly(n, at=n / 1000)) for n in range(1400)]
    told = [n for n, fact in enumerate(facts, 1) if fact.title is not None and n > 900]
    assert told == [950, 1000, 1100, 1200, 1300, 1400]


def test_what_is_worse_is_told_at_once_however_large_the_incident_is(correlator):
    for n in range(RECOUNTED + 5):
        own(correlator, anomaly(n, at=n / 10))
    worse = own(correlator, anomaly(99, at=8, severity="critical"))
    assert worse.severity == Severity.CRITICAL and worse.title


def test_what_makes_a_large_incident_no_worse_tells_only_itself(correlator):
    own(correlator, anomaly(0, "sw-1", "link_down", severity="high"))
    for n in range(RECOUNTED):
        own(correlator, anomaly(n, upstream=["sw-1"], at=n / 10))
    worse = own(correlator, anomaly(98, upstream=["sw-1"], at=8, severity="high"))
    other_words = own(correlator, anomaly(99, upstream=["sw-1"], at=9, msg="something else failed"))
    assert [fact.title for fact in (worse, other_words)] == [None, None]
    assert other_words.members[0].role == "member"
    worst = own(correlator, anomaly(100, upstream=["sw-1"], at=10, severity="critical"))
    assert worst.severity == Severity.CRITICAL and worst.title


def test_what_a_later_fact_of_a_batch_leaves_out_stands_as_the_earlier_said_it(correlator):
    facts = [own(correlator, anomaly(n, at=n / 10)) for n in range(RECOUNTED + 5)]
    [_, merged] = merge([Outgoing(f, f"x/{n}") for n, f in enumerate(facts)])
    assert len(merged.message.members) == RECOUNTED + 4
    assert f"{RECOUNTED} anomalies" in merged.message.description
    assert merged.message.revision == RECOUNTED + 5


def update(revision, incident="i1", **fields):
    fact = {"tracking_id": "t", "ship_id": "s1", "ts": NOON, "incident_id": incident}
    fact["members"] = [evidence(revision)]
    update = IncidentUpdated.model_validate(fact | {"revision": revision} | fields)
    return Outgoing(update, f"{incident}/{revision}")


def test_of_the_facts_of_a_batch_the_newest_that_says_a_thing_counts():
    said = ({"title": "A", "category": "net"}, {"title": "B", "severity": "high"}, {})
    [joined] = merge([update(n, **fields) for n, fields in enumerate(said, 2)])
    fact = joined.message
    assert (joined.id, fact.revision) == ("i1/2", 4)
    assert (fact.title, fact.category, fact.severity) == ("B", "net", Severity.HIGH)


def test_what_moves_members_keeps_its_place_among_the_facts_of_a_batch():
    moved = {"moved_from": ["i2"]}
    batch = [update(2), update(3), update(2, "i2"), update(4, **moved), update(5), update(3, "i2")]
    joined = merge(batch)
    told = [(o.id, o.message.revision) for o in joined]
    assert told == [("i1/2", 3), ("i2/2", 3), ("i1/4", 4), ("i1/5", 5)]


@pytest.mark.parametrize("alone", [{"departed": ["a1"], "affected_devices": ["sw-1"]}, {}])
def test_a_departure_or_a_recovery_is_joined_with_nothing(alone):
    batch = [update(2), update(3, members=[], **alone), update(4), update(5)]
    joined = [effect.message for effect in merge(batch)]
    assert [fact.revision for fact in joined] == [2, 3, 5]
    assert joined[1] == batch[1].message


def test_a_joined_fact_of_the_longest_lines_is_no_larger_than_the_runtime_takes(correlator):
    long = "\u6f22" * 5000
    facts = [own(correlator, anomaly(n, msg=f"{long} {n}")) for n in range(256)]
    merged = merge([Outgoing(f, f"x/{n}") for n, f in enumerate(facts)])
    assert max(len(o.message.model_dump_json().encode()) for o in merged) < LARGEST
    members = [m for o in merged[1:] for m in o.message.members]
    assert [m.tracking_id for m in members] == [f"t{n}" for n in range(1, 256)]


async def test_after_a_kill_the_published_facts_are_the_state(correlator):
    bus = MemoryBus()
    first = [anomaly(n, f"srv-{n % 3}") for n in range(9)]
    for n, a in enumerate(first):
        await bus.publish([Outgoing(own(correlator, a), f"e{n}")])
    again = await reborn(bus)
    assert [own(again, a) for a in first] == [None] * 9
    following = anomaly(20, "srv-1")
    expected = own(correlator, following)
    assert own(again, following) == expected


def resolved(incident_id):
    """An operator has resolved an incident."""
    return IncidentTransitioned(
        tracking_id="x",
        ship_id="s1",
        ts=NOON,
        incident_id=incident_id,
        change=1,
        kind="resolve",
        from_status=Status.OPEN,
        to_status=Status.RESOLVED,
    )


async def test_what_was_closed_before_the_kill_stays_closed(correlator):
    bus = MemoryBus()
    opened = [own(correlator, anomaly(n, f"srv-{n}")) for n in range(2)]
    cleared = IncidentCleared(
        tracking_id="x",
        ship_id="s1",
        ts=NOON,
        incident_id=opened[1].id,
        revision=2,
        resolve_reason="expired",
    )
    for n, fact in enumerate([*opened, resolved(opened[0].id), cleared]):
        await bus.publish([Outgoing(fact, f"e{n}")])
    again = await reborn(bus)
    assert len(again.state.open.incidents) == 0
    assert isinstance(own(again, anomaly(5, "srv-0", service="db")), Incident)


async def test_an_empty_broker_is_no_obstacle():
    assert len((await reborn(MemoryBus())).state.open.incidents) == 0


# --- one problem or two


def test_two_faults_on_different_branches_at_the_same_time_stay_two(correlator):
    history = [
        anomaly(1, "sw-1", "link_down"),
        anomaly(2, "dir-1", "service_down"),
        anomaly(3, "srv-1"),
        anomaly(4, "srv-3", at=2.5),
    ]
    book = told(history, correlator)
    places = [book.place[a.anomaly_id] for a in history]
    assert places[0] == places[2] != places[1] == places[3]


def test_who_depends_on_two_causes_follows_the_one_that_has_just_begun(correlator):
    cause = own(correlator, anomaly(1, "sw-1", "link_down"))
    other = own(correlator, anomaly(41, "sw-2", "link_down"))
    symptom = own(correlator, anomaly(43, "srv-2"))
    assert symptom.incident_id == other.id != cause.id


def test_a_new_trouble_of_an_affected_device_follows_the_new_cause(correlator):
    own(correlator, anomaly(1, "sw-1", "link_down"))
    own(correlator, anomaly(3, "srv-2", "service_error"))
    new = own(correlator, anomaly(60, "sw-2", "power_event"))
    assert own(correlator, anomaly(62, "srv-2", "db_timeouts")).incident_id == new.id


def test_types_that_nobody_declared_group_by_device_graph_and_time(correlator):
    cause = own(correlator, anomaly(1, "core-1", "FluxCapacitorFault"))
    assert own(correlator, anomaly(2, "sw-1", "weird thing")).incident_id == cause.id
    assert isinstance(own(correlator, anomaly(3, "dir-1", "weird thing")), Incident)


def test_a_cause_that_comes_late_makes_one_of_the_incidents_of_its_symptoms(correlator):
    symptoms = [anomaly(1, "srv-1"), anomaly(2, "srv-2"), anomaly(3, "srv-2", "db_timeouts")]
    cause = anomaly(20, "sw-1", "power_event")
    book = told([*symptoms, cause], correlator)
    [incident] = book.open
    joined, moved, merged = book.facts[-3:]
    assert joined.members[0].anomaly_id == cause.anomaly_id
    assert joined.root_cause.device == "sw-1"
    assert {m.reason for m in moved.members} <= {"srv-1 depends on sw-1", "srv-2 depends on sw-1"}
    assert moved.absorbed == moved.moved_from == (merged.incident_id,)
    assert {m.moved_from for m in moved.members} == {merged.incident_id}
    assert (merged.resolve_reason, merged.merged_into) == ("merged", incident)


def test_symptoms_leave_for_a_nearer_cause_that_began_as_they_did(correlator):
    far = own(correlator, anomaly(1, "core-1", "link_down"))
    own(correlator, anomaly(3, "srv-3"))
    book = told([anomaly(4, "dir-1", "service_down", at=2.9)], correlator, _knows(correlator, far))
    opened, moved, left = book.facts
    assert (opened.evidence[0].device, moved.incident_id) == ("dir-1", opened.id)
    assert [m.device for m in moved.members] == ["srv-3"] and moved.absorbed == ()
    assert (left.incident_id, left.departed) == (far.id, (moved.members[0].anomaly_id,))
    assert left.affected_devices == ("core-1",)


def _knows(correlator, incident):
    """A book that has read what *correlator* told before."""
    book = told([])
    for alert in correlator.state.open.alerts.values():
        book.place |= {m.anomaly_id: alert.incident_id for m in unpacked(alert.members)}
    assert incident.id in book.place.values()
    return book


def test_an_incident_of_too_many_anomalies_stays_and_takes_in_the_others():
    correlator = with_policy(members_kept=3)
    storm = [anomaly(n, "srv-1") for n in range(5)]
    book = told([*storm, anomaly(10, "srv-2"), anomaly(12, "sw-1", "link_down")], correlator)
    assert book.open == {book.place[storm[0].anomaly_id]}


def test_two_incidents_of_too_many_anomalies_stay_two():
    correlator = with_policy(members_kept=3)
    storms = [anomaly(2 * n + k, f"srv-{k + 1}") for n in range(5) for k in range(2)]
    assert len(told([*storms, anomaly(12, "sw-1", "link_down")], correlator).open) == 2


# --- who is silent


def test_a_switch_that_says_nothing_is_blamed_for_what_depends_on_it(correlator):
    correlator.use(SHIP)
    book = told(
        [anomaly(1, "srv-1", "device_unreachable"), anomaly(4, "srv-2", "link_down")], correlator
    )
    assert len(book.open) == 1
    fact = next(f for f in reversed(book.facts) if isinstance(f, IncidentUpdated))
    assert (fact.root_cause.device, fact.root_cause.anomaly) == ("sw-1", None)
    assert fact.title == "sw-1 is probably down: 2 devices that need it have lost it"
    assert "says nothing itself" in fact.root_cause.reason
    later = own(correlator, anomaly(9, "srv-1", "service_error"))
    assert later.incident_id in book.open


def test_nobody_is_blamed_while_enough_of_its_dependants_are_well(correlator):
    devices = [Device(id="sw-9"), *(Device(id=f"d{n}", upstream=("sw-9",)) for n in range(5))]
    correlator.use(Inventory(devices))
    told_of = [anomaly(n, f"d{n}", "link_down", upstream=["sw-9"]) for n in range(2)]
    assert len(told(told_of, correlator).open) == 2


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_silent_switch_is_blamed_whichever_of_its_dependants_comes_last(correlator, order):
    """One of them hangs on another switch too, which had a trouble of its own long before."""
    correlator.use(SHIP)
    devices = {1: "srv-2", 2: "srv-3"}
    book = told([anomaly(0, "sw-1", "service_error")], correlator)
    told([anomaly(n, devices[n], "link_down", at=301) for n in order], correlator, book)
    assert len(book.open) == 2
    assert book.facts[-1].root_cause.device == "sw-2"


def test_a_silent_switch_that_speaks_after_all_is_the_root_with_evidence(correlator):
    correlator.use(SHIP)
    told([anomaly(n, f"srv-{n}", "device_unreachable") for n in (1, 2)], correlator)
    spoken = own(correlator, anomaly(9, "sw-1", "power_event"))
    assert (spoken.root_cause.device, spoken.root_cause.anomaly) == (
        "sw-1",
        spoken.members[0].anomaly_id,
    )


# --- what is not worth much


def test_an_error_that_goes_on_is_believed_and_explains_what_depends_on_it(correlator):
    book = told([anomaly(1, "sw-1", "log_error"), anomaly(3, "srv-1", "log_error")], correlator)
    told([anomaly(4, "dir-1", "log_error")], correlator, book)
    assert len(book.open) == 1
    told([anomaly(n, "sw-1", "log_error") for n in (5, 6)], correlator, book)
    places = {m.device: book.place[m.anomaly_id] for f in book.facts for m in _members(f)}
    assert places["sw-1"] == places["srv-1"] != places["dir-1"]


def _members(fact):
    return getattr(fact, "members", getattr(fact, "evidence", ()))


def test_single_errors_that_nothing_connects_are_one_list_of_low_severity(correlator):
    devices = ("srv-1", "srv-2", "dir-1")
    singles = [anomaly(20 * n, device, "log_error") for n, device in enumerate(devices)]
    book = told(singles, correlator)
    assert len(book.open) == 1
    last = book.facts[-1]
    assert last.title == "app reports an error on srv-1, and single errors on 2 more devices"
    assert last.severity is Severity.LOW
    assert last.members[0].reason == "it stands alone, and is kept with other single errors"


def test_a_fault_takes_its_own_first_error_out_of_the_list(correlator):
    book = told([anomaly(1, "dir-1", "log_error"), anomaly(5, "srv-1", "log_error")], correlator)
    fault = anomaly(9, "dir-1", "power_event")
    told([fault], correlator, book)
    assert len(book.open) == 2
    assert book.place[fault.anomaly_id] == book.place[anomaly(1, "dir-1", "log_error").anomaly_id]


# --- the end


def test_an_incident_is_recovered_when_everything_in_it_was_cleared(correlator):
    incident = own(correlator, anomaly(1, "srv-1", "link_down", severity="high"))
    own(correlator, anomaly(2, "srv-1", "service_error", severity="low"))
    [half] = correlator.handle(cleared(30, "srv-1", "link_down"))
    assert (half.incident_id, half.severity) == (incident.id, Severity.LOW)
    assert "link down on srv-1 is over" in half.reason
    assert "severity down from high to low" in half.reason
    assert list(correlator.expire(NOON + timedelta(seconds=60))) == []
    correlator.handle(cleared(40, "srv-1", "service_error"))
    [over] = correlator.expire(NOON + timedelta(seconds=41) + POLICY.resolve_delay)
    assert (over.incident_id, over.resolve_reason) == (incident.id, "recovered")
    assert isinstance(own(correlator, anomaly(50)), Incident)


def test_a_recovery_that_overtakes_its_anomaly_ends_it_all_the_same(correlator):
    assert list(correlator.handle(cleared(10, "srv-1", "link_down"))) == []
    own(correlator, anomaly(1, "srv-1", "link_down", at=9))
    [over] = correlator.expire(NOON + timedelta(seconds=11) + POLICY.resolve_delay)
    assert over.resolve_reason == "recovered"


def test_what_came_after_the_recovery_is_not_over(correlator):
    own(correlator, anomaly(1, "srv-1", "link_down", at=20))
    assert list(correlator.handle(cleared(10, "srv-1", "link_down"))) == []
    [told] = correlator.expire(NOON + timedelta(hours=1))
    assert told.quiet_since == NOON + timedelta(seconds=20)
    assert len(correlator.state.open.incidents) == 1


@pytest.mark.parametrize(
    "about", [{"service": "other"}, {"metric": "cpu_percent"}, {"peer": "10.0.0.1"}]
)
def test_a_recovery_of_something_else_ends_nothing(correlator, about):
    own(correlator, anomaly(1, "srv-1", "link_down"))
    assert list(correlator.handle(cleared(10, "srv-1", "link_down", **about))) == []


def test_a_recovery_of_one_service_leaves_the_other_open(correlator):
    for n, service in enumerate(["web", "mail"]):
        own(correlator, anomaly(n, "srv-1", "service_down", service=service, severity="high"))
    [fact] = correlator.handle(cleared(10, "srv-1", "service_down", service="web"))
    assert fact.severity is Severity.HIGH
    assert list(correlator.expire(NOON + timedelta(seconds=11) + POLICY.resolve_delay)) == []


PORT = {"component": "interface Gi1/0/24"}
OTHER_PORT = {"component": "interface Gi1/0/3"}


def test_the_recovery_of_another_port_ends_nothing(correlator):
    own(correlator, anomaly(1, "sw-1", "link_down", **PORT))
    assert list(correlator.handle(cleared(10, "sw-1", "link_down", **OTHER_PORT))) == []
    assert list(correlator.handle(cleared(11, "sw-1", "link_down", **PORT))) != []
    [over] = correlator.expire(NOON + timedelta(hours=1))
    assert over.resolve_reason == "recovered"


def test_an_incident_of_two_ports_lasts_until_both_have_recovered(correlator):
    for n, port in enumerate((PORT, OTHER_PORT)):
        own(correlator, anomaly(n, "sw-1", "link_down", **port))
    correlator.handle(cleared(10, "sw-1", "link_down", **PORT))
    assert list(correlator.expire(NOON + timedelta(seconds=11) + POLICY.resolve_delay)) == []
    correlator.handle(cleared(12, "sw-1", "link_down", **OTHER_PORT))
    [over] = correlator.expire(NOON + timedelta(hours=1))
    assert over.resolve_reason == "recovered"


@pytest.mark.parametrize(
    ("raised", "ended"), [({}, PORT), (PORT, {}), ({}, {})], ids=["raised", "ended", "both"]
)
@pytest.mark.parametrize("overtakes", [True, False])
def test_without_a_component_a_recovery_is_of_all_of_them(correlator, raised, ended, overtakes):
    history = [anomaly(1, "sw-1", "link_down", **raised), cleared(9, "sw-1", "link_down", **ended)]
    for one in reversed(history) if overtakes else history:
        correlator.handle(one)
    [over] = correlator.expire(NOON + timedelta(hours=1))
    assert over.resolve_reason == "recovered"


def test_the_recoveries_of_all_ports_may_overtake_their_anomalies(correlator):
    ports = [{"component": f"interface Gi1/0/{n}"} for n in range(48)]
    for port in ports:
        correlator.handle(cleared(60, "sw-1", "link_down", **port))
    for n, port in enumerate(ports):
        correlator.handle(anomaly(n, "sw-1", "link_down", at=n, **port))
    [over] = correlator.expire(NOON + timedelta(hours=1))
    assert over.resolve_reason == "recovered"


def test_when_the_cause_has_recovered_and_the_rest_is_quiet_it_is_recovered(correlator):
    own(correlator, anomaly(1, "sw-1", "link_down"))
    own(correlator, anomaly(2, "srv-1", "service_error"))
    correlator.handle(cleared(30, "sw-1", "link_down"))
    [over] = correlator.expire(NOON + timedelta(minutes=6))
    assert over.resolve_reason == "recovered"
    assert "sw-1 is well again" in over.note and "nothing more was seen" in over.note


def test_a_sender_that_stays_silent_has_not_recovered(correlator):
    own(correlator, anomaly(1, "srv-1", "sender_lost"))
    assert list(correlator.expire(NOON + timedelta(minutes=29))) == []
    [told] = correlator.expire(NOON + timedelta(minutes=31))
    assert told.quiet_since == NOON + timedelta(seconds=1)
    assert list(correlator.expire(NOON + timedelta(days=31))) == []


def test_what_comes_and_goes_is_one_incident_that_says_so(correlator):
    facts = []
    for n in range(6):
        facts.append(own(correlator, anomaly(n, "sw-1", "link_down", at=200 * n)))
        facts += correlator.handle(cleared(200 * n + 100, "sw-1", "link_down"))
        assert list(correlator.expire(NOON + timedelta(seconds=200 * n + 190))) == []
    last = facts[-1]
    assert {getattr(f, "incident_id", facts[0].id) for f in facts} == {facts[0].id}
    assert last.title == "Link down on sw-1 (flapping)"
    assert "Flapping, recovered 6 times in 17 min" in last.description
    ended = NOON + timedelta(seconds=1100)
    assert list(correlator.expire(ended + POLICY.resolve_delay + timedelta(seconds=30))) == []
    [over] = correlator.expire(ended + POLICY.window + POLICY.lateness + timedelta(minutes=20))
    assert over.resolve_reason == "recovered"


def test_a_kill_between_a_move_and_its_end_is_made_good(correlator):
    history = [anomaly(1, "srv-1"), anomaly(2, "srv-2"), anomaly(20, "sw-1", "power_event")]
    book = told(history, correlator)
    merged = book.facts.pop()
    reborn = Correlator(POLICY)
    for fact in book.facts:
        reborn.evolve(fact)
    [owed] = reborn.expire(NOON + timedelta(seconds=21))
    assert (owed.incident_id, owed.merged_into) == (merged.incident_id, merged.merged_into)
    assert owed.revision == merged.revision
    assert list(reborn.expire(NOON + timedelta(seconds=22))) == []


def test_a_recovery_of_which_a_kill_let_nothing_tell_is_told_when_it_comes_again(correlator):
    end = cleared(30, "sw-1", "link_down")
    opened = correlator.handle(anomaly(0, "sw-1", "link_down"))
    reborn = Correlator(POLICY)
    for fact in (end, *opened):  # the recovery was stored first, what it ended was told later
        reborn.evolve(fact)
    assert reborn.handle(anomaly(0, "sw-1", "link_down")) == []
    [told] = reborn.handle(end)
    assert [told] == correlator.handle(end)
    assert told.reason.startswith(f"link down on sw-1 is over: {end.reason}")
    assert list(reborn.handle(end)) == []
