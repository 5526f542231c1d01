"""Files of other programs -> devices, links, and who needs whom."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from aiops_cli.topology.found import Found, NotThese, as_id, together
from aiops_cli.topology.reading import read
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.links import directed
from aiops_core.models import Device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def edges(*found: Found, known: Inventory | None = None) -> dict[tuple[str, str], float]:
    """What becomes of *found*: an edge -> its confidence."""
    whole = together(found, known or Inventory())
    told = directed(whole.links, whole.standings, NOON).findings
    return {tuple(key): findings[0].confidence for key, findings in told.items()}


# -- LLDP -----------------------------------------------------------------------------------------


def neighbour(name: str, *able: str, descr: str = "Gi1/0/7") -> dict:
    chassis = {
        "id": {"type": "mac", "value": "00:11:22:33:44:55"},
        "descr": "a device",
        "mgmt-ip": ["10.20.0.9", "fe80::1"],
        "capability": [
            {"type": kind, "enabled": kind in able}
            for kind in ("Bridge", "Router", "Wlan", "Station")
        ],
    }
    return {
        "via": "LLDP",
        "rid": "1",
        "chassis": {name: chassis} if name else chassis,
        "port": {"id": {"type": "ifname", "value": descr}, "descr": descr, "ttl": "120"},
    }


def lldpctl(interfaces: object) -> str:
    return json.dumps({"lldp": {"interface": interfaces}})


def test_a_host_needs_the_switch_that_it_hears():
    one = lldpctl({"eth0": neighbour("sw-acc-d05.ship.local", "Bridge")})
    found = read(one, "srv-1")
    assert edges(found) == {("srv-1", "sw-acc-d05"): 0.64}
    [device] = found.devices
    assert (device.id, device.ip) == ("sw-acc-d05", "10.20.0.9")


def test_several_neighbours_are_a_list_and_an_unnamed_one_is_counted():
    many = lldpctl(
        [
            {"eth0": neighbour("ap-7", "Bridge", "Wlan")},
            {"eth0": neighbour("deck-cam", "Station")},
            {"eth1": neighbour("")},
        ]
    )
    found = read(many, "sw-1")
    assert set(edges(found)) == {("ap-7", "sw-1"), ("deck-cam", "sw-1")}
    assert found.unnamed == 1


def test_json0_has_lists_everywhere():
    text = json.dumps(
        {
            "lldp": [
                {
                    "interface": [
                        {
                            "name": "eth0",
                            "chassis": [
                                {
                                    "id": [{"type": "mac", "value": "00:11:22:33:44:55"}],
                                    "name": [{"value": "sw-9"}],
                                    "mgmt-ip": [{"value": "10.0.0.9"}],
                                    "capability": [{"type": "Bridge", "enabled": True}],
                                }
                            ],
                            "port": [{"descr": [{"value": "uplink to core"}]}],
                        }
                    ]
                }
            ]
        }
    )
    [link] = read(text, "pi").links
    assert (link.far, link.far_port, link.near_port) == ("sw-9", "uplink to core", "eth0")


def test_both_tables_together_are_certain():
    near = read(lldpctl({"eth0": neighbour("sw-2", "Bridge")}), "ap-1")
    far = read(lldpctl({"p7": neighbour("ap-1", "Bridge", "Wlan")}), "sw-2")
    assert edges(near, far)["ap-1", "sw-2"] >= 0.8 > edges(far)["ap-1", "sw-2"]


NAMED = """\
SNMPv2-MIB::sysName.0 = STRING: sw-acc-09.ship.local
LLDP-MIB::lldpLocPortDesc.24 = STRING: "uplink deck 3"
LLDP-MIB::lldpRemPortDesc.0.24.1 = STRING: Gi1/0/2
LLDP-MIB::lldpRemSysName.0.24.1 = STRING: lucy
LLDP-MIB::lldpRemSysName.0.3.4 = STRING: "deck-cam"
LLDP-MIB::lldpRemSysName.0.5.1 = ""
LLDP-MIB::lldpRemSysDesc.0.24.1 = STRING: A switch, version 7
that goes on in a second line = of text
LLDP-MIB::lldpRemSysCapEnabled.0.24.1 = BITS: 28 00 bridge(2) router(4)
LLDP-MIB::lldpRemSysCapEnabled.0.3.4 = BITS: 01 stationOnly(7)
"""
NUMBERED = """\
.1.0.8802.1.1.2.1.3.3.0 = STRING: "sw-acc-09.ship.local"
.1.0.8802.1.1.2.1.3.7.1.4.24 = STRING: "uplink deck 3"
iso.0.8802.1.1.2.1.4.1.1.9.0.24.1 = STRING: "lucy"
.1.0.8802.1.1.2.1.4.1.1.9.0.3.4 = STRING: "deck-cam"
.1.0.8802.1.1.2.1.4.1.1.9.0.5.1 = ""
.1.0.8802.1.1.2.1.4.1.1.12.0.24.1 = Hex-STRING: 28 00
.1.0.8802.1.1.2.1.4.1.1.12.0.3.4 = Hex-STRING: 01 00
"""


@pytest.mark.parametrize("walk", [NAMED, NUMBERED])
def test_a_walk_has_names_or_numbers_and_the_ports_tell_the_uplink(walk):
    found = read(walk)
    assert set(edges(found)) == {("sw-acc-09", "lucy"), ("deck-cam", "sw-acc-09")}
    assert found.unnamed == 1
    assert "at uplink deck 3" in found.links[0].said


# -- routes and leases ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "default via 10.0.0.1 dev eth0 proto dhcp metric 100\n10.0.0.0/24 dev eth0 scope link\n",
        '[{"dst": "default", "gateway": "10.0.0.1", "dev": "eth0", "flags": []}]',
        "10.0.0.7 dev eth0 lladdr 00:11:22:33:44:55 REACHABLE\ndefault via 10.0.0.1 dev eth0\n",
    ],
)
def test_a_host_needs_its_default_router_under_the_name_that_is_known(text):
    assert set(edges(read(text, "srv-1"))) == {("srv-1", "10.0.0.1")}
    ship = Inventory([Device(id="fw-1", labels={"ip": "10.0.0.1"})])
    assert set(edges(read(text, "srv-1"), known=ship)) == {("srv-1", "fw-1")}


ISC = """\
# The format of this file is documented in the dhcpd.leases(5) manual page.
lease 10.20.7.9 {
  starts 1 2026/11/30 09:00:00;
  binding state free;
  client-hostname "gone";
}
lease 10.20.7.91 {
  starts 1 2026/11/30 10:00:00;
  binding state active;
  hardware ethernet 00:11:22:33:44:55;
  client-hostname "cabin-tv-91";
}
lease 10.20.7.92 {
  binding state active;
  hardware ethernet 00:11:22:33:44:56;
}
"""
DNSMASQ = """\
1796040000 00:11:22:33:44:55 10.20.7.91 cabin-tv-91 01:00:11:22:33:44:55
1796040001 00:11:22:33:44:56 10.20.7.92 * *
"""
KEA = """\
address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,pool_id
10.20.7.91,00:11:22:33:44:55,,4000,1796040000,1,0,0,cabin-tv-91.ship.local.,0,0
10.20.7.92,00:11:22:33:44:56,,4000,1796040000,1,0,0,,0,0
10.20.7.93,00:11:22:33:44:57,,4000,1796040000,1,0,0,gone,2,0
"""


@pytest.mark.parametrize("text", [ISC, DNSMASQ, KEA])
def test_leases_name_devices_and_no_dependency(text):
    found = read(text)
    [device] = found.devices
    assert (device.id, device.ip, device.mac) == ("cabin-tv-91", "10.20.7.91", "00:11:22:33:44:55")
    assert (found.links, found.unnamed) == ([], 1)


def test_the_name_of_a_lease_stands_for_its_address_in_other_files():
    leases = DNSMASQ.replace("10.20.7.91", "10.0.0.1").replace("cabin-tv-91", "fw-1")
    assert set(edges(read("default via 10.0.0.1 dev eth0\n", "pi"), read(leases))) == {
        ("pi", "fw-1")
    }


# -- exports --------------------------------------------------------------------------------------


def termination(device: str, port: str, kind: str = "dcim.interface") -> list[dict]:
    named = {"device": {"id": 1, "name": device}, "name": port}
    return [{"object_type": kind, "object_id": 1, "object": named}]


def test_cables_of_netbox_are_edges_by_role_and_power_cords_by_their_plug():
    devices = {
        "results": [
            {
                "name": name,
                "role": {"name": role},
                "site": {"name": "Deck 5"},
                "device_type": {"model": "x"},
                "primary_ip4": {"address": "10.0.0.9/24"} if name == "alpha" else None,
            }
            for name, role in (
                ("alpha", "Core Switch"),
                ("beta", "Access Switch"),
                ("delta", "Server"),
                ("Rack PDU 1", "PDU"),
            )
        ]
    }
    cables = {
        "results": [
            {"a_terminations": a, "b_terminations": b, "status": {"value": state}}
            for a, b, state in (
                (termination("beta", "48"), termination("alpha", "2"), "connected"),
                (termination("beta", "3"), termination("delta", "eth0"), "connected"),
                (termination("beta", "4"), termination("alpha", "5"), "planned"),
                (
                    termination("Rack PDU 1", "3", "dcim.poweroutlet"),
                    termination("delta", "PSU 1", "dcim.powerport"),
                    "connected",
                ),
                (
                    termination("beta", "5"),
                    termination("panel", "1", "dcim.frontport"),
                    "connected",
                ),
            )
        ]
    }
    listed = read(json.dumps(devices))
    wired = read(json.dumps(cables))
    found = edges(listed, wired)
    assert set(found) == {("beta", "alpha"), ("delta", "beta"), ("delta", "Rack-PDU-1")}
    assert found["delta", "beta"] >= 0.8
    alpha, *_, rack = listed.devices
    assert (alpha.ip, alpha.site, rack.name) == ("10.0.0.9", "Deck 5", "Rack PDU 1")


def test_older_cables_interfaces_and_tables_of_netbox_say_the_same():
    older = [
        {
            "termination_a_type": "dcim.interface",
            "termination_a": {"device": {"name": "ap-7"}, "name": "eth0"},
            "termination_b_type": "dcim.interface",
            "termination_b": {"device": {"name": "sw-2"}, "name": "7"},
            "status": {"value": "connected"},
        }
    ]
    interfaces = [
        {
            "device": {"name": "ap-7"},
            "name": "eth0",
            "connected_endpoints": [{"device": {"name": "sw-2"}, "name": "7"}],
        }
    ]
    tables = (
        (
            "ID,Label,Device A,Termination A,Device B,Termination B,Status\n"
            "1,,ap-7,eth0,sw-2,7,Connected\n"
        ),
        (
            "side_a_device,side_a_type,side_a_name,side_b_device,side_b_type,side_b_name,status\n"
            "ap-7,dcim.interface,eth0,sw-2,dcim.interface,7,connected\n"
        ),
    )
    for text in (json.dumps(older), json.dumps({"results": interfaces}), *tables):
        assert set(edges(read(text))) == {("ap-7", "sw-2")}, text
    [device] = read("Name,Status,Site,Role\nap-7,Active,Deck 5,Access Point\n").devices
    assert (device.id, device.type, device.site) == ("ap-7", "Access Point", "Deck 5")


def test_links_of_librenms_need_its_devices_for_their_names():
    devices = {
        "status": "ok",
        "devices": [
            {"device_id": 1, "hostname": "10.0.0.2", "sysName": "sw-2", "ip": "10.0.0.2"},
            {"device_id": 2, "hostname": "fw-1.ship.local", "type": "firewall", "location": "rack"},
        ],
    }
    links = {
        "status": "ok",
        "links": [
            {"local_device_id": 1, "remote_hostname": "fw-1", "protocol": "lldp", "active": 1},
            {"local_device_id": "2", "remote_hostname": "sw-2.ship.local", "remote_port": "1"},
            {"local_device_id": 1, "remote_hostname": "old", "active": 0},
        ],
    }
    found = edges(read(json.dumps(links)), read(json.dumps(devices)))
    assert set(found) == {("sw-2", "fw-1")}


ZABBIX = """\
zabbix_export:
  version: '7.0'
  hosts:
    - host: sw-2
      name: 'Switch of deck 2'
      inventory: {type: Switch}
      interfaces:
        - ip: 127.0.0.1
        - ip: 10.0.0.2
"""


def test_hosts_of_zabbix_are_devices():
    [device] = read(ZABBIX).devices
    assert (device.id, device.name, device.type, device.ip) == (
        "sw-2",
        "Switch of deck 2",
        "Switch",
        "10.0.0.2",
    )


# -- what tells nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is none of these: lldpctl"),
        ("\x00\x01", "is none of these"),
        ("id,name\n1,x\n", "is none of these"),
        ("[1, 2]", "is none of these"),
        ('{"results": []}', "is none of these"),
        ('{"lldp"', "cannot be read: "),
        ("[" * 100_000, "cannot be read: "),
        (lldpctl({}), "does not name the device"),
        ("default via 10.0.0.1 dev eth0", "give it as NAME=FILE"),
        (NAMED.partition("\n")[2], "does not name the device that was walked"),
        ("BRIDGE-MIB::dot1dTpFdbPort.0.1 = INTEGER: 3", "has no lldpRemSysName"),
        (
            json.dumps(
                [{"a_terminations": termination("p", "1", "dcim.rearport"),
                  "b_terminations": termination("q", "2")}]
            ),
            "/api/dcim/interfaces",
        ),
    ],
)  # fmt: skip
def test_what_tells_nothing_says_what_to_give_instead(text, reason):
    with pytest.raises(NotThese, match=reason):
        read(text)


def test_neighbours_without_a_route_tell_nothing():
    with pytest.raises(NotThese, match="names no default route"):
        read("10.0.0.7 dev eth0 lladdr 00:11:22:33:44:55 STALE\n", "pi")


@pytest.mark.parametrize(
    "text",
    [
        '{"lldp": 7}',
        '{"lldp": {"interface": [7, {"eth0": 7}, {"eth0": {"chassis": 7, "port": [[]]}}]}}',
        '[{"a_terminations": 7, "b_terminations": [7]}]',
        '{"links": [{"local_device_id": {}, "remote_hostname": []}]}',
        '{"devices": [{"device_id": [], "sysName": {}, "ip": [7]}]}',
        "zabbix_export:\n  hosts: [{host: [1], interfaces: 7}]\n",
        '[{"name": {}, "device_type": 1, "site": 2, "primary_ip4": [3]}]',
    ],
)
def test_nonsense_in_a_known_form_is_left_out(text):
    assert edges(read(text, "x")) == {}


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("sw-1.ship.local.", "sw-1"),
        ("10.0.0.1", "10.0.0.1"),
        ("AP Deck 5", "AP-Deck-5"),
        (" a/b;c ", "a-b-c"),
        ("", ""),
    ],
)
def test_names_become_ids_of_the_inventory(name, id):
    assert as_id(name) == id


def test_what_the_inventory_states_of_a_type_goes_before_what_files_suggest():
    heard = read(lldpctl({"eth0": neighbour("box", "Station")}), "sw-1")
    assert set(edges(heard)) == {("box", "sw-1")}
    ship = Inventory([Device(id="box", type="firewall"), Device(id="sw-1", type="switch")])
    assert set(edges(heard, known=ship)) == {("sw-1", "box")}
