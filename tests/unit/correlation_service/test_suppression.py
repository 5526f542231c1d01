"""What hides an anomaly, and what must not: histories in, facts out."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyCleared,
    AnomalyContext,
    AnomalySuppressed,
    Device,
    Incident,
    IncidentTransitioned,
    IncidentUpdated,
    MaintenanceNote,
    Severity,
)
from aiops_core.runtime.bus import Outgoing
from aiops_core.suppression.labels import labels_of
from aiops_core.suppression.ship import LinkOutage
from aiops_lab.memory_bus import MemoryBus
from correlation_service.correlator import Correlator
from correlation_service.handler import Correlation
from correlation_service.silences import Silences
from tests.conftest import NOON
from tests.correlation_cases import reborn
from tests.runtime_cases import received
from tests.unit.aiops_core.test_silences import silence
from tests.unit.correlation_service.test_correlation import POLICY, RULE, anomaly, own, with_policy

POWER = {
    "id": "no-power",
    "reason": "without power nothing answers",
    "source": {"anomaly_type": "power_event"},
    "target": {"anomaly_type": "device_unreachable"},
    "equal": ["device_id"],
}
MINUTE = 60
WINDOW = POLICY.window.total_seconds()


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def hides(fact):
    return isinstance(fact, AnomalySuppressed)


def silenced(*silences):
    correlator = Correlator(POLICY)
    correlator.suppression.silences.replace(silences)
    return correlator


# -- silences
# -----------------------------------------------------------------------------------------


def test_a_silence_hides_and_says_by_whom_and_why():
    hidden = own(silenced(silence()), anomaly(1, "sw-1"))
    assert hides(hidden)
    assert (hidden.kind, hidden.by, hidden.reason) == ("silence", "s1", "cable works (eto)")


def test_what_does_not_match_opens_an_incident():
    assert isinstance(own(silenced(silence()), anomaly(1, "sw-2")), Incident)


def test_after_a_silence_the_same_problem_opens_an_incident():
    correlator = silenced(silence(end=1))
    assert hides(own(correlator, anomaly(1, "sw-1", at=59)))
    assert isinstance(own(correlator, anomaly(2, "sw-1", at=60)), Incident)


def test_a_silence_that_has_not_begun_hides_nothing():
    assert isinstance(own(silenced(silence(start=1)), anomaly(1, "sw-1", at=30)), Incident)


def test_a_silence_hides_what_happens_or_arrives_while_it_is_active():
    correlator = silenced(silence(start=10, end=20))
    during, after = at(15 * MINUTE), at(30 * MINUTE)
    late = anomaly(1, "sw-1", at=15 * MINUTE, stages={"enrich": after})
    slow_clock = anomaly(2, "sw-1", at=0, stages={"enrich": during})
    neither = anomaly(3, "sw-1", at=0, stages={"enrich": after})
    assert [hides(own(correlator, a)) for a in (late, slow_clock, neither)] == [True, True, False]


def test_a_silence_that_is_replaced_stops_and_another_starts():
    correlator = silenced(silence("device_id=sw-1"))
    correlator.suppression.silences.replace([silence("host=~sw-[23]", "service!=dhcp", id="s2")])
    places = [own(correlator, anomaly(n, f"sw-{n}")) for n in (1, 2, 3)]
    assert [getattr(p, "by", None) for p in places] == [None, "s2", "s2"]
    assert len(correlator.suppression.silences) == 1


def test_of_several_silences_the_one_that_began_first_is_named():
    correlator = silenced(silence(id="b", start=-1), silence("service=app", id="a"))
    assert own(correlator, anomaly(1, "sw-1", at=5)).by == "b"


@pytest.mark.parametrize("changes", [{"severity": "critical"}, {"kind": "kernel_panic"}])
def test_nothing_hides_what_must_never_be_hidden(changes):
    correlator = with_policy(
        suppress=[RULE | {"match": {"device_id": "sw-1"}}],
        inhibit=[POWER | {"target": {"device_id": "sw-1"}}],
    )
    correlator.suppression.silences.replace([silence()])
    correlator.suppression.outages.replace([outage()])
    own(correlator, anomaly(0, "sw-1", "power_event", severity="critical"))
    fact = own(correlator, anomaly(1, "sw-1", **changes))
    assert isinstance(fact, IncidentUpdated)


async def test_the_silences_of_the_bucket_are_known_before_the_first_anomaly():
    bus, one = MemoryBus(), silence()
    await bus.bucket("silences").put(one.id, one.model_dump_json().encode())
    await bus.bucket("silences").put("junk", b"?")
    assert hides(own(await reborn(bus), anomaly(1, "sw-1")))


orders = st.lists(
    st.builds(
        lambda n, texts, start, length: silence(
            *texts, id=f"s{n}", start=start, end=start + length
        ),
        st.integers(0, 99),
        st.lists(
            st.sampled_from(
                [
                    "device_id=sw-1",
                    "device_id=~sw-[12]",
                    "device_id!=sw-1",
                    "service=app",
                    "service=",
                    "tag=new",
                    "tag!~n.*",
                    "anomaly_type=link_down",
                ]
            ),
            min_size=1,
            max_size=3,
        ),
        st.integers(-5, 5),
        st.integers(1, 5),
    ),
    max_size=8,
    unique_by=lambda one: one.id,
)


@given(orders, st.sampled_from(["sw-1", "sw-2"]), st.sets(st.sampled_from(["new", "noise"])))
def test_filing_silences_by_their_values_changes_nothing(orders, device, tags):
    one = anomaly(1, device, "link_down", tags=tuple(tags), stages={"enrich": at(120)})
    meant = [
        order
        for order in orders
        if "active" in (order.state_at(one.ts), order.state_at(at(120)))
        and order.matches(labels_of(one))
    ]
    first = min(meant, key=lambda order: (order.starts_at, order.id), default=None)
    assert Silences(orders).hiding(one) == first


# -- rules and maintenance
# ------------------------------------------------------------------------------


def test_a_rule_of_the_policy_goes_before_a_silence():
    correlator = with_policy(suppress=[RULE])
    correlator.suppression.silences.replace([silence("device_id=bench-7")])
    hidden = own(correlator, anomaly(1, "bench-7"))
    assert (hidden.kind, hidden.by) == ("rule", "bench")


def note(device="srv-1"):
    return MaintenanceNote(id="w1", owner="chief", reason="new fans", end=at(600))


def test_maintenance_hides_and_names_the_window_its_owner_and_its_reason():
    hidden = own(Correlator(POLICY), anomaly(1, context=AnomalyContext(maintenance=note())))
    assert (hidden.kind, hidden.by, hidden.source) == ("maintenance", "maintenance", "w1")
    assert hidden.reason.endswith("new fans (chief)")


def test_a_rule_may_also_ask_that_nobody_works_on_the_device():
    correlator = with_policy(
        suppress=[RULE | {"match": {"device_id": "srv-*", "maintenance": False}}]
    )
    under = anomaly(1, context=AnomalyContext(maintenance=note()))
    assert [hides(own(correlator, a)) for a in (under, anomaly(2))] == [False, True]


def test_a_rule_can_be_about_severe_ones_only():
    correlator = with_policy(
        suppress=[RULE | {"match": {"device_id": "bench-*", "severity_at_least": "high"}}]
    )
    facts = [own(correlator, anomaly(n, "bench-7", severity=s)) for n, s in enumerate(Severity)]
    assert [hides(fact) for fact in facts] == [False, False, True, False]


# -- inhibition
# -----------------------------------------------------------------------------------------


def inhibiting(**changes):
    return with_policy(inhibit=[POWER | changes])


def test_while_its_source_is_open_a_consequence_is_hidden_and_points_to_the_incident():
    correlator = inhibiting()
    cause = own(correlator, anomaly(1, kind="power_event"))
    hidden = own(correlator, anomaly(2, kind="device_unreachable"))
    assert (hidden.kind, hidden.by, hidden.source) == ("inhibition", "no-power", cause.id)
    assert hidden.reason == (
        "without power nothing answers: power event on srv-1 since 12:00:01 UTC"
    )


def test_another_device_is_not_inhibited():
    correlator = inhibiting()
    own(correlator, anomaly(1, "srv-1", "power_event"))
    assert isinstance(own(correlator, anomaly(2, "srv-2", "device_unreachable")), Incident)


def test_a_source_does_not_hide_its_own_kind():
    correlator = inhibiting(target={"device_id": "srv-*"})
    own(correlator, anomaly(1, kind="power_event"))
    again = own(correlator, anomaly(2, kind="power_event"))
    assert isinstance(again, IncidentUpdated)


def test_a_value_that_nobody_knows_equals_nothing():
    correlator = inhibiting(equal=["service"])
    own(correlator, anomaly(1, "srv-1", "power_event", service="unknown"))
    other = anomaly(2, "srv-2", "device_unreachable", service="unknown")
    assert isinstance(own(correlator, other), Incident)


def test_what_was_hidden_itself_hides_nothing():
    correlator = inhibiting()
    correlator.suppression.silences.replace([silence("anomaly_type=power_event")])
    assert hides(own(correlator, anomaly(1, kind="power_event")))
    assert isinstance(own(correlator, anomaly(2, kind="device_unreachable")), Incident)


def test_a_source_of_another_ship_inhibits_nothing():
    correlator = inhibiting()
    own(correlator, anomaly(1, kind="power_event", ship_id="s2"))
    assert isinstance(own(correlator, anomaly(2, kind="device_unreachable")), Incident)


def test_a_source_that_has_been_quiet_for_its_window_explains_nothing_more():
    correlator = inhibiting()
    own(correlator, anomaly(1, kind="power_event", at=0, state=False))
    inside, outside = (
        own(correlator, anomaly(n, kind="device_unreachable", at=WINDOW + n)) for n in (0, 2)
    )
    assert (hides(inside), hides(outside)) == (True, False)


def test_a_source_that_lasts_explains_until_it_is_cleared():
    correlator = inhibiting()
    own(correlator, anomaly(1, kind="power_event", at=0))
    assert hides(own(correlator, anomaly(2, kind="device_unreachable", at=20 * WINDOW)))
    correlator.handle(recovery(21 * WINDOW))
    assert not hides(own(correlator, anomaly(3, kind="device_unreachable", at=22 * WINDOW)))


def recovery(seconds, **fields):
    base = {
        "tracking_id": f"c{seconds}",
        "ship_id": "s1",
        "ts": at(seconds),
        "host": "srv-1",
        "anomaly_types": ("power_event",),
        "detector": "pattern",
        "reason": "power is back",
    }
    return AnomalyCleared.model_validate(base | fields)


def test_a_sign_of_recovery_ends_it_until_it_happens_again():
    correlator = inhibiting()
    history = [
        (anomaly(1, kind="power_event"), False),
        (anomaly(2, kind="device_unreachable"), True),
        (recovery(10), None),
        (anomaly(11, kind="device_unreachable"), False),
        (anomaly(9, kind="device_unreachable"), True),  # late: it was still dark
        (anomaly(12, kind="power_event"), False),
        (anomaly(13, kind="device_unreachable"), True),
    ]
    for event, wanted in history:
        if isinstance(event, AnomalyCleared):
            correlator.handle(event)
        else:
            assert hides(own(correlator, event)) is wanted, event.tracking_id


@pytest.mark.parametrize(
    "fields", [{"host": "srv-9"}, {"service": "dhcp"}, {"anomaly_types": ("link_down",)}]
)
def test_a_recovery_of_something_else_ends_nothing(fields):
    correlator = inhibiting()
    own(correlator, anomaly(1, kind="power_event"))
    correlator.handle(recovery(10, **fields))
    assert hides(own(correlator, anomaly(11, kind="device_unreachable")))


@pytest.mark.parametrize(
    ("raised", "ended", "over"),
    [
        ("psu 1", "psu 2", False),
        ("psu 1", "psu 1", True),
        ("psu 1", "", True),
        ("", "psu 1", True),
        ("", "", True),
    ],
)
def test_a_recovery_of_another_part_ends_nothing(raised, ended, over):
    correlator = inhibiting()
    own(correlator, anomaly(1, kind="power_event", component=raised))
    correlator.handle(recovery(10, component=ended))
    assert hides(own(correlator, anomaly(11, kind="device_unreachable"))) is not over


def resolved(incident_id):
    return IncidentTransitioned(
        tracking_id="x",
        ship_id="s1",
        ts=at(5),
        incident_id=incident_id,
        change=1,
        kind="resolve",
        from_status="open",
        to_status="resolved",
    )


async def test_an_incident_that_is_over_explains_nothing():
    correlator = inhibiting()
    cause = own(correlator, anomaly(1, kind="power_event"))
    correlation = Correlation(POLICY, MemoryBus())
    correlation.correlator = correlator
    await correlation.handle(received(resolved(cause.id)))
    assert len(correlator.suppression.inhibitions) == 0
    assert isinstance(own(correlator, anomaly(2, kind="device_unreachable")), Incident)


def test_expiry_ends_it_and_frees_its_memory():
    correlator = inhibiting()
    own(correlator, anomaly(1, kind="power_event", state=False))
    assert len(correlator.suppression.inhibitions) == 1
    assert list(correlator.expire(at(10 * WINDOW)))
    assert len(correlator.suppression.inhibitions) == 0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"equal": []}, "inhibit.0.equal"),
        ({"equal": ["msg"]}, "inhibit.0.equal.0"),
        ({"source": {}}, "matches every anomaly"),
        ({"target": {"severity_at_most": "low"}}, "matches every anomaly"),
        ({"source": {"msg": "*"}}, "Extra inputs are not permitted"),
    ],
)
def test_an_inhibition_that_would_hide_anything_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        inhibiting(**changes)


def test_two_rules_with_one_id_are_refused():
    with pytest.raises(ValueError, match="have the id no-power"):
        with_policy(inhibit=[POWER], suppress=[RULE | {"id": "no-power"}])


async def test_after_a_kill_the_facts_say_what_is_inhibited():
    bus, correlator = MemoryBus(), inhibiting()
    facts = [
        own(correlator, anomaly(1, "srv-1", "power_event")),
        own(correlator, anomaly(2, "srv-2", "power_event")),
        own(correlator, anomaly(3, "srv-3", "power_event")),
    ]
    gone = [recovery(10, host="srv-2"), resolved(facts[2].id)]
    for n, fact in enumerate([*gone, *facts]):  # in an order that their services' races may give
        await bus.publish([Outgoing(fact, f"e{n}")])
    again = await reborn(bus, inhibiting().policy)
    after = [own(again, anomaly(11 + n, f"srv-{n}", "device_unreachable")) for n in (1, 2, 3)]
    assert [hides(fact) for fact in after] == [True, False, False]


events = st.lists(
    st.tuples(
        st.sampled_from(["power_event", "device_unreachable", "disk_full", "recovery"]),
        st.sampled_from(["srv-1", "srv-2"]),
        st.integers(0, 900),
    ),
    max_size=30,
)


@settings(max_examples=100)
@given(events, st.integers(0, 30))
def test_a_kill_at_any_moment_hides_the_same(history, kill):
    def told(correlator, n):
        kind, device, second = history[n]
        if kind == "recovery":
            sign = recovery(second, host=device)
            return [sign, *correlator.handle(sign)]
        return correlator.handle(anomaly(n, device, kind, at=second))

    def hidden(facts):
        return [(fact.anomaly_id, fact.by) for fact in facts if hides(fact)]

    undisturbed, killed, reborn = inhibiting(), inhibiting(), inhibiting()
    expected = [fact for n in range(len(history)) for fact in told(undisturbed, n)]
    before = [fact for n in range(len(history[:kill])) for fact in told(killed, n)]
    for fact in before:
        reborn.evolve(fact)
    after = [fact for n in range(len(history[:kill]), len(history)) for fact in told(reborn, n)]
    assert hidden([*before, *after]) == hidden(expected)


# -- known outages
# --------------------------------------------------------------------------------------


def outage(id="o1", device_id="modem-1", start=0, end=600, **fields):
    given = {"kind": "blocked_sector", "reason": "mast astern", "source": "acu-1"}
    times = {"start": at(start), "end": at(end)}
    return LinkOutage.model_validate({"id": id, "device_id": device_id} | given | times | fields)


def below(n, kind="device_unreachable", upstream=("fw-1", "modem-1"), **fields):
    context = AnomalyContext(upstream=tuple(Device(id=u) for u in upstream))
    return anomaly(n, fields.pop("device", "mail-1"), kind, context=context, **fields)


def during(*outages):
    correlator = Correlator(POLICY)
    correlator.suppression.outages.replace(outages or [outage()])
    return correlator


def test_a_known_outage_hides_what_hangs_on_the_link_with_its_id_and_reason():
    hidden = own(during(), below(1))
    assert (hidden.kind, hidden.by) == ("outage", "o1")
    assert hidden.reason == "modem-1: blocked sector, mast astern (acu-1)"


def test_it_hides_the_loss_on_the_link_itself_however_severe():
    lost = anomaly(1, "modem-1", "link_down", severity="critical", domain="comms")
    assert hides(own(during(), lost))


@pytest.mark.parametrize("kind", ["disk_full", "credential_attack", "temperature"])
def test_what_no_link_explains_still_makes_an_incident(kind):
    assert isinstance(own(during(), below(1, kind)), Incident)


def test_what_does_not_hang_on_the_link_still_makes_an_incident():
    assert isinstance(own(during(), below(1, upstream=("sw-1",))), Incident)


SHORE = [{"domain": "comms"}, {"service": "shore-sync"}]


@pytest.mark.parametrize("fields", SHORE)
def test_what_only_the_shore_explains_is_hidden_on_a_device_that_nobody_knows(fields):
    assert hides(own(during(), anomaly(1, "unknown-7", **fields)))


@pytest.mark.parametrize("fields", SHORE)
def test_on_a_known_device_that_does_not_need_the_link_it_is_another_failure(fields):
    known = AnomalyContext(device=Device(id="lband-1"))
    assert not hides(own(during(), anomaly(1, "lband-1", context=known, **fields)))


def test_the_inventory_knows_also_what_is_far_below_the_link():
    chain = [Device(id="modem-1")] + [
        Device(id=f"d{n}", upstream=(f"d{n - 1}" if n else "modem-1",)) for n in range(20)
    ]
    correlator = during()
    correlator.use(Inventory(chain))
    nearest = AnomalyContext(device=chain[-1], upstream=tuple(chain[-9:-1]))
    assert hides(own(correlator, anomaly(1, "d19", "dns_failure", context=nearest)))


def test_without_a_known_outage_it_is_an_incident():
    correlator = Correlator(POLICY)
    lost = anomaly(2, "modem-1", "signal_loss", domain="comms")
    facts = [own(correlator, a) for a in (below(1), lost)]
    assert not any(map(hides, facts))


def test_it_holds_from_a_margin_before_its_start_to_a_margin_after_its_end():
    margin = POLICY.outages.margin.total_seconds()
    correlator = during(outage(start=0, end=600))
    seconds = (-margin - 1, -margin, 300, 600 + margin - 1, 600 + margin)
    facts = [own(correlator, below(n, at=second)) for n, second in enumerate(seconds)]
    assert [hides(fact) for fact in facts] == [False, True, True, True, False]


def test_a_line_that_comes_late_belongs_to_the_outage_in_which_it_was_written():
    late = below(1, at=300, stages={"enrich": at(7200)})
    assert hides(own(during(), late))


def test_of_several_links_the_nearest_is_named():
    correlator = during(outage("far", "modem-1"), outage("near", "fw-1"))
    assert own(correlator, below(1)).by == "near"


def test_the_policy_decides_up_to_which_severity():
    outages = POLICY.outages.model_copy(update={"severity_at_most": Severity.HIGH})
    correlator = Correlator(POLICY.model_copy(update={"outages": outages}))
    correlator.suppression.outages.replace([outage()])
    facts = [own(correlator, below(n, severity=s)) for n, s in enumerate(("high", "critical"))]
    assert [hides(fact) for fact in facts] == [True, False]
