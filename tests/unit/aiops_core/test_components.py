"""A part of a device has one name, however its lines spell it."""

from __future__ import annotations

import pytest

from aiops_core.components import component_of, spelled

SAME = [
    ["GigabitEthernet1/0/24", "Gi1/0/24", "gi1/0/24", "GI1/0/24", "ge1/0/24"],
    ["GigabitEthernet 1/0/25", "Gi1/0/25."],
    ["TenGigE0/0/0/1", "TenGigabitEthernet0/0/0/1", "Te0/0/0/1", "Ten-GigabitEthernet0/0/0/1"],
    ["Ethernet1/1", "Eth1/1", "Et1/1", "eth1/1,"],
    ["Port-channel1", "Po1", "port-channel1", "po1"],
    ["Vlan50", "Vl50", "VLAN50", "Vlan-interface50", "vlan 50"],
    ["HundredGigE1/0/49", "Hu1/0/49"],
    ["FastEthernet0/1.100", "Fa0/1.100"],
    ["ecdis-gw.service", "ecdis-gw", "ECDIS-GW.service", '"ecdis-gw.service"'],
    ["Fan 2", "FAN  2", "fan 2."],
    ["eth0", "ETH0", "Ethernet0"],
]  # fmt: skip


@pytest.mark.parametrize("spellings", SAME, ids=lambda one: one[0])
def test_spellings_of_one_part_are_one(spellings):
    assert len({spelled(one) for one in spellings}) == 1


def test_other_parts_stay_apart():
    names = [one[0] for one in SAME] + [
        "Gi1/0/2", "Gi1/0/240", "Gi1/0", "Te1/0/24", "Fa1/0/24", "eth1", "ecdis-gw.timer",
        "Vlan5", "Port-channel10", "ge-0/0/1", "sfp-sfpplus1", "wlan0", "10.20.0.5", "fan 3",
    ]  # fmt: skip
    assert len({spelled(name) for name in names}) == len(names)


def test_a_component_names_its_kind_and_skips_what_is_not_known():
    assert component_of(["interface"], {"interface": "gi1/0/24", "vlan": "5"}) == (
        "interface Gi1/0/24"
    )
    groups = {"interface": "Gi1/0/1", "vlan": "5"}
    assert component_of(["interface", "vlan"], groups) == "interface Gi1/0/1, vlan 5"
    assert component_of(["fan"], {"fan": None}) == component_of(["fan"], {}) == ""
    assert component_of([], groups) == "" and component_of(["fan"], {"fan": " ' "}) == ""
    assert len(component_of(["disk"], {"disk": "x" * 1000})) == 200
