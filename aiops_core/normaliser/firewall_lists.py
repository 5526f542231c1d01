"""Lists without names, in commas: the log of PAN-OS, and of the filter of pfSense. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import times
from aiops_core.normaliser.parsed import ParsedLine

_PAN = re.compile(r"[01]?,?[^,]{0,30},[\w-]*,[A-Z-]+,")
_PAN_COMMON = ("", "received", "serial", "type", "subtype", "", "generated")
_PAN_FLOW = (
    *("source.address", "destination.address", "nat.source", "nat.destination", "rule"),
    *("user.name", "user.destination", "application", "vsys", "zone.from", "zone.to"),
    *("network.interface.name", "interface.outbound", "log_action", "", "session", "repeat"),
    *("source.port", "destination.port", "", "", "flags", "network.transport", "action"),
)
_PAN_FIELDS: dict[str, tuple[str, ...]] = {
    "TRAFFIC": (
        *_PAN_FLOW,
        *("bytes", "bytes.sent", "bytes.received", "packets", "start", "elapsed", "category"),
        *("", "sequence", "", "", "", "", "", "", "end_reason", "", "", "", "", "vsys.name"),
        "device",
    ),
    "THREAT": (
        *_PAN_FLOW,
        *("url.full", "threat", "category", "severity", "direction", "sequence", "", "", ""),
        *("", "content_type", "", "", "", "", "user_agent.original", "file_type", "", "", ""),
        *("", "", "", "", "", "", "", "vsys.name", "device"),
    ),
    "SYSTEM": (
        *("vsys", "event.id", "object", "", "", "module", "severity", "description"),
        *("sequence", "", "", "", "", "", "vsys.name", "device"),
    ),
    "CONFIG": (
        *("source.address", "vsys", "command", "user.name", "client", "result", "path"),
        *("sequence", "", "", "", "", "", "vsys.name", "device"),
    ),
    "GLOBALPROTECT": (
        *("vsys", "event.id", "stage", "auth_method", "tunnel_type", "user.name", "region"),
        *("machine", "source.address", "", "private_address", "", "host_id", "client_serial"),
        *("client_version", "client_os", "client_os_version", "", "reason", "error", "opaque"),
        *("status", "location", "", "", "", "portal", "sequence"),
    ),
    "USERID": (*("vsys", "source.address", "user.name", "source_name", "event.id", "repeat"),),
}
_PAN_LEVELS = {
    "critical": Level.CRITICAL,
    "high": Level.ERROR,
    "medium": Level.WARNING,
    "low": Level.INFO,
    "informational": Level.INFO,
}


def pan_os(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """The lists of Palo Alto's firewalls: ``1,2026/11/30 12:00:00,serial,SYSTEM,general,…``."""
    if not _PAN.match(line.msg):
        return None
    try:
        row = next(csv.reader([" ".join(line.msg.splitlines())]), [])
    except csv.Error:
        return None
    kind = row[3] if len(row) > 7 else ""
    if not kind.isupper() or not row[1][:4].isdigit():
        return None
    names = (*_PAN_COMMON, *_PAN_FIELDS.get(kind, ()))
    found = {name: value for name, value in zip(names, row, strict=False) if name and value}
    found |= {f"field_{n}": row[n] for n in range(len(names), len(row)) if row[n]}
    generated, received = found.pop("generated", ""), found.pop("received", "")
    level = _PAN_LEVELS.get(found.pop("severity", "informational").lower(), Level.INFO)
    if "threat" in found:
        number = re.search(r"\((\d+)\)\s*$", found["threat"])
        found["event.id"] = number[1] if number else found["threat"]
    if "fail" in (found.get("status") or found.get("result") or "").lower():
        level = Level.WARNING
    host = found.pop("device", None) or line.host
    return line._replace(
        msg=f"{kind} {found.get('subtype', '').strip('0')}".strip() + f": {_pan_text(kind, found)}",
        level=level,
        ts=times.iso(generated, now) or times.iso(received, now) or line.ts,
        host=host,
        service="pan-os",
        labels={**line.labels, **found, "device.vendor": "Palo Alto Networks"},
    )


_PAN_SAID: dict[str, tuple[str, ...]] = {
    "SYSTEM": ("description",),
    "THREAT": ("threat", "action", "flow"),
    "TRAFFIC": ("action", "application", "flow", "end_reason"),
    "CONFIG": ("command", "result", "path", "user.name"),
}


def _pan_text(kind: str, found: dict[str, str]) -> str:
    flow = f"{found.get('source.address', '')} -> {found.get('destination.address', '')}"
    names = _PAN_SAID.get(kind) or ("event.id", "stage", "status", "reason", "error", "user.name")
    text = " ".join(word for name in names if (word := (found | {"flow": flow}).get(name)))
    found.pop("description", None)
    return text


_FILTER = (
    *("rule", "subrule", "anchor", "tracker", "network.interface.name", "reason", "action"),
    *("direction", "ip_version"),
)
_FILTER_4 = (
    *_FILTER,
    *("tos", "ecn", "ttl", "id", "offset", "flags", "protocol_id", "network.transport"),
    *("length", "source.address", "destination.address"),
)
_FILTER_6 = (
    *_FILTER,
    *("class", "flow_label", "hop_limit", "network.transport", "protocol_id", "length"),
    *("source.address", "destination.address"),
)


def filterlog(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """The packet filter of pfSense and OPNsense: a list without names."""
    row = line.msg.split(",")
    if len(row) < 10 or row[8] not in ("4", "6"):
        return None
    names: Sequence[str] = _FILTER_4 if row[8] == "4" else _FILTER_6
    labels = {name: value for name, value in zip(names, row, strict=False) if value}
    rest = row[len(names) :]
    ends = [labels.get("source.address", ""), labels.get("destination.address", "")]
    if labels.get("network.transport", "").lower() in ("tcp", "udp") and len(rest) > 1:
        labels["source.port"], labels["destination.port"] = rest[:2]
        ends = [f"{end}:{port}" for end, port in zip(ends, rest, strict=False)]
        rest = rest[2:]
    if any(rest):
        labels["details"] = ",".join(rest)
    act = f"{row[6]} {row[7]} on {row[4]}: {labels.get('network.transport', '')}"
    msg = f"{act} {ends[0]} -> {ends[1]}"
    return line._replace(msg=msg, level=line.level or Level.INFO, labels={**line.labels, **labels})
