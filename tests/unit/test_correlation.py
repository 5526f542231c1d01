"""The pure correlator: histories of anomalies in, facts out."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_core.bus import Outgoing
from aiops_core.models import (
    AnomalyContext,
    AnomalySuppressed,
    Device,
    EnrichedAnomaly,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Role,
    Severity,
    Status,
)
from aiops_core.runtime import LARGEST
from aiops_core.testing import MemoryBus
from correlation_service.correlator import Correlator
from correlation_service.handler import Correlation, merge
from correlation_service.policy import CorrelatePolicy
from tests.conftest import NOON, ROOT

POLICY = CorrelatePolicy.load(ROOT / "policies")


def anomaly(n, device="srv-1", kind="service_error", *, upstream=(), at=None, **fields):
    ts = NOON + timedelta(seconds=n if at is None else at)
    base = {
        "tracking_id": f"t{n}",
        "ship_id": "s1",
        "ts": ts,
        "domain": "app",
        "anomaly_type": kind,
        "service": "app",
        "host": device,
        "detector": "pattern",
        "score": 0.7,
        "severity": "medium",
        "msg": f"error on {device}",
        "stages": {"enrich": ts},
        "context": AnomalyContext(upstream=tuple(Device(id=u) for u in upstream)),
    }
    return EnrichedAnomaly.model_validate(base | fields)


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
    assert incident.title == "Errors of app on srv-1"
    assert (incident.category, incident.severity) == ("service", Severity.MEDIUM)
    assert incident.affected_devices == ("srv-1",)
    assert incident.root_cause.device == "srv-1"
    assert incident.root_cause.anomaly == incident.evidence[0].anomaly_id
    assert "error on srv-1" in incident.description


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
    assert "1 of the 1 other affected devices depend on sw-1" in late.root_cause.reason


def test_the_nearest_open_cause_gets_the_symptom(correlator):
    own(correlator, anomaly(1, "core-1", "link_down"))
    near = own(correlator, anomaly(2, "sw-1", "link_down"))
    symptom = own(correlator, anomaly(3, "srv-1", upstream=["sw-1", "core-1"]))
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
    for n, kind in enumerate(["log_error", "service_error"]):
        other = anomaly(2 + n, f"srv-{n}", kind, upstream=["core-1"])
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
    assert first.title == "Credential attack on srv-1 from 10.9.8.7"
    second = own(correlator, anomaly(3, "srv-2", meta={"peer": "10.9.8.7"}, **attack))
    assert second.incident_id == first.id


def test_an_empty_key_does_not_group(correlator):
    attack = {"kind": "credential_attack", "domain": "security", "meta": {"peer": ""}}
    own(correlator, anomaly(1, "srv-1", **attack))
    assert isinstance(own(correlator, anomaly(2, "srv-2", **attack)), Incident)


def test_after_the_window_a_new_incident_opens(correlator):
    first = own(correlator, anomaly(1))
    later = own(correlator, anomaly(2, at=POLICY.window.total_seconds() + 2))
    assert isinstance(later, Incident) and later.id != first.id


def test_a_late_anomaly_lands_in_the_incident_of_its_time(correlator):
    window = POLICY.window.total_seconds()
    first = own(correlator, anomaly(1))
    second = own(correlator, anomaly(2, at=3 * window))
    assert own(correlator, anomaly(3, at=30)).incident_id == first.id
    assert own(correlator, anomaly(4, at=3 * window + 30)).incident_id == second.id


def test_no_incident_grows_longer_than_the_maximum():
    correlator = with_policy(max_length=timedelta(minutes=10))
    facts = [own(correlator, anomaly(n, at=n * 60)) for n in range(13)]
    assert sum(isinstance(f, Incident) for f in facts) == 2


def test_severity_is_the_worst_and_rises_when_many_devices_are_affected(correlator):
    own(correlator, anomaly(0, "sw-1", "link_down", severity="low"))
    severities = [
        own(correlator, anomaly(n, f"srv-{n}", upstream=["sw-1"])).severity for n in range(1, 5)
    ]
    assert severities == ["medium", "medium", "high", "high"]


def test_silence_expires_an_incident_and_it_never_absorbs_again(correlator):
    incident = own(correlator, anomaly(1))
    assert list(correlator.expire(NOON + timedelta(seconds=60))) == []
    [cleared] = correlator.expire(NOON + POLICY.window + POLICY.settle + timedelta(seconds=60))
    assert (cleared.incident_id, cleared.resolve_reason) == (incident.id, "expired")
    assert cleared.revision == 2
    assert isinstance(own(correlator, anomaly(2)), Incident)


def test_old_lines_stay_open_while_their_replay_goes_on(correlator):
    years_later = NOON + timedelta(days=1000)
    replayed = {"stages": {"enrich": years_later}}
    own(correlator, anomaly(1, **replayed))
    assert list(correlator.expire(years_later + POLICY.settle / 2)) == []
    assert len(list(correlator.expire(years_later + POLICY.settle * 2))) == 1


def test_an_incident_that_an_operator_resolved_never_absorbs_again(correlator):
    incident = own(correlator, anomaly(1))
    correlator.end(incident.id)
    assert isinstance(own(correlator, anomaly(2)), Incident)


RULE = {"id": "bench", "reason": "test bench", "match": {"device": "bench-*"}}


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
    rule = RULE | {"match": {"device": "bench-*"} | match}
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
    reborn = Correlator(POLICY)
    await Correlation(reborn).recover(bus)
    assert [own(reborn, a) for a in first] == [None] * 9
    following = anomaly(20, "srv-1")
    expected = own(correlator, following)
    assert own(reborn, following) == expected


async def test_what_was_closed_before_the_kill_stays_closed(correlator):
    bus = MemoryBus()
    opened = [own(correlator, anomaly(n, f"srv-{n}")) for n in range(2)]
    resolved = IncidentTransitioned(
        tracking_id="x",
        ship_id="s1",
        ts=NOON,
        incident_id=opened[0].id,
        change=1,
        kind="resolve",
        from_status=Status.OPEN,
        to_status=Status.RESOLVED,
    )
    cleared = IncidentCleared(
        tracking_id="x",
        ship_id="s1",
        ts=NOON,
        incident_id=opened[1].id,
        revision=2,
        resolve_reason="expired",
    )
    for n, fact in enumerate([*opened, resolved, cleared]):
        await bus.publish([Outgoing(fact, f"e{n}")])
    reborn = Correlator(POLICY)
    await Correlation(reborn).recover(bus)
    assert len(reborn.windows) == 0
    assert isinstance(own(reborn, anomaly(5, "srv-0")), Incident)


async def test_an_empty_broker_is_no_obstacle():
    await Correlation(Correlator(POLICY)).recover(MemoryBus())


histories = st.lists(
    st.builds(
        anomaly,
        st.integers(0, 10_000),
        st.sampled_from(["srv-1", "srv-2", "sw-1"]),
        st.sampled_from(["service_error", "link_down", "disk_full", "credential_attack"]),
        upstream=st.sampled_from([(), ("sw-1",)]),
        at=st.integers(0, 3600),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_every_anomaly_is_in_exactly_one_place_and_groups_fit_their_windows(history):
    correlator, places, spans = Correlator(POLICY), Counter(), {}
    for a in history:
        fact = own(correlator, a)
        if fact is None:
            continue
        members = fact.evidence if isinstance(fact, Incident) else fact.members
        incident = fact.id if isinstance(fact, Incident) else fact.incident_id
        for m in members:
            places[m.anomaly_id] += 1
            spans.setdefault(incident, []).append(m.ts)
    assert places == Counter({a.anomaly_id: 1 for a in history})
    for times in spans.values():
        times.sort()
        gaps = [b - a for a, b in pairwise(times)]
        assert all(gap <= timedelta(minutes=10) for gap in gaps)
        assert times[-1] - times[0] <= POLICY.max_length


@settings(max_examples=40, deadline=None)
@given(histories, st.integers(0, 40))
def test_a_kill_at_any_moment_gives_the_same_facts(history, at):
    undisturbed, killed = Correlator(POLICY), Correlator(POLICY)
    expected = [own(undisturbed, a) for a in history]
    before = [own(killed, a) for a in history[:at]]
    reborn = Correlator(POLICY)
    for fact in filter(None, before):
        reborn.restore(fact)
    after = [own(reborn, a) for a in history[at:]]
    assert before + after == expected
