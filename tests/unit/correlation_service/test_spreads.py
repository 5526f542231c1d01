"""One trouble on many devices: what is of one kind, of one spread, and what of it is told."""

from datetime import timedelta

import pytest

from aiops_core.models import Incident, Severity
from correlation_service.kinds import kind_of
from correlation_service.problem import KnownProblem
from correlation_service.signatures import signature_of
from tests.correlation_cases import POLICY, anomaly, cleared, order
from tests.problem_cases import Ship

HOUR, DAY = 3600, 86400
RULES = POLICY.problems.spread


@pytest.fixture
def ship():
    return Ship()


def trouble(n, device=None, at=None, **fields):
    """The same trouble on another device, a minute after the former one."""
    fields = {"upstream": (), "kind": "service_error", "msg": "worker 7 died"} | fields
    return anomaly(n, device or f"srv-{n}", at=60 * n if at is None else at, **fields)


def opened(facts):
    return [fact for fact in facts if isinstance(fact, Incident)]


def spreads(facts):
    return [one.recurrence.spread for one in opened(facts)]


def kind(**fields):
    """Of an anomaly with *fields* the kind, as its incident says it."""
    [incident] = Ship().says(trouble(1, **fields))
    return incident.recurrence.kind


# --- kinds


def test_the_kind_forgets_the_device_names_and_numbers():
    base = kind(device="srv-1", msg="worker 7 of srv-1 died: code=0x1f, /var/run/w7.pid")
    assert kind(device="db-2", msg="worker 12 of db-2 died: code=0xaa, /var/run/w12.pid") == base
    assert kind(device="db-2", msg="listener 12 of db-2 died: code=0xaa") != base
    assert kind(device="srv-1", service="other", msg="worker 7 of srv-1 died") != base
    assert kind(device="srv-1", kind="disk_full", msg="worker 7 of srv-1 died") != base


def test_the_kind_of_a_component_is_its_name_without_numbers():
    port = {"kind": "link_down", "state": True}
    base = kind(**port, component="interface Gi1/0/24", msg="down")
    assert kind(**port, device="sw-9", component="interface Gi2/0/3", msg="lost carrier") == base
    assert kind(**port, component="interface Te1/0/24", msg="down") != base


def test_of_a_state_the_wording_does_not_matter():
    state = {"kind": "hardware_failure", "state": True}
    assert kind(**state, msg="psu failure") == kind(**state, msg="PSU 2: no output")


def test_an_attack_is_of_one_kind_whoever_does_it_by_whichever_door():
    attack = {"kind": "credential_attack", "domain": "security"}
    by_ssh = kind(**attack, service="sshd", msg="failed password for eto from 10.9.8.7")
    assert kind(**attack, device="nas-1", service="ftpd", msg="login refused") == by_ssh


def test_what_has_one_signature_is_of_one_kind():
    """A problem that comes back in other words is of the kind that it was of."""
    variants = [
        trouble(1, "srv-1", kind="link_down", state=True, component="interface Gi1", msg=msg)
        for msg in ("down", "lost carrier", "no signal on fibre")
    ]
    [first, *others] = [opened(Ship().says(one))[0].evidence[0] for one in variants]
    for one in others:
        assert signature_of("s1", one, POLICY) == signature_of("s1", first, POLICY)
        assert kind_of("s1", one, POLICY) == kind_of("s1", first, POLICY)


def test_ships_share_no_kind(ship):
    one, other = opened(ship.says(trouble(1), trouble(2, ship_id="s2")))
    assert one.recurrence.kind != other.recurrence.kind


# --- spreads


def test_each_stays_an_incident_with_a_life_of_its_own(ship):
    link = {"kind": "link_down", "state": True, "component": "interface Gi1"}
    facts = ship.says(*(trouble(n, **link) for n in range(1, 5)))
    assert len(opened(facts)) == 4 and len(set(spreads(facts))) == 1
    ship.says(cleared(600, "srv-2", "link_down", service="app", component="interface Gi1"))
    ship.after(minutes=30)
    assert len(ship.correlator.state.open.incidents) == 3


def test_the_id_stays_when_another_device_comes_and_the_first_is_forgotten(ship):
    first = spreads(ship.says(*(trouble(n) for n in range(3))))
    table = ship.correlator.state.problems.table
    table.forget(next(iter(table)))
    assert set(spreads(ship.says(trouble(4), trouble(5)))) == set(first)


def test_each_begins_within_the_time_of_another_one(ship):
    day = RULES.within.total_seconds()
    near = ship.says(trouble(1, at=0), trouble(2, at=0.9 * day), trouble(3, at=1.8 * day))
    assert len(set(spreads(near))) == 1
    [late] = spreads(ship.says(trouble(4, at=2.9 * day)))
    assert late not in spreads(near)


def test_what_is_still_open_takes_what_comes_after_weeks(ship):
    fan = {"kind": "hardware_failure", "state": True, "component": "fan 1"}
    facts = ship.says(*(trouble(n, at=n * 20 * DAY, **fan) for n in range(3)))
    assert len(set(spreads(facts))) == 1


def test_three_links_that_fail_in_a_month_and_are_repaired_are_three_items(ship):
    link = {"kind": "link_down", "state": True, "component": "interface Gi1/0/24"}
    facts = []
    for n, day in enumerate((2, 11, 25)):
        facts += ship.says(trouble(n, f"sw-{n}", at=day * DAY, **link))
        at = day * DAY + 3 * HOUR
        mended = {"service": "app", "component": "interface Gi1/0/24"}
        facts += ship.says(cleared(at, f"sw-{n}", "link_down", **mended))
    assert len(set(spreads(facts))) == 3 and all(one.announce for one in opened(facts))


def test_an_event_is_open_no_longer_because_its_lines_came_late(ship):
    """Old lines of a replay keep their incident open by the clock of the host."""
    later = {"enrich": trouble(1).ts + timedelta(days=1000)}
    facts = ship.says(trouble(1, at=20 * DAY, stages=later), trouble(2, at=40 * DAY, stages=later))
    assert len(set(spreads(facts))) == 2


def test_a_problem_that_comes_back_alone_is_of_a_spread_of_its_own(ship):
    before = spreads(ship.says(*(trouble(n) for n in range(1, 4))))
    [alone] = opened(ship.says(trouble(9, "srv-1", at=9 * DAY)))
    assert alone.recurrence.spread not in before and alone.recurrence.occurrence == 2
    assert alone.announce


# --- what is told


def told(facts):
    return [one.evidence[0].device for one in opened(facts) if one.announce]


def test_of_a_known_spread_only_twice_the_devices_are_told(ship):
    facts = ship.says(*(trouble(n) for n in range(1, 17)))
    assert told(facts) == ["srv-1", "srv-2", "srv-4", "srv-8", "srv-16"]
    assert len(opened(facts)) == 16


def test_what_is_worse_is_told(ship):
    ship.says(*(trouble(n) for n in range(1, 5)))
    facts = ship.says(
        trouble(5), trouble(6, severity=Severity.CRITICAL), trouble(7, severity=Severity.CRITICAL)
    )
    assert told(facts) == ["srv-6"]


def test_a_new_incident_on_a_device_that_is_known_is_told_as_ever(ship):
    ship.says(*(trouble(n) for n in range(1, 5)))
    assert told(ship.says(trouble(9, "srv-2", at=5 * HOUR))) == ["srv-2"]


def test_a_further_device_long_after_the_others_is_told_although_they_are_open(ship):
    psu = {"kind": "hardware_failure", "state": True, "component": "psu 1"}
    facts = ship.says(*(trouble(n, **psu) for n in range(1, 5)), trouble(5, at=30 * DAY, **psu))
    assert told(facts) == ["srv-1", "srv-2", "srv-4", "srv-5"]
    assert len(set(spreads(facts))) == 1


LINK = {"kind": "link_down", "state": True, "component": "interface Gi1/0/24", "service": "app"}


def link(n, hours):
    """The link of a switch is down."""
    return trouble(f"{n}/{hours}", f"sw-{n}", at=hours * HOUR, **LINK)


def repaired(n, hours, minutes=10):
    return cleared(
        hours * HOUR + 60 * minutes,
        f"sw-{n}",
        "link_down",
        service="app",
        component=LINK["component"],
    )


def flapping(n, since, until):
    """Every three hours the link of a switch is down for ten minutes."""
    return [m for h in range(since, until, 3) for m in (link(n, h), repaired(n, h))]


def test_what_was_repaired_weeks_ago_hushes_no_other_device(ship):
    """One link that flaps all the time keeps their spread alive."""
    first = (m for n in (2, 3, 4) for m in (link(n, n / 2), repaired(n, n / 2)))
    later = [link(5, 9 * 24 + 1), link(6, 17 * 24 + 1), link(7, 27 * 24 + 1)]
    ends = [repaired(5, 9 * 24 + 2), repaired(6, 17 * 24 + 2)]
    history = [*first, *flapping(1, 0, 28 * 24), *later, *ends]
    facts = ship.says(*sorted(history, key=lambda one: one.ts))
    assert told(facts)[-3:] == ["sw-5", "sw-6", "sw-7"]
    assert len(set(spreads(facts))) == 1


def test_a_device_that_flaps_does_not_make_an_old_spread_fresh(ship):
    lasting = [link(n, n / 2) for n in (2, 3, 4)]
    history = [*lasting, *flapping(1, 0, 10 * 24), link(5, 9 * 24 + 1)]
    facts = ship.says(*sorted(history, key=lambda one: one.ts))
    assert told(facts)[-1] == "sw-5"


def test_when_all_that_was_told_is_mended_another_device_is_told(ship):
    ship.says(*(m for n in range(1, 5) for m in (link(n, n), repaired(n, n))))
    assert told(ship.says(link(9, 24))) == ["sw-9"]


def test_while_one_that_was_told_is_open_those_that_were_mended_count(ship):
    ship.says(link(1, 1), *(m for n in range(2, 5) for m in (link(n, n), repaired(n, n))))
    assert told(ship.says(link(9, 20))) == []


def test_a_spread_that_shrank_is_told_when_it_has_doubled_again(ship):
    ship.says(*(link(n, n / 10) for n in range(1, 9)))
    ship.says(*(repaired(n, 2) for n in range(2, 9)))
    facts = ship.says(*(link(n, 20 * 24 + n / 10) for n in range(11, 18)))
    assert told(facts) == ["sw-11", "sw-13", "sw-17"]


def attack(n, device, hours, peer="203.0.113.7"):
    fields = {"kind": "credential_attack", "domain": "security", "meta": {"peer": peer}}
    return trouble(n, device, at=hours * HOUR, msg="failed password", **fields)


def test_an_attack_by_another_peer_is_always_told(ship):
    facts = ship.says(*(attack(n, f"pc-{n}", n) for n in range(1, 5)))
    assert told(facts) == ["pc-1", "pc-2", "pc-4"]
    assert told(ship.says(attack(5, "pc-5", 5))) == []
    assert told(ship.says(attack(6, "vsat-modem", 24, peer="198.51.100.9"))) == ["vsat-modem"]


# --- kills and former releases


@pytest.mark.parametrize("killed", range(1, 12))
def test_after_a_kill_the_facts_are_the_same(killed):
    history = [trouble(n) for n in range(1, 9)]
    history += [trouble(n + 20, f"srv-{n}", at=9 * DAY + n) for n in (3, 9, 10)]
    undisturbed, disturbed = Ship(), Ship()
    facts = undisturbed.says(*history)
    before = disturbed.says(*history[:killed])
    disturbed.is_killed()
    assert before + disturbed.says(*history[killed:]) == facts


@pytest.mark.parametrize("killed", [2, 5, 8])
def test_problems_that_were_saved_know_their_spread_when_the_stream_is_gone(killed):
    history = [trouble(n) for n in range(1, 9)]
    undisturbed, disturbed = Ship(), Ship()
    facts = undisturbed.says(*history)
    before = disturbed.says(*history[:killed])
    disturbed.is_killed(disturbed.problems[::-1], since=history[-1].ts + timedelta(days=1))
    after = disturbed.says(*history[killed:])
    assert spreads(before) + spreads(after) == spreads(facts)
    assert told(before) + told(after) == told(facts)


def test_after_a_kill_it_is_known_who_attacked(ship):
    facts = ship.says(*(attack(n, f"pc-{n}", n) for n in range(1, 5)))
    ship.is_killed(ship.problems, since=facts[-1].ts + timedelta(days=1))
    other = attack(6, "vsat-modem", 6, peer="198.51.100.9")
    assert told(ship.says(attack(5, "pc-5", 5), other)) == ["vsat-modem"]


def test_a_part_that_a_former_release_saved_is_of_no_attacker(ship):
    ship.says(trouble(1))
    [problem] = ship.problems
    saved = problem.model_dump(mode="json")
    assert KnownProblem.model_validate(saved | {"part": saved["part"][:6]}) == problem


def test_what_a_former_release_wrote_is_of_no_spread(ship):
    [old] = ship.says(trouble(1))
    fact = old.but(recurrence=old.recurrence.but(kind="", spread=""))
    ship.stream = [fact]
    ship.is_killed()
    [problem] = ship.problems
    assert problem.part.spread == ""
    saved = problem.model_dump(exclude={"part"}, mode="json")
    assert KnownProblem.model_validate(saved).part.spread == ""
    new = opened(ship.says(trouble(2), trouble(3)))
    assert new[0].recurrence.spread == new[1].recurrence.spread != ""


def test_merged_into_another_incident_it_is_no_part_of_its_spread(ship):
    first, second, *_ = opened(ship.says(*(trouble(n) for n in range(1, 4))))
    ship.says(order(first.id, second.id))
    spread = ship.correlator.state.problems.table.of_incident(second.id)
    assert ship.correlator.state.problems.table.spreads.devices(spread, RULES) == 2
