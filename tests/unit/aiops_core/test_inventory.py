"""Devices -> who is meant by a name, what hangs on what, and which lists are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.names import shared_aliases
from aiops_core.models import Device
from aiops_lab.simulator.inventory import SHIP
from incident_api.devices.import_rules import find_flaws

NAMED = (
    Device(
        id="sw-1",
        name="Core switch",
        labels={"hostname": "core.ship.example", "ip": "10.0.0.1, 10.0.1.1 2001:DB8::1"},
    ),
    Device(id="sw-2", name="Deck switch", labels={"ip": "10.0.0.9"}),
    Device(id="sw-3", name="Deck switch", labels={"ip": "10.0.0.9", "hostname": "sw-2"}),
)


@pytest.mark.parametrize(
    "name",
    [
        "sw-1",
        "SW-1",
        "core",
        "core.ship.example",
        "CORE.other.example",
        "Core switch",
        "10.0.1.1",
        "10.0.1.1:9100",
        "sw-1:9100",
        "2001:db8:0::1",
        "[2001:db8::1]:161",
        " sw-1 ",
    ],
)
def test_a_device_is_found_by_each_of_its_names(name):
    assert Inventory(NAMED).resolve(None, "", name) == "sw-1"


@pytest.mark.parametrize("name", ["Deck switch", "10.0.0.2", "", "nobody", "10", "10.0.0.9", ":"])
def test_a_doubtful_or_unknown_name_means_no_device(name):
    assert Inventory(NAMED).resolve(name) is None


def test_an_id_goes_before_a_label_of_another_device_and_what_is_shared_is_told():
    assert Inventory(NAMED).resolve("sw-2") == "sw-2"
    assert list(shared_aliases(NAMED)) == [("10.0.0.9", ("sw-2", "sw-3"))]


def graph(**upstream: str) -> list[Device]:
    return [Device(id=id, upstream=tuple(parents.split())) for id, parents in upstream.items()]


def test_upstream_and_downstream_are_transitive_and_nearest_first():
    inventory = Inventory(graph(a="", b="a", c="b", d="c a", e="d", other=""))
    assert inventory.upstream_of("d") == ("c", "a", "b")
    assert inventory.downstream_of("a") == ("b", "d", "c", "e")
    assert (inventory.upstream_of("a"), inventory.downstream_of("e")) == ((), ())
    assert (inventory.upstream_of("nobody"), inventory.downstream_of("nobody")) == ((), ())
    assert inventory.above("e") == {"d": 1, "c": 2, "a": 2, "b": 3}
    assert inventory.below("a") == {"b": 1, "d": 1, "c": 2, "e": 2}


def test_what_another_writer_left_behind_is_passed_over_and_ends():
    inventory = Inventory(graph(a="b gone", b="a b"))
    assert (inventory.upstream_of("a"), inventory.downstream_of("a")) == (("b",), ("b",))


def test_the_ships_own_inventory_has_no_flaw_and_agrees_with_the_simulator():
    assert find_flaws(SHIP.devices) == []
    inventory = Inventory(SHIP.devices)
    for device in SHIP.devices:
        assert set(inventory.upstream_of(device.id)) == set(SHIP.above(device.id))
        assert set(inventory.downstream_of(device.id)) == set(SHIP.below(device.id))


def test_json_brings_the_same_inventory_back_whatever_the_order():
    there = Inventory(NAMED)
    assert Inventory.from_json(there.to_json()) == there
    assert Inventory(reversed(NAMED)).to_json() == there.to_json()
    with pytest.raises(ValueError, match="criticality"):
        Inventory.from_json(b'[{"id": "a", "criticality": "enormous"}]')


def test_everything_that_is_wrong_is_named_with_its_place():
    devices = [
        *graph(a="b", b="c", c="a", d="gone d", e="a"),
        Device(id="E"),
        Device(id="e", upstream=("lost",)),
    ]
    assert [(flaw.index, flaw.field, flaw.text) for flaw in find_flaws(devices)] == [
        (0, "upstream", "a cycle: 'a' needs 'b' needs 'c' needs 'a'"),
        (3, "upstream", "'d' needs 'gone', which is unknown"),
        (3, "upstream", "'d' needs itself"),
        (5, "id", "device 'E' is there twice (as 'e')"),
        (6, "id", "device 'e' is there twice"),
        (6, "upstream", "'e' needs 'lost', which is unknown"),
    ]


def test_two_cycles_are_told_apart_and_what_hangs_on_them_is_not_blamed():
    flaws = find_flaws(graph(x="a", a="b", b="a", c="d b", d="c", y="c"))
    assert [flaw.text for flaw in flaws] == [
        "a cycle: 'a' needs 'b' needs 'a'",
        "a cycle: 'c' needs 'd' needs 'c'",
    ]


def test_a_chain_of_ten_thousand_devices_is_walked_without_recursion():
    chain = [Device(id=str(n), upstream=(str(n + 1),)) for n in range(10_000)]
    chain.append(Device(id="10000"))
    assert len(Inventory(chain).upstream_of("0")) == 10_000
    [flaw] = find_flaws([*chain[:-1], Device(id="10000", upstream=("0",))])
    assert flaw.text.startswith("a cycle: '0' needs '1' needs ")


IDS = st.sampled_from("abcdef")
GRAPHS = st.dictionaries(IDS, st.sets(IDS, max_size=3))


@given(GRAPHS)
def test_what_passes_has_no_device_that_needs_itself_and_what_does_not_has_one(upstream):
    devices = [Device(id=id, upstream=tuple(sorted(ups))) for id, ups in upstream.items()]
    reach = {id: {p for p in ups if p in upstream} for id, ups in upstream.items()}
    for _ in upstream:
        reach = {id: ups.union(*(reach[p] for p in ups)) for id, ups in reach.items()}
    cyclic = any(id in ups for id, ups in reach.items())
    told = [flaw for flaw in find_flaws(devices) if "needs" in flaw.text and "unk" not in flaw.text]
    assert bool(told) == cyclic
    inventory = Inventory(devices)
    for id, ups in reach.items():
        assert set(inventory.upstream_of(id)) == ups - {id}
