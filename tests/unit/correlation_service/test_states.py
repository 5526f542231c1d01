"""States stay open until the same object is cleared, a person ends them, or evidence does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiops_core.models import Incident, IncidentCleared, IncidentTransitioned, IncidentUpdated
from correlation_service.correlator import Correlator
from correlation_service.recoveries import GUESSED
from tests.conftest import NOON
from tests.correlation_cases import POLICY, SHIP, anomaly, cleared

PORT = {"component": "interface Gi1/0/24"}
OTHER = {"component": "interface Gi1/0/3"}
DAY = 86_400


@pytest.fixture
def correlator():
    return Correlator(POLICY)


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


def transition(incident_id, kind, before, status, change=1):
    return IncidentTransitioned(
        tracking_id="x",
        ship_id="s1",
        ts=NOON,
        incident_id=incident_id,
        change=change,
        kind=kind,
        from_status=before,
        to_status=status,
    )


def acknowledged(incident_id):
    return transition(incident_id, "ack", "open", "ack")


# --- how long


def test_a_state_outlasts_every_window_and_says_once_since_when_it_is_quiet(correlator):
    [opened] = correlator.handle(anomaly(1, "nas-1", "storage_error"))
    assert opened.evidence[0].state
    [quiet] = correlator.expire(after(400))
    assert isinstance(quiet, IncidentUpdated) and quiet.revision == 2
    assert quiet.quiet_since == after(1) and not quiet.members
    assert "still open" in quiet.reason and "2026-06-01 12:00:01 UTC" in quiet.reason
    assert [list(correlator.expire(after(day * DAY))) for day in range(1, 40)] == [[]] * 39


def test_an_event_is_over_when_it_is_quiet(correlator):
    correlator.handle(anomaly(1, "srv-1", "memory_error"))
    [over] = correlator.expire(after(400))
    assert (over.resolve_reason, over.confidence) == ("expired", 1.0)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"kind": "power_event"}, True),
        ({"kind": "power_event", "state": False}, False),
        ({"kind": "memory_error"}, False),
        ({"kind": "memory_error", "state": True}, True),
        ({"kind": "memory_error", "metric": "memory_percent"}, True),
        ({"kind": "memory_error", "metric": "memory_percent", "state": False}, False),
        ({"kind": "vsat_link_went_down"}, True),
    ],
)
def test_an_anomaly_says_whether_it_is_a_state_or_its_type_does(correlator, fields, state):
    [opened] = correlator.handle(anomaly(1, **fields))
    assert opened.evidence[0].state is state


def test_quiet_events_do_not_keep_an_incident_open_and_an_open_state_does(correlator):
    [opened] = correlator.handle(anomaly(1, "sw-1", "link_down", **PORT))
    correlator.handle(anomaly(2, "srv-1", "service_error", upstream=["sw-1"]))
    [quiet] = correlator.expire(after(DAY))
    assert quiet.quiet_since == after(2)
    correlator.handle(cleared(2 * DAY, "sw-1", "link_down", **PORT))
    assert list(correlator.expire(after(2 * DAY + 60))) == []
    [over] = correlator.expire(after(2 * DAY + 130))
    assert (over.incident_id, over.resolve_reason) == (opened.id, "recovered")


def test_after_a_member_it_is_quiet_again_later(correlator):
    correlator.handle(anomaly(1, "sw-1", "link_down", **PORT))
    assert len(list(correlator.expire(after(DAY)))) == 1
    correlator.handle(anomaly(2, "sw-1", "link_down", at=DAY, **PORT))
    assert list(correlator.expire(after(DAY + 30))) == []
    [quiet] = correlator.expire(after(DAY + 400))
    assert quiet.quiet_since == after(DAY)


def test_a_thousand_open_states_cost_a_tick_nothing(correlator):
    for n in range(1000):
        correlator.handle(anomaly(n, f"host-{n}", "disk_full", at=4 * n))
    assert len(list(correlator.expire(after(4400)))) == 1000
    assert correlator._closing._due == [] and correlator.state.touched == set()


# --- joining again


@pytest.mark.parametrize("later", [600, 3600, 5 * 3600, 30 * DAY])
def test_the_same_object_joins_its_open_state_however_long_ago(correlator, later):
    [opened] = correlator.handle(anomaly(1, "sw-1", "link_down", **PORT))
    list(correlator.expire(after(later - 1)))
    [again] = correlator.handle(anomaly(2, "sw-1", "link_down", at=later, **PORT))
    assert again.incident_id == opened.id
    [member] = again.members
    assert (member.reason, member.alerts) == ("the same problem again", opened.evidence[0].alerts)


def test_another_object_long_after_is_another_incident(correlator):
    [opened] = correlator.handle(anomaly(1, "sw-1", "link_down", **PORT))
    [other] = correlator.handle(anomaly(2, "sw-1", "link_down", at=3600, **OTHER))
    assert isinstance(other, Incident) and other.id != opened.id
    [again] = correlator.handle(anomaly(3, "sw-1", "link_down", at=3610, **PORT))
    assert again.incident_id == opened.id


def test_what_is_told_again_late_pulls_nothing_in(correlator):
    correlator.use(SHIP)
    [opened] = correlator.handle(anomaly(1, "sw-1", "hardware_failure", **PORT))
    correlator.handle(anomaly(2, "sw-1", "hardware_failure", at=7200, **PORT))
    [symptom] = correlator.handle(anomaly(3, "srv-1", "service_error", at=7202))
    [beside] = correlator.handle(anomaly(4, "sw-1", "power_event", at=7203))
    assert opened.id not in (symptom.id, getattr(beside, "id", beside.incident_id))


def test_a_cleared_state_that_comes_again_is_another_occurrence(correlator):
    [opened] = correlator.handle(anomaly(1, "sw-1", "link_down", **PORT))
    correlator.handle(cleared(10, "sw-1", "link_down", **PORT))
    list(correlator.expire(NOON + timedelta(hours=1)))
    [again] = correlator.handle(anomaly(2, "sw-1", "link_down", at=3600, **PORT))
    assert (again.incident_id, again.reopens) == (opened.id, True)
    [later] = correlator.handle(anomaly(3, "sw-1", "link_down", at=9 * 3600, **PORT))
    assert later.incident_id == opened.id  # nothing has cleared it


def test_an_old_state_on_a_switch_does_not_let_it_speak_for_itself(correlator):
    correlator.use(SHIP)
    correlator.handle(anomaly(0, "sw-1", "hardware_failure", component="fan 1"))
    for n in (1, 2):
        correlator.handle(anomaly(n, f"srv-{n}", "device_unreachable", at=DAY + n))
    inferred = [incident.inferred for incident in correlator.state.open.incidents.values()]
    assert sorted(inferred) == ["", "sw-1"]


def test_many_ports_told_at_long_intervals_are_compared_with_what_is_new(correlator):
    for n in range(100):
        port = {"component": f"interface Gi1/0/{n}"}
        correlator.handle(anomaly(n, "sw-1", "link_down", at=n * 3600, **port))
    [opened] = correlator.handle(anomaly(200, "sw-1", "power_event", at=200 * 3600))
    [joined] = correlator.handle(anomaly(201, "sw-1", "device_reboot", at=200 * 3600 + 5))
    assert joined.incident_id == opened.id


# --- what ends it


def test_another_port_ends_nothing_and_the_same_one_does(correlator):
    [opened] = correlator.handle(anomaly(1, "sw-acc-09", "link_down", severity="high", **PORT))
    assert correlator.handle(cleared(30, "sw-acc-09", "link_down", **OTHER)) == []
    correlator.handle(cleared(40, "sw-acc-09", "link_down", **PORT))
    [over] = correlator.expire(after(400))
    assert (over.incident_id, over.resolve_reason) == (opened.id, "recovered")
    assert over.confidence == 1.0 and "probably" not in over.note


@pytest.mark.parametrize("overtakes", [False, True])
def test_a_part_may_be_the_one_that_nobody_named(correlator, overtakes):
    history = [anomaly(1, "sw-1", "link_down"), cleared(9, "sw-1", "link_down", **OTHER)]
    for one in reversed(history) if overtakes else history:
        correlator.handle(one)
    [over] = correlator.expire(after(400))
    assert (over.resolve_reason, over.confidence) == ("recovered", GUESSED)
    assert over.note.startswith("probably: all has recovered")


@pytest.mark.parametrize("overtakes", [False, True])
def test_a_part_that_was_down_itself_is_not_the_one_that_nobody_named(correlator, overtakes):
    correlator.handle(anomaly(1, "sw-1", "link_down", **OTHER))
    history = [anomaly(2, "sw-1", "link_down"), cleared(9, "sw-1", "link_down", **OTHER)]
    for one in reversed(history) if overtakes else history:
        correlator.handle(one)
    correlator.handle(cleared(10, "sw-1", "link_down", **OTHER))  # said twice
    [quiet] = correlator.expire(after(400))
    assert quiet.quiet_since == after(2)


def test_an_inferred_end_says_that_it_is_probable_and_from_what(correlator):
    correlator.handle(anomaly(1, "srv-1", "service_down"))
    end = cleared(60, "srv-1", "service_down", confidence=0.7, reason="it answers again")
    [update] = correlator.handle(end)
    assert update.reason.startswith("service down on srv-1 is probably over: it answers again")
    assert update.cleared.confidence == 0.7
    [over] = correlator.expire(after(400))
    assert (over.resolve_reason, over.confidence) == ("recovered", 0.7)
    assert over.note.startswith("probably: ") and "it answers again" in over.note


def test_a_sure_end_after_an_inferred_one_is_sure(correlator):
    correlator.handle(anomaly(1, "srv-1", "service_down"))
    correlator.handle(cleared(60, "srv-1", "service_down", confidence=0.7))
    correlator.handle(anomaly(2, "srv-1", "service_down", at=90))
    correlator.handle(cleared(95, "srv-1", "service_down"))
    [over] = correlator.expire(after(400))
    assert (over.confidence, over.note.startswith("all has recovered")) == (1.0, True)


def test_a_person_ends_it(correlator):
    [opened] = correlator.handle(anomaly(1, "srv-1", "disk_full"))
    correlator.handle(transition(opened.id, "resolve", "open", "resolved"))
    assert list(correlator.expire(after(DAY))) == []
    assert isinstance(correlator.handle(anomaly(2, "srv-1", "disk_full", at=DAY))[0], Incident)


def test_every_port_of_a_large_switch_is_told_apart(correlator):
    ports = [{"component": f"interface Gi{n // 48}/0/{n % 48}"} for n in range(240)]
    for n, port in enumerate(ports):
        correlator.handle(anomaly(n, "sw-1", "link_down", at=n / 10, **port))
    for port in ports[:-1]:
        correlator.handle(cleared(60, "sw-1", "link_down", **port))
    [quiet] = correlator.expire(after(DAY))
    assert isinstance(quiet, IncidentUpdated)
    correlator.handle(cleared(DAY, "sw-1", "link_down", **ports[-1]))
    [over] = correlator.expire(after(DAY + 300))
    assert over.resolve_reason == "recovered"


def test_what_no_part_can_be_told_of_is_ended_by_no_single_part(correlator):
    for n in range(300):
        correlator.handle(anomaly(n, "sw-1", "link_down", at=n / 10, component=f"port {n}"))
    for n in range(300):
        correlator.handle(cleared(60, "sw-1", "link_down", component=f"port {n}"))
    assert isinstance(next(iter(correlator.expire(after(DAY)))), IncidentUpdated)
    correlator.handle(cleared(DAY, "sw-1", "link_down"))
    [over] = correlator.expire(after(DAY + 300))
    assert over.resolve_reason == "recovered"


# --- what people acknowledge


def test_what_is_acknowledged_does_not_expire(correlator):
    [opened] = correlator.handle(anomaly(1, "srv-1", "memory_error"))
    correlator.handle(acknowledged(opened.id))
    [quiet] = correlator.expire(after(400))
    assert quiet.quiet_since == after(1) and "it is acknowledged" in quiet.reason
    assert list(correlator.expire(after(30 * DAY))) == []
    correlator.handle(cleared(31 * DAY, "srv-1", "memory_error"))
    [over] = correlator.expire(after(31 * DAY + 130))
    assert over.resolve_reason == "recovered"


def test_what_is_acknowledged_no_more_expires(correlator):
    [opened] = correlator.handle(anomaly(1, "srv-1", "memory_error"))
    correlator.handle(acknowledged(opened.id))
    assert len(list(correlator.expire(after(400)))) == 1
    correlator.handle(transition(opened.id, "reopen", "resolved", "open", 2))
    [over] = correlator.expire(after(500))
    assert isinstance(over, IncidentCleared) and over.resolve_reason == "expired"


@pytest.mark.parametrize("kind", ["edit", "comment"])
def test_a_comment_on_what_is_resolved_ends_nothing(correlator, kind):
    [opened] = correlator.handle(anomaly(1, "srv-1", "disk_full"))
    correlator.handle(transition(opened.id, kind, "resolved", "resolved"))
    assert opened.id in correlator.state.open.incidents


@pytest.mark.parametrize("kind", ["edit", "comment"])
def test_a_comment_leaves_it_acknowledged(correlator, kind):
    [opened] = correlator.handle(anomaly(1, "srv-1", "memory_error"))
    correlator.handle(acknowledged(opened.id))
    correlator.handle(transition(opened.id, kind, "ack", "ack", 2))
    assert isinstance(next(iter(correlator.expire(after(400)))), IncidentUpdated)
