"""Lines in which a device names a neighbour: a table of what makers write. Pure.

Only what a device says about its own links counts, and only the name or address is taken from it.
Every row has a line of its kind, with the neighbour that is read from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from aiops_core.normaliser.statement import statement

NAME = r"[A-Za-z][\w-]{1,62}(?:\.[\w-]{1,62}){0,4}"
IP = r"\d{1,3}(?:\.\d{1,3}){3}|[\da-fA-F]{1,4}:[\da-fA-F:]{2,37}"
MAC = r"[\da-fA-F]{2}(?:[:-][\da-fA-F]{2}){5}|[\da-fA-F]{4}(?:[.-][\da-fA-F]{4}){2}"
PORT = r"[\w/.:-]{1,40}"
READ = 600  # characters of a line

Kind = Literal["lldp", "cdp", "dhcp", "arp", "ap_join", "bgp", "description"]
Needs = Literal["near", "far", ""]


class SaidLink(NamedTuple):
    """*near* is "" for the device that wrote the line; *port* is its own."""

    kind: Kind
    near: str
    far: str
    port: str
    needs: Needs


class Row(NamedTuple):
    """*word*, in lower case, is in every such line. Groups: far, and near and port if stated."""

    kind: Kind
    word: str
    regex: re.Pattern[str]
    needs: Needs
    sample: str
    far: str


def _row(kind: Kind, word: str, regex: str, sample: str, far: str, needs: Needs = "") -> Row:
    for name, pattern in (("NAME", NAME), ("IP", IP), ("MAC", MAC), ("PORT", PORT)):
        regex = regex.replace(f"<{name}>", f"(?:{pattern})")
    return Row(kind, word, re.compile(regex, re.IGNORECASE), needs, sample, far)


ROWS = (
    # Cisco Discovery Protocol
    _row(
        "cdp",
        "cdp-",
        r"CDP-4-(?:NATIVE_VLAN|DUPLEX)_MISMATCH: .{1,40} discovered on (?P<port><PORT>)"
        r" \([^)]{1,30}\), with (?P<far><NAME>)",
        "%CDP-4-NATIVE_VLAN_MISMATCH: Native VLAN mismatch discovered on GigabitEthernet1/0/14"
        " (10), with sw-core-01 GigabitEthernet1/0/1 (1).",
        "sw-core-01",
    ),
    _row(
        "cdp",
        "cdp-",
        r"CDP-\d-NEIGHBOR_ADDED: Device (?P<far><NAME>)(?:\(\w+\))? discovered of type .{1,60}?"
        r" with port \S{1,40} on incoming port (?P<port><PORT>)",
        "%CDP-5-NEIGHBOR_ADDED: Device sw-dc-2(FOC1234A5B6) discovered of type N9K-C93180YC-EX"
        " with port Ethernet1/49 on incoming port Ethernet1/50 with ip addr 10.0.0.2",
        "sw-dc-2",
    ),
    _row(
        "cdp",
        "cdp-",
        r"CDP-\d-NEIGHBOR_(?:ADDED|DELETED|REMOVED): (?:CDP )?(?:Device|neighbor) (?P<far><NAME>)"
        r"(?:\(\w+\))?,? on (?:interface|port) (?P<port><PORT>)",
        "%CDP-6-NEIGHBOR_ADDED: Device sw-acc-09, on interface GigabitEthernet1/0/49",
        "sw-acc-09",
    ),
    # LLDP, which often names the chassis by its hardware address
    _row(
        "lldp",
        "lldp",
        r"LLDP-\d-SERVER_ADDED: .{0,120}?management address (?P<far><IP>) discovered on local"
        r" port (?P<port><PORT>)",
        "%LLDP-5-SERVER_ADDED: Server with Chassis ID 0011.2233.4455 Port ID Gi1/0/2 management"
        " address 10.0.0.9 discovered on local port Eth1/7 in vlan 0 with capability Bridge",
        "10.0.0.9",
    ),
    _row(
        "lldp",
        "lldp",
        r"LLDP-\d-NEIGHBOR_(?:NEW|REMOVED|TIMEOUT): .{0,20}chassisId (?P<far><MAC>) .{0,60}?"
        r"interface (?P<port><PORT>)",
        '%LLDP-5-NEIGHBOR_NEW: LLDP neighbor with chassisId 0011.2233.4455 and portId "Ethernet1"'
        " added on interface Ethernet12",
        "00:11:22:33:44:55",
    ),
    _row(
        "lldp",
        "lldp",
        r"LLDP neighbor (?P<far><MAC>) (?:added|deleted|updated|aged out) on (?P<port><PORT>)",
        "LLDP neighbor 00:11:22:33:44:55 added on 1/1/49",
        "00:11:22:33:44:55",
    ),
    _row(
        "lldp",
        "lldp",
        r"LLDP_(?:CREATE|UPDATE|DELETE|AGEOUT)_NEIGHBOR: .{1,60}? on port (?P<port><PORT>)"
        r" .{0,30}neighbor's chassis ID is (?P<far><MAC>)",
        "LLDP/6/LLDP_CREATE_NEIGHBOR: Nearest bridge agent neighbor created on port"
        " GigabitEthernet1/0/49 (IfIndex 49), neighbor's chassis ID is 0011-2233-4455, port ID is"
        " Gi0/1.",
        "00:11:22:33:44:55",
    ),
    _row(
        "lldp",
        "lldp",
        r"LLDP_INTERFACE_REM_CHANGE[^:]{0,20}:.{1,60}\(Interface=(?P<port><PORT>),.{0,160}?"
        r"RemoteDeviceManageAddress=(?P<far><IP>)",
        "%%01LLDP/4/LLDP_INTERFACE_REM_CHANGE(l)[12]:Neighbor information of the interface was"
        " changed."
        " (Interface=GigabitEthernet0/1/1, Action=Add, Added=1, Deleted=0,"
        " RemoteInterfaceName=GE0/0/1, RemoteDeviceManageAddress=10.0.0.9)",
        "10.0.0.9",
    ),
    _row(
        "lldp",
        "neighbo",
        r"^(?:LLDP[ :,-]{1,3})?neighbou?r (?P<far><NAME>) (?:added|aged out|removed|deleted|lost"
        r"|discovered|expired) on (?:port|interface) (?P<port><PORT>)",
        "neighbor sw-x2 added on port 1/49",
        "sw-x2",
    ),
    # Access points and their controllers
    _row(
        "ap_join",
        "joined",
        r"AP_JOIN_DISJOIN: .{0,60}AP Name: (?P<far><NAME>), MAC: \S{12,17} (?:Dis)?joined",
        "%CAPWAPAC_SMGR_TRACE_MESSAGE-5-AP_JOIN_DISJOIN: Chassis 1 R0/0: wncd: AP Event: AP Name:"
        " AP-Deck5, MAC: 0011.2233.4455 Joined",
        "AP-Deck5",
        needs="far",
    ),
    _row(
        "ap_join",
        "ap[",
        r"\bAP\[(?P<far><NAME>)(?:@<MAC>)?\] (?:re)?joins?\b",
        "stamgr_ap(): AP[AP-Deck5@00:11:22:33:44:50] joins with uptime [120] s",
        "AP-Deck5",
        needs="far",
    ),
    _row(
        "ap_join",
        "ap[",
        r"\bAP\[(?P<far><NAME>|<MAC>)(?:@<MAC>)?\] (?:heartbeats? lost|lost heartbeat"
        r"|was (?:dis)?connected)",
        "EVT_AP_Connected AP[24:a4:3c:8b:1a:2f] was connected",
        "24:a4:3c:8b:1a:2f",
        needs="far",
    ),
    # Routing neighbours: who is upstream, their ranks decide
    _row(
        "bgp",
        "bgp-",
        r"BGP-\d-ADJCHANGE\s?: .{0,40}?neighbor (?P<far><IP>)\b.{0,60}?\b(?:up|down)\b",
        "%BGP-5-ADJCHANGE: neighbor 10.0.0.1 vpn vrf SHORE Up",
        "10.0.0.1",
    ),
    _row(
        "bgp",
        "adjchg",
        r"OSPF-\d-ADJCHG: Process \d+, Nbr (?P<far><IP>) on (?P<port><PORT>) from",
        "%OSPF-5-ADJCHG: Process 1, Nbr 10.0.0.2 on Vlan10 from LOADING to FULL, Loading Done",
        "10.0.0.2",
    ),
    _row(
        "bgp",
        "nbrchange",
        r"DUAL-\d-NBRCHANGE: .{1,40}Neighbor (?P<far><IP>) \((?P<port><PORT>)\) is (?:up|down)",
        "%DUAL-5-NBRCHANGE: EIGRP-IPv4 100: Neighbor 10.0.0.3 (Tunnel10) is up: new adjacency",
        "10.0.0.3",
    ),
    _row(
        "bgp",
        "bgp_",
        r"(?:RPD_)?BGP_NEIGHBOR_STATE_CHANGED: BGP peer (?P<far><IP>)",
        "RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 10.0.0.4 (External AS 65001) changed state from"
        " OpenConfirm to Established",
        "10.0.0.4",
    ),
    # Descriptions of interfaces
    _row(
        "description",
        "link",
        r"\b(?:interface|port) (?P<port><PORT>),? ?[(\[](?:[^)\]]{0,20} )?"
        r"(?:up|down)?[-_ ]?link[-_ :]{1,3}(?:to[-_ :]{1,2})?(?P<far><NAME>)",
        "Interface Gi1/0/24 (uplink to sw-core-01), changed state to down",
        "sw-core-01",
    ),
    _row(
        "description",
        "descr",
        r"\b(?:interface|port) (?P<port><PORT>),? \(?descr(?:iption)?[ :=]{1,2}[\"']?"
        r"(?:[^\"')]{0,20}[-_ ])?(?:to|uplink|link)[-_ :]{1,2}(?:to[-_ :]{1,2})?(?P<far><NAME>)",
        'Interface xe-0/0/1, description "to sw-core-02 xe-0/0/7" is down',
        "sw-core-02",
    ),
    # Routers of hosts, and relays of DHCP, which are the routers of their networks
    _row(
        "arp",
        "gateway",
        r"DHCPv4 address \S{7,18}, gateway (?P<far><IP>) acquired",
        "eth0: DHCPv4 address 10.20.0.7/24, gateway 10.20.0.1 acquired from 10.20.0.5",
        "10.20.0.1",
        needs="near",
    ),
    _row(
        "arp",
        "default route",
        r"adding default route via (?P<far><IP>)",
        "eth0: adding default route via 10.20.0.1",
        "10.20.0.1",
        needs="near",
    ),
    _row(
        "arp",
        "routers",
        r"option routers +=> '(?P<far><IP>)'",
        "dhcp4 (eth0): option routers              => '10.20.0.1'",
        "10.20.0.1",
        needs="near",
    ),
    _row(
        "dhcp",
        "dhcpack",
        r"^DHCPACK on \S{7,15} to \S{17} \((?P<near><NAME>)\) via (?P<far><IP>)",
        "DHCPACK on 10.20.7.91 to 00:11:22:33:44:55 (cabin-tv-91) via 10.20.7.1",
        "10.20.7.1",
        needs="near",
    ),
)
WORDS = tuple(dict.fromkeys(row.word for row in ROWS))
_UPLINK = re.compile(r"(?i)\bup[-_ ]?link")
_QUOTE = re.compile("[\"']")
_DOWNLINK = re.compile(r"(?i)\bdown[-_ ]?link")


def said_link(text: str, labels: Mapping[str, str]) -> SaidLink | None:
    """The link that a device names in the message *text* of a line with *labels*; nothing that
    others wrote into it."""
    lower = text[:READ].lower()
    for word in WORDS:  # ``any`` takes three times as long, and every line comes here
        if word in lower:
            break
    else:
        return None
    for row in ROWS:
        if row.word in lower and (match := row.regex.search(text, 0, READ)):
            own = _QUOTE.split(match[0], maxsplit=1)[0]
            return _link(row, match) if own in statement(text, labels) else None
    return None


def _link(row: Row, match: re.Match[str]) -> SaidLink:
    groups = match.groupdict()
    needs = row.needs
    if row.kind == "description" and not needs:
        if _UPLINK.search(match[0]):
            needs = "near"
        elif _DOWNLINK.search(match[0]):
            needs = "far"
    return SaidLink(
        row.kind, groups.get("near") or "", _address(match["far"]), groups.get("port") or "", needs
    )


def _address(far: str) -> str:
    """A hardware address as the inventory writes it, all else as it is."""
    digits = re.sub(r"[.:-]", "", far)
    if len(digits) == 12 and re.fullmatch(MAC, far):
        return ":".join(digits[n : n + 2] for n in range(0, 12, 2)).lower()
    return far
