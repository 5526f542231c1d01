"""Neighbours by LLDP: ``lldpctl -f json`` and ``snmpwalk`` of LLDP-MIB. Pure.

The MIB is that of IEEE 802.1AB; a walk may have the names of its objects or their numbers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from aiops_cli.topology.found import Found, FoundDevice, NotThese, as_id
from aiops_core.inventory.links import DeviceLink

JSON, WALK = "LLDP neighbours (lldpctl)", "LLDP neighbours (snmpwalk)"
BITS = (  # of LldpSystemCapabilitiesMap, the highest first
    *("other", "repeater", "bridge", "wlanAccessPoint"),
    *("router", "telephone", "docsisCableDevice", "stationOnly"),
)
_OBJECT = re.compile(
    r"(?:LLDP-MIB::(?P<name>lldp\w+)|(?:\.1|iso)\.0\.8802\.1\.1\.2\.1\.(?P<number>[34][.\d]*?)"
    r"|SNMPv2-MIB::(?P<system>sysName)|(?:\.1|iso)\.3\.6\.1\.2\.1\.1\.(?P<mib2>5))"
    r"(?:\.(?P<index>\d+(?:\.\d+){0,2}))? = (?:[\w-]+: ?)?(?P<value>.*)"
)
_NUMBERS = {  # below 1.0.8802.1.1.2.1
    "3.3": "lldpLocSysName",
    "3.7.1.4": "lldpLocPortDesc",
    "4.1.1.8": "lldpRemPortDesc",
    "4.1.1.9": "lldpRemSysName",
    "4.1.1.12": "lldpRemSysCapEnabled",
}
_BIT = re.compile(r"(\w+)\(\d\)")


def is_json(data: object) -> bool:
    return isinstance(data, Mapping) and "lldp" in data


def is_walk(text: str) -> bool:
    head = text[:20_000]
    return any(mark in head for mark in ("LLDP-MIB::", "0.8802.1.1.2.1", "BRIDGE-MIB::dot1d"))


def of_json(data: Any, of: str) -> Found:
    """*of*: the device on which it was asked."""
    found = Found(JSON)
    for interface, entry in _interfaces(data["lldp"]):
        name, chassis = _chassis(_first(entry.get("chassis")))
        port = _first(entry.get("port"))
        if not (far := as_id(name)):
            found.unnamed += 1
            continue
        able = [
            str(one.get("type", ""))
            for one in _all(chassis.get("capability"))
            if isinstance(one, Mapping) and one.get("enabled") in (True, "on")
        ]
        _neighbour(found, as_id(of), far, interface, _text(port.get("descr")), able)
        if address := next(iter(_texts(chassis.get("mgmt-ip"))), ""):
            found.devices.append(FoundDevice(far, f"neighbour of {as_id(of)} by LLDP", ip=address))
    return found


def of_walk(text: str, of: str) -> Found:
    """*of*: the device that was walked; "" when the walk has its name."""
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for line in text.splitlines():
        if match := _OBJECT.fullmatch(line.strip()):
            column, index = _column(match)
            columns[column][index] = match["value"].strip().strip('"').strip()
    if not columns["lldpRemSysName"]:
        raise NotThese("has no lldpRemSysName; walk LLDP-MIB (1.0.8802.1.1.2)")
    near = of or next(iter({**columns["sysName"], **columns["lldpLocSysName"]}.values()), "")
    if not as_id(near):
        raise NotThese("does not name the device that was walked; give it as NAME=FILE")
    found = Found(WALK)
    for index, name in columns["lldpRemSysName"].items():
        if not (far := as_id(name)):
            found.unnamed += 1
            continue
        port = columns["lldpLocPortDesc"].get(_port(index), "")
        able = _capabilities(columns["lldpRemSysCapEnabled"].get(index, ""))
        _neighbour(found, as_id(near), far, port, columns["lldpRemPortDesc"].get(index, ""), able)
    return found


def _neighbour(
    found: Found, near: str, far: str, near_port: str, far_port: str, able: list[str]
) -> None:
    at = f" at {near_port[:60]}" if near_port else ""
    said = f"{near[:60]} has the neighbour {far[:60]}{at} (LLDP)"
    found.links.append(DeviceLink(near, far, "lldp", said, near_port, far_port))
    found.stand(far, capabilities=able)


# -- lldpctl: one neighbour is a mapping, several are a list; json0 has lists everywhere -----------


def _interfaces(node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for part in _all(node):
        for entry in _all(part.get("interface") if isinstance(part, Mapping) else None):
            if not isinstance(entry, Mapping):
                continue
            if "chassis" in entry:
                yield _text(entry.get("name")), entry
                continue
            for name, value in entry.items():
                for one in _all(value):
                    if isinstance(one, Mapping):
                        yield str(name), one


def _chassis(node: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The name of the neighbour, and what is told of it."""
    if name := _text(node.get("name")):
        return name, node
    if len(node) == 1 and isinstance(inner := next(iter(node.values())), Mapping):
        return ("", inner) if "value" in inner else (next(iter(node)), inner)
    return "", node


def _all(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [] if node is None else [node]


def _first(node: Any) -> Mapping[str, Any]:
    first: Any = next(iter(_all(node)), {})
    return first if isinstance(first, Mapping) else {}


def _texts(node: Any) -> Iterator[str]:
    for one in _all(node):
        text = one.get("value") if isinstance(one, Mapping) else one
        if isinstance(text, str):
            yield text


def _text(node: Any) -> str:
    return next(_texts(node), "")


# -- LLDP-MIB -------------------------------------------------------------------------------------


def _column(match: re.Match[str]) -> tuple[str, str]:
    """The name of the object and its index."""
    index = match["index"] or ""
    if match["name"] or match["system"]:
        return match["name"] or match["system"], index
    if match["mib2"]:
        return "sysName", index
    whole = f"{match['number']}.{index}".strip(".")
    for number, name in _NUMBERS.items():
        if whole.startswith(f"{number}."):
            return name, whole[len(number) + 1 :]
    return whole, index


def _port(index: str) -> str:
    """The local port of an index: time mark, port, number of the neighbour."""
    return ([*index.split("."), "", ""])[1]


def _capabilities(value: str) -> list[str]:
    if named := _BIT.findall(value):
        return named
    try:
        byte = int(value.split()[0], 16)
    except (IndexError, ValueError):
        return []
    return [name for bit, name in enumerate(BITS) if byte & (0x80 >> bit)]
