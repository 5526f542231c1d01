"""Whoever can send a line can invent hosts, peers and services: what that can grow is bounded."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from unittest.mock import patch

import pytest
from hypothesis import given, settings

from aiops_core.models import AnomalyCleared, Incident, IncidentCleared, IncidentUpdated
from aiops_core.runtime.bus import LARGEST
from correlation_service import alerts, closing, grouping, inhibition, open_incidents, recoveries
from correlation_service.alerts import unpacked
from correlation_service.correlator import Correlator
from correlation_service.facts import DEPARTED, FactBuilder
from correlation_service.incident import KEYS_TOLD, NAMES_TOLD
from correlation_service.overlay import Overlay
from tests.conftest import NOON
from tests.correlation_cases import POLICY, Book, anomaly, cleared, lived, told
from tests.unit.correlation_service.test_correlation import with_policy
from tests.unit.correlation_service.test_properties import ends, merged

LONG = "x" * 240  # a name may have 255 characters


def size(fact) -> int:
    return len(fact.model_dump_json().encode())


def beside_members(fact) -> int:
    """Its size without what it says of single anomalies."""
    return size(fact.model_copy(update={"members": (), "departed": ()}))


def after(seconds: float):
    return NOON + timedelta(seconds=seconds)


def test_a_fact_stays_small_however_many_hosts_and_peers_are_in_the_incident():
    correlator, largest = Correlator(POLICY), 0
    for n in range(1200):
        [*facts] = correlator.handle(anomaly(n, f"host-{n}", "log_error", at=n / 100))
        largest = max(largest, *map(beside_members, facts))
    for n in range(1200, 3200):
        meta = {"peer": f"10.0.{n // 250}.{n % 250}"}
        attack = anomaly(n, "srv-1", "credential_attack", at=n / 100, meta=meta)
        largest = max(largest, *map(beside_members, correlator.handle(attack)))
    assert largest < 10_000


def test_what_is_told_of_long_names_fits_through_the_broker():
    correlator, largest = Correlator(POLICY), 0
    for n in range(1500):
        odd = anomaly(n, f"{n}{LONG}", "log_error", at=n / 100, service=f"{n}{LONG}")
        largest = max(largest, *map(size, correlator.handle(odd)))
    assert largest < LARGEST / 2


def test_an_incident_that_loses_many_members_says_so_in_facts_that_fit():
    correlator = Correlator(with_policy(members_kept=20_000).policy)
    for n in range(2 * DEPARTED + 10):
        correlator.handle(anomaly(n, LONG, "link_down", at=n / 100))
    [gone] = correlator.state.open.incidents.values()
    builder = FactBuilder(Overlay(correlator.state, correlator.policy), anomaly(1))
    members = [m for alert in gone.alerts.values() for m in unpacked(alert.members or ())]
    assert len(members) > DEPARTED
    facts = list(builder.moved_out(gone.id, members, "another"))
    assert sum(len(fact.departed) for fact in facts) == len(members)
    assert max(map(size, facts)) < LARGEST
    assert all(len(fact.affected_devices or ()) <= NAMES_TOLD for fact in facts)


def test_no_incident_holds_more_problems_than_can_be_told_quickly():
    with patch.object(grouping, "ALERTS_TOGETHER", 20):
        correlator = Correlator(POLICY)
        book = told((anomaly(n, f"host-{n}", "log_error", at=n) for n in range(100)), correlator)
    assert (
        sorted(len(incident.alerts) for incident in correlator.state.open.incidents.values())
        == [20] * 5
    )
    assert set(book.told.values()) == {1}


def test_of_too_many_open_problems_the_quietest_are_closed_early():
    correlator, book = Correlator(POLICY), Book()
    with patch.object(closing, "ALERTS_OPEN", 50):
        for n in range(200):
            book.read(correlator.handle(anomaly(n, f"host-{n}", "hardware_failure", at=n / 10)))
        over = list(correlator.expire(after(25)))
        book.read(over)
    assert (len(over), len(correlator.state.open.alerts)) == (150, 50)
    assert {end.resolve_reason for end in over} == {"expired"}
    assert "more than 50 alerts" in over[0].note
    assert next(iter(correlator.state.open.incidents.values())).first_seen == after(15)
    assert set(book.told.values()) == {1}


def test_the_number_of_open_alerts_is_that_of_all_incidents():
    correlator = Correlator(POLICY)
    told(
        [anomaly(n, f"host-{n % 7}", ("service_error", "log_error")[n % 2]) for n in range(40)],
        correlator,
    )
    open_ = correlator.state.open
    assert (
        len(open_.alerts) == sum(len(incident.alerts) for incident in open_.incidents.values()) > 0
    )
    list(correlator.expire(after(86_400)))
    assert len(correlator.state.open.alerts) == 0


def test_an_attacker_with_many_addresses_takes_no_more_memory():
    correlator = Correlator(POLICY)
    for n in range(3000):
        meta = {"peer": f"10.{n // 250}.0.{n % 250}"}
        correlator.handle(anomaly(n, "srv-1", "credential_attack", at=n / 20, meta=meta))
    [incident] = correlator.state.open.incidents.values()
    [alert] = incident.alerts.values()
    assert len(alert.keys) <= alerts.KEYS_KEPT
    assert len(alert.series) <= alerts.SERIES_KEPT + 1
    assert len(alert.fingerprints) <= alerts.FINGERPRINTS_KEPT
    assert len(incident.keys) <= KEYS_TOLD
    assert len(correlator.state.open.sharing.filed) <= alerts.KEYS_KEPT


def test_of_too_many_members_in_memory_alerts_can_move_no_more():
    correlator = Correlator(POLICY)
    with patch.object(open_incidents, "MEMBERS_KEPT", 10):
        book = told((anomaly(n, f"host-{n % 8}", at=n) for n in range(40)), correlator)
        told([anomaly(50, "host-0", "link_down", at=50, state=False)], correlator, book)
    open_ = correlator.state.open
    assert open_.members == sum(alert.kept for alert in open_.alerts.values()) <= 11
    assert set(book.told.values()) == {1}
    list(correlator.expire(after(86_400)))
    assert open_.members == 0


def test_flapping_does_not_fill_the_calendar():
    correlator = Correlator(POLICY)
    for n in range(500):
        correlator.handle(anomaly(n, "srv-1", at=n))
        correlator.handle(cleared(n + 0.5, "srv-1"))
    assert len(correlator._closing._due) < 10


def test_recoveries_of_nothing_do_not_pile_up():
    correlator = Correlator(POLICY)
    with patch.object(recoveries, "KEYS_KEPT", 10):
        for n in range(100):
            correlator.handle(cleared(n, f"host-{n}"))
    assert len(correlator.state.recoveries) == 10


def test_recoveries_of_ever_new_parts_are_bounded_in_all():
    correlator = Correlator(POLICY)
    with patch.object(recoveries, "SCOPES_IN_ALL", 100):
        for n in range(500):
            correlator.handle(cleared(n, f"host-{n % 7}", component=f"disk {n}"))
    known = correlator.state.recoveries._known.values()
    assert 100 - recoveries.SCOPES_KEPT <= sum(map(len, known)) <= 100


def test_too_many_sources_of_inhibition_hide_nothing_more():
    rule = {
        "id": "no-power",
        "reason": "no power",
        "source": {"anomaly_type": "power_event"},
        "target": {"anomaly_type": "device_unreachable"},
        "equal": ["device_id"],
    }
    correlator = with_policy(inhibit=[rule])
    with patch.object(inhibition, "SOURCES_KEPT", 3):
        for n in range(10):
            correlator.handle(anomaly(n, f"host-{n}", "power_event"))
    assert len(correlator.state.inhibitions) == 3
    [told] = correlator.handle(anomaly(20, "host-9", "device_unreachable"))
    assert isinstance(told, Incident | IncidentUpdated)


IN_2038 = 12 * 365 * 86_400


def test_an_anomaly_of_the_future_is_over_when_it_has_been_quiet_since_it_came():
    correlator = Correlator(POLICY)
    arrival = {"stages": {"enrich": NOON}}
    [opened] = correlator.handle(anomaly(1, "srv-1", "link_degraded", at=IN_2038, **arrival))
    [over] = correlator.expire(after(POLICY.window_of("link_degraded").total_seconds() + 60))
    assert isinstance(over, IncidentCleared)
    assert over.incident_id == opened.id


@pytest.mark.parametrize("ahead", [3600, IN_2038])
def test_a_clock_that_is_ahead_does_not_make_the_anomalies_of_others_late(ahead):
    correlator = Correlator(POLICY)
    correlator.handle(anomaly(0, "srv-9", "link_down", at=ahead, stages={"enrich": NOON}))
    correlator.handle(anomaly(1, "srv-1", at=1))
    with patch.object(grouping.Placement, "_regroup") as choose_again:
        for n in range(2, 20):
            correlator.handle(anomaly(n, "srv-1", at=n))
    choose_again.assert_not_called()


def smallest(stack: ExitStack) -> None:
    stack.enter_context(patch.object(alerts, "KEYS_KEPT", 1))
    stack.enter_context(patch.object(alerts, "FINGERPRINTS_KEPT", 1))
    stack.enter_context(patch.object(grouping, "ALERTS_TOGETHER", 3))


@settings(max_examples=300)
@given(merged())
def test_at_every_cap_each_anomaly_is_still_told_once_and_survives_a_kill(history):
    with ExitStack() as stack:
        smallest(stack)
        correlator, reborn = Correlator(POLICY), Correlator(POLICY)
        stream = lived(history, correlator)
        book = Book().read(fact for fact in stream if not isinstance(fact, AnomalyCleared))
        assert set(book.told.values()) <= {1}
        for fact in stream:
            reborn.evolve(fact)
        ids = {end.incident_id for end in ends(correlator)}
        assert {end.incident_id for end in ends(reborn)} == ids
