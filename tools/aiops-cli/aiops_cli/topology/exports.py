"""Exports of NetBox, LibreNMS and Zabbix. Pure.

NetBox: lists of ``/api/dcim/devices``, ``cables`` or ``interfaces`` (JSON), or the table's export
(CSV). LibreNMS: ``/api/v0/devices`` and ``/api/v0/resources/links``. Zabbix: an export of hosts,
which says nothing of links.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from aiops_cli.topology.found import (
    Found,
    FoundDevice,
    NotThese,
    as_address,
    as_id,
    as_word,
    text_of,
)
from aiops_core.inventory.links import DeviceLink, Witness

NETBOX, LIBRENMS, ZABBIX = "NetBox", "LibreNMS", "Zabbix"
PANELS = ("frontport", "rearport", "front port", "rear port")
POWER_OUT = ("poweroutlet", "power outlet", "powerfeed")
LIVE = ("", "connected", "active")  # states of a cable or device that is there

Rows = Sequence[Mapping[str, Any]]


class CableEnd(NamedTuple):
    """Of a cable: the device, and the name and type of its port."""

    device: str
    port: str
    type: str


def of_data(data: Any) -> Found | None:
    """Of JSON or YAML; None for what is no such export."""
    if isinstance(data, Mapping):
        if isinstance(inner := data.get("zabbix_export"), Mapping):
            return _zabbix(_rows(inner.get("hosts")))
        for key, read in (("devices", _librenms_devices), ("links", _librenms_links)):
            rows = _rows(data.get(key))
            if rows and ("device_id" in rows[0] or "local_device_id" in rows[0]):
                return read(rows)
        data = data.get("results")
    return _netbox(_rows(data))


def _netbox(rows: Rows) -> Found | None:
    first = rows[0] if rows else {}
    if "a_terminations" in first or "termination_a" in first:
        return _cables([(_ends(row, "a"), _ends(row, "b"), _state(row)) for row in rows])
    if "connected_endpoints" in first:
        return _cables([([_end(row)], _endpoints(row), "") for row in rows])
    if "device_type" in first and "site" in first:
        return _netbox_devices(rows)
    return None


def of_table(rows: Rows) -> Found | None:
    """Of the rows of CSV, with the header in lower case; None for another table."""
    first = rows[0] if rows else {}
    sides = next((s for s in SIDES if all(f"{s[0]}{x}{s[1]}" in first for x in "ab")), None)
    if sides:
        return _cables([(_column(r, sides, "a"), _column(r, sides, "b"), _state(r)) for r in rows])
    if "name" in first and ("role" in first or "device role" in first):
        return _netbox_devices(rows)
    return None


# The words around "a" and "b" in the columns of a side's device.
SIDES = (("device ", ""), ("side_", "_device"), ("side ", ""))


def _rows(node: Any) -> Rows:
    return [one for one in node if isinstance(one, Mapping)] if isinstance(node, list) else []


def _netbox_devices(rows: Rows) -> Found:
    found = Found(f"devices of {NETBOX}")
    for row in rows:
        if not (id := as_id(text_of(row.get("name")))):
            found.unnamed += 1
            continue
        role = row.get("role") or row.get("device_role") or row.get("device role")
        address = row.get("primary_ip4") or row.get("primary_ip") or row.get("ip address")
        ip = address.get("address") if isinstance(address, Mapping) else address
        found.add(
            FoundDevice(
                id,
                f"a device of {NETBOX}",
                name=_unlike(id, text_of(row.get("name"))),
                type=as_word(text_of(role)),
                site=as_word(text_of(row.get("site"))),
                ip=as_address(ip),
            )
        )
    return found


def _cables(cables: Sequence[tuple[list[CableEnd], list[CableEnd], str]]) -> Found:
    found, panels = Found(f"cables of {NETBOX}"), 0
    for near, far, state in cables:
        if state not in LIVE:
            continue
        for a, b in ((a, b) for a in near for b in far):
            if any(end.type in PANELS for end in (a, b)):
                panels += 1
            elif as_id(a.device) and as_id(b.device):
                found.links.append(_cable(a, b))
            else:
                found.unnamed += 1
    if panels and not found.links:
        raise NotThese(
            "all its cables end at patch panels; give the list of interfaces"
            " (/api/dcim/interfaces), which follows them to the other end"
        )
    return found


def _cable(a: CableEnd, b: CableEnd) -> DeviceLink:
    near, far = as_id(a.device), as_id(b.device)
    ports = " to ".join(f"{end.device[:50]} {end.port[:40]}".strip() for end in (a, b))
    cords = [end.type in POWER_OUT for end in (a, b)]
    needs: Literal["near", "far", ""] = (
        "" if cords[0] == cords[1] else "far" if cords[0] else "near"
    )
    said = f"a {'power cord' if needs else 'cable'} from {ports} ({NETBOX})"
    return DeviceLink(near, far, "file", said, a.port, b.port, needs, Witness.DOCUMENT)


def _ends(row: Mapping[str, Any], side: str) -> list[CableEnd]:
    """Of one side of a cable; before NetBox 3.3 it had one end."""
    many = _rows(row.get(f"{side}_terminations"))
    if many:
        return [_end(one.get("object"), str(one.get("object_type", ""))) for one in many]
    return [_end(row.get(f"termination_{side}"), str(row.get(f"termination_{side}_type", "")))]


def _end(node: Any, type: str = "") -> CableEnd:
    node = node if isinstance(node, Mapping) else {}
    description = text_of(node.get("description"))
    port = f"{text_of(node.get('name'))} {description}".strip()
    return CableEnd(text_of(node.get("device")), port, type.rpartition(".")[2].casefold())


def _endpoints(row: Mapping[str, Any]) -> list[CableEnd]:
    return [_end(one) for one in _rows(row.get("connected_endpoints"))]


def _column(row: Mapping[str, Any], sides: tuple[str, str], side: str) -> list[CableEnd]:
    before, after = sides
    port = row.get(f"termination {side}") or row.get(f"side_{side}_name") or ""
    type = str(row.get(f"side_{side}_type") or "").rpartition(".")[2].casefold()
    return [CableEnd(str(row.get(f"{before}{side}{after}") or ""), str(port), type)]


def _state(row: Mapping[str, Any]) -> str:
    status = row.get("status")
    value = status.get("value") if isinstance(status, Mapping) else status
    return str(value or "").casefold()


def _librenms_devices(rows: Rows) -> Found:
    found = Found(f"devices of {LIBRENMS}")
    for row in rows:
        name = text_of(row.get("sysName")) or text_of(row.get("hostname"))
        if not (id := as_id(name)):
            found.unnamed += 1
            continue
        found.numbers[_number(row.get("device_id"))] = id
        found.add(
            FoundDevice(
                id,
                f"a device of {LIBRENMS}",
                type=as_word(row.get("type")),
                site=as_word(text_of(row.get("location"))),
                ip=as_address(row.get("ip")),
            )
        )
    return found


def _librenms_links(rows: Rows) -> Found:
    found = Found(f"links of {LIBRENMS}")
    for row in rows:
        far = as_id(text_of(row.get("remote_hostname")))
        if not far or str(row.get("active", 1)) == "0":
            found.unnamed += not far
            continue
        protocol = text_of(row.get("protocol")).upper() or "discovery"
        said = f"it has the neighbour {far[:60]} ({LIBRENMS}, by {protocol})"
        near = _number(row.get("local_device_id"))
        port = text_of(row.get("remote_port"))
        found.links.append(DeviceLink(near, far, "file", said, far_port=port))
    return found


def _number(id: object) -> str:
    """A device of LibreNMS, until its list of devices has told the name."""
    return f"{LIBRENMS} device {id}"


def unresolved(links: Sequence[DeviceLink]) -> Iterator[str]:
    """Numbers of LibreNMS for which no file has a name."""
    return (link.near for link in links if link.near.startswith(f"{LIBRENMS} device "))


def _zabbix(rows: Rows) -> Found:
    found = Found(f"hosts of {ZABBIX}")
    for row in rows:
        if not (id := as_id(text_of(row.get("host")))):
            found.unnamed += 1
            continue
        inventory = row.get("inventory")
        interfaces = _rows(row.get("interfaces"))
        kind = inventory.get("type") if isinstance(inventory, Mapping) else ""
        found.add(
            FoundDevice(
                id,
                f"a host of {ZABBIX}",
                name=_unlike(id, text_of(row.get("name")) or text_of(row.get("host"))),
                type=as_word(kind),
                ip=next(filter(None, (as_address(one.get("ip")) for one in interfaces)), ""),
            )
        )
    return found


def _unlike(id: str, name: str) -> str:
    return "" if name.strip() == id else as_word(name)
