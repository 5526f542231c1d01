"""What Junos and ScreenOS put into their messages. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import levels
from aiops_core.normaliser.parsed import ParsedLine

_JUNOS = re.compile(r"([A-Z][A-Z0-9]+_[A-Z0-9_]*[A-Z0-9]): ")


def junos(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``SNMP_TRAP_LINK_DOWN: ifIndex 502, …``: the message's own name becomes its id."""
    match = _JUNOS.match(line.msg)
    if match is None or "event.id" in line.labels or not (line.service or line.host):
        return None
    return line._replace(labels={**line.labels, "event.id": match[1]})


_JUNOS_NAMES = {
    "interface-name": "network.interface.name",
    "username": "user.name",
    "source-address": "source.address",
    "destination-address": "destination.address",
    "source-port": "source.port",
    "destination-port": "destination.port",
    "peer-address": "network.peer.address",
    "peer-name": "network.peer.address",
}


def junos_structured(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """Structured data of Junos: its names without the element, and its id before the text."""
    named = line.labels.get("msgid", "")
    if "event.id" in line.labels or not any(name.startswith("junos@") for name in line.labels):
        return None
    labels = {"event.id": named}
    said = []
    for name, value in line.labels.items():
        own = name.rpartition(".")[2] if name.startswith("junos@") else name
        labels[_JUNOS_NAMES.get(own, own)] = value
        if own != name:
            said.append(f"{own} {value}")
    text = line.msg.removeprefix(f"{named}: ") or ", ".join(said)
    return line._replace(msg=f"{named}: {text}", labels=labels)


_NETSCREEN = re.compile(
    r"NetScreen device_id=(?P<host>\S+)\s+(?P<text>\[[^\]]*\]system-(?P<level>\w+)-(?P<id>\d+).*)",
    re.DOTALL,
)
_NETSCREEN_LEVELS = {"notification": Level.INFO, "debugging": Level.DEBUG}


def netscreen(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``NetScreen device_id=fw-1  [Root]system-critical-00026: text`` of ScreenOS."""
    match = _NETSCREEN.match(line.msg)
    if match is None:
        return None
    word = match["level"]
    level = _NETSCREEN_LEVELS.get(word) or levels.from_word(word) or line.level
    labels = {**line.labels, "event.id": match["id"], "device.vendor": "Juniper"}
    host = line.host or match["host"]
    return line._replace(
        msg=match["text"], level=level, host=host, service="netscreen", labels=labels
    )
