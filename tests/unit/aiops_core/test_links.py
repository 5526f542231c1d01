"""Which end of a link needs the other one, and how far that is believed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aiops_core.inventory.links import (
    ACCESS,
    AP,
    CORE,
    HOST,
    ROUTER,
    SWITCH,
    DeviceLink,
    Directed,
    Standing,
    Witness,
    directed,
    rank_of,
    short,
    standing_of,
)
from aiops_lab.simulator.inventory import SHIP

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def link(near: str, far: str, **more: object) -> DeviceLink:
    return DeviceLink(near, far, "lldp", f"{near} sees {far}", **more)  # type: ignore[arg-type]


def edges(*links: DeviceLink, **standings: float) -> set[tuple[str, str]]:
    found = of(*links, **standings)
    assert not found.undecided
    return {tuple(key) for key in found.findings}


def of(*links: DeviceLink, **standings: float) -> Directed:
    return directed(links, {name: Standing(rank) for name, rank in standings.items()}, NOON)


@pytest.mark.parametrize(
    ("words", "rank"),
    [
        ("Core Switch", CORE),
        ("access-switch", ACCESS),
        ("Access Point", AP),
        ("wireless access point", AP),
        ("firewall", ROUTER),
        ("sw-srv-01", SWITCH),
        ("swcore2", None),
        ("sw-core-01", CORE),
        ("rt1", ROUTER),
        ("cam-deck3", HOST),
        ("eng-gw-01", None),  # of a bus: it hangs on a switch
        ("vsat-modem-1", None),
        ("apollo", None),
        ("10.0.0.1", None),
    ],
)
def test_words_state_a_rank_or_none(words, rank):
    assert rank_of(words) == rank


@pytest.mark.parametrize(
    ("name", "type", "capabilities", "standing"),
    [
        ("x", "firewall", (), Standing(ROUTER)),
        ("sw-core-1", "switch", (), Standing(CORE)),
        ("x", "", ("Bridge",), Standing(SWITCH)),
        ("x", "", ("bridge", "wlan-access-point"), Standing(AP)),
        ("x", "", ("Station",), Standing(HOST)),
        ("x", "", ("Tel",), Standing(HOST)),
        ("srv-1", "", ("Bridge", "Router", "Station"), Standing(HOST, stated=False)),
        ("x", "", ("Bridge", "Router"), Standing(SWITCH, stated=False)),
        ("x", "unknown", (), None),
    ],
)
def test_a_type_goes_before_capabilities_and_these_before_a_name(
    name, type, capabilities, standing
):
    assert standing_of(name, type, capabilities) == standing


def test_the_lower_rank_needs_the_higher_whoever_says_so():
    assert edges(link("ap-1", "sw-1"), link("sw-1", "fw-1")) == {("ap-1", "sw-1"), ("sw-1", "fw-1")}
    assert edges(link("x", "y"), x=SWITCH, y=HOST) == {("y", "x")}


def test_a_stated_dependency_goes_before_everything_else():
    assert edges(link("fw-1", "pdu-1", needs="near")) == {("fw-1", "pdu-1")}
    assert edges(link("wlc-1", "ap-1", needs="far")) == {("ap-1", "wlc-1")}


def test_an_uplink_decides_between_switches_and_two_uplinks_decide_nothing():
    up = link("sw-a", "sw-b", near_port="Uplink to bridge")
    assert edges(up) == {("sw-a", "sw-b")}
    assert edges(link("sw-a", "sw-b", far_port="uplink")) == {("sw-b", "sw-a")}
    assert edges(link("sw-a", "sw-b", near_port="down-link deck 5")) == {("sw-b", "sw-a")}
    both = link("sw-a", "sw-b", near_port="uplink", far_port="uplink")
    assert of(both).undecided == (("sw-a", "sw-b"),)


def test_the_tree_decides_where_nothing_else_does_and_a_ring_stays_open():
    tree = [link("sw-core-1", "alpha"), link("alpha", "beta"), link("gamma", "beta")]
    assert edges(*tree) == {("alpha", "sw-core-1"), ("beta", "alpha"), ("gamma", "beta")}
    ring = [link("sw-core-1", "alpha"), link("sw-core-1", "beta"), link("alpha", "beta")]
    assert of(*ring).undecided == (("alpha", "beta"),)
    assert of(link("alpha", "beta")).undecided == (("alpha", "beta"),)


def test_what_nobody_knows_hangs_on_the_switch_that_sees_it_unless_the_tree_says_no():
    assert edges(link("sw-1", "oven")) == {("oven", "sw-1")}
    tree = [link("sw-core-1", "oven"), link("oven", "sw-2"), link("sw-2", "fryer")]
    assert of(*tree).undecided == (("oven", "sw-2"),)
    assert set(of(*tree).findings) == {("oven", "sw-core-1"), ("fryer", "sw-2")}


def test_only_a_cord_tells_who_needs_power():
    assert of(link("sw-1", "ups-rack-01"), link("pdu1", "srv-1")).undecided
    assert edges(link("sw-1", "ups-rack-01", needs="near")) == {("sw-1", "ups-rack-01")}


def test_neighbours_of_a_whole_ship_are_never_certain_in_the_wrong_order():
    """All that hang on a switch, seen from either end; beyond the firewall little is decided."""
    types = {device.id: device.type for device in SHIP.devices}
    needs = {(device.id, parent) for device in SHIP.devices for parent in device.upstream}
    wired = {
        (below, above)
        for below, above in needs
        if "switch" in types[above] or {types[below], types[above]} <= {*WAY_OUT}
    }
    ranks = {id: rank for id, type in types.items() if (rank := standing_of(id, type))}
    for turned in (False, True):
        for known in (ranks, {}):
            seen = [link(*(pair[::-1] if turned else pair)) for pair in wired]
            found = directed(seen, known, NOON)
            wrong = [said[0].confidence for key, said in found.findings.items() if key not in needs]
            assert len(found.findings) - len(wrong) >= len(wired) - 3
            assert max(wrong, default=0) < 0.5


WAY_OUT = ("router", "firewall", "modem", "core_switch")


def test_an_edge_is_never_told_in_both_orders():
    found = of(link("ap-1", "SW-1"), link("sw-1", "ap-1"), link("ap-1", "ap-1"))
    [(key, [finding])] = found.findings.items()
    assert key == ("ap-1", "SW-1")
    assert finding.evidence == ("ap-1 sees SW-1", "sw-1 sees ap-1")


def test_both_ends_are_believed_more_than_one_and_a_line_least():
    both = [link("sw-1", "ap-1"), link("ap-1", "sw-1")]
    cases = {
        "both": both,
        "document": [link("sw-1", "ap-1", witness=Witness.DOCUMENT)],
        "one": both[:1],
        "line": [link("sw-1", "ap-1", witness=Witness.LINE)],
    }
    stated = {
        name: next(iter(of(*links, **{"sw-1": SWITCH, "ap-1": AP}).findings.values()))[0].confidence
        for name, links in cases.items()
    }
    assert list(stated) == sorted(stated, key=lambda name: -stated[name])
    assert stated["both"] >= 0.8 > stated["one"]
    assert stated["line"] <= 0.6
    guessed = next(iter(of(*both).findings.values()))[0].confidence
    assert guessed < 0.8 < stated["both"]


def test_names_lose_their_domain_and_addresses_stay_whole():
    assert [short(name) for name in ("sw-1.ship.local.", " 10.0.0.1 ", "fe80::1")] == [
        "sw-1",
        "10.0.0.1",
        "fe80::1",
    ]
