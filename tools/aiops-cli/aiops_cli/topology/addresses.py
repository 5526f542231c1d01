"""Routes of hosts, and leases of DHCP servers. Pure.

``ip route`` names the router that a host needs. A lease names a device with its address, and
nothing that it needs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from aiops_cli.topology.found import Found, FoundDevice, NotThese, as_id
from aiops_core.inventory.links import DeviceLink
from aiops_core.inventory.names import is_address

ROUTES = "routes (ip)"
ISC, DNSMASQ, KEA = "leases (ISC dhcpd)", "leases (dnsmasq)", "leases (Kea)"

_DEFAULT = re.compile(r"^default via (?P<gateway>[\da-f.:]+) dev (?P<dev>\S+)", re.MULTILINE)
_NEIGHBOUR = re.compile(
    r"^[\da-f.:]+ dev \S+ (?:lladdr [\da-f:]+ )?(?:router )?[A-Z]+\s*$", re.MULTILINE
)
_LEASE = re.compile(r"^lease (?P<ip>[\d.]+) \{(?P<body>[^}]*)\}", re.MULTILINE)
_HOSTNAME = re.compile(r'^\s*client-hostname "(?P<name>[^"]+)";', re.MULTILINE)
_STATE = re.compile(r"^\s*binding state (?P<state>\w+);", re.MULTILINE)
_ETHERNET = re.compile(r"^\s*hardware ethernet (?P<mac>[\da-f:]+);", re.MULTILINE)
_DNSMASQ = re.compile(
    r"^\d+ (?P<mac>(?:\d\d-)?[\da-fA-F:]{11,}) (?P<ip>[\d.]+) (?P<name>\S+) \S+\s*$", re.MULTILINE
)
_KEA = "address,hwaddr,client_id,"
_MAC = re.compile(r"(?:[\da-f]{2}:){5}[\da-f]{2}")
ASSIGNED = ("", "0")  # states of a lease of Kea


def is_routes(data: object, text: str) -> bool:
    if isinstance(data, list) and data and isinstance(data[0], Mapping):
        return "dst" in data[0] and "dev" in data[0]
    return bool(data is None and (_DEFAULT.search(text) or _NEIGHBOUR.search(text)))


def of_routes(data: Any, text: str, of: str) -> Found:
    """Of ``ip route`` and ``ip neigh``, also with ``-j``: the first default route."""
    if isinstance(data, list):
        routes = [one for one in data if isinstance(one, Mapping) and one.get("dst") == "default"]
        gateway = next((str(one["gateway"]) for one in routes if one.get("gateway")), "")
    else:
        match = _DEFAULT.search(text)
        gateway = match["gateway"] if match else ""
    if not is_address(gateway):
        raise NotThese("names no default route; neighbours alone do not tell who needs whom")
    near = as_id(of)
    said = f"{near[:60]} reaches all other networks through {gateway}"
    return Found(ROUTES, links=[DeviceLink(near, gateway, "arp", said, needs="near")])


def leases(text: str) -> Found | None:
    """Of a file of leases; None for anything else."""
    if text.startswith(_KEA):
        return _found(KEA, _kea(text))
    if _LEASE.search(text):
        return _found(ISC, _isc(text))
    if _DNSMASQ.match(text):
        return _found(DNSMASQ, ((m["name"], m["ip"], m["mac"]) for m in _DNSMASQ.finditer(text)))
    return None


def _found(what: str, rows: Iterator[tuple[str, str, str]]) -> Found:
    """Of name, address and hardware address; the last lease of a name counts."""
    found = Found(what)
    devices = {}
    for name, ip, mac in rows:
        id = as_id(name) if name != "*" else ""
        if id and is_address(ip):
            mac = mac.lower()
            mac = mac if _MAC.fullmatch(mac) else ""
            devices[id.casefold()] = FoundDevice(id, f"has a lease of {ip}", ip=ip, mac=mac)
        else:
            found.unnamed += 1
    for device in devices.values():
        found.add(device)
    return found


def _isc(text: str) -> Iterator[tuple[str, str, str]]:
    for lease in _LEASE.finditer(text):
        state, name = _STATE.search(lease["body"]), _HOSTNAME.search(lease["body"])
        mac = _ETHERNET.search(lease["body"])
        if state is None or state["state"] == "active":
            yield name["name"] if name else "", lease["ip"], mac["mac"] if mac else ""


def _kea(text: str) -> Iterator[tuple[str, str, str]]:
    for row in csv.DictReader(io.StringIO(text)):
        if (row.get("state") or "") in ASSIGNED:
            yield row.get("hostname") or "", row.get("address") or "", row.get("hwaddr") or ""
