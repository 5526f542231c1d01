"""Management boards of servers (iDRAC, iLO, IPMI) and storage appliances. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.normaliser import levels, times
from aiops_core.normaliser.parsed import ParsedLine

_IDRAC = re.compile(
    r"""Severity:\ (?P<level>[\w-]+),\ Category:\ (?P<category>[^,]*),\ 
    MessageID:\ (?P<id>[\w-]+),\ Message:\ (?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)


def idrac(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``Severity: Critical, Category: System Health, MessageID: PSU0003, Message: text``."""
    match = _IDRAC.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match["id"], "category": match["category"]}
    level = levels.from_word(match["level"]) or line.level
    return line._replace(msg=match["text"], level=level, service="iDRAC", labels=labels)


_ILO = re.compile(r"#?\s?iLO\s?(?P<model>\d)?\s?:\s*(?P<text>.*)", re.DOTALL | re.IGNORECASE)
_ILO_TIME = re.compile(r"\d\d/\d\d/\d{4} \d\d:\d\d(?::\d\d)?\s+")


def ilo(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``#ILO 5: 11/30/2026 12:00 text``."""
    match = _ILO.match(line.msg)
    if match is None:
        return None
    text, ts = match["text"], line.ts
    if written := _ILO_TIME.match(text):
        clock = written[0].strip()
        stamp = times.leading(clock if clock.count(":") > 1 else f"{clock}:00", now)
        ts = ts or (stamp.ts if stamp else None)
        text = text[written.end() :]
    labels = dict(line.labels)
    if match["model"]:
        labels["device.model"] = f"iLO {match['model']}"
    return line._replace(msg=text, ts=ts, service="iLO", labels=labels)


def ilo_tagged(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``iLO5: text``, whose tag the header has."""
    model = f"iLO {line.service[3:]}".strip() if line.service else "iLO"
    return line._replace(service="iLO", labels={**line.labels, "device.model": model})


_SYNOLOGY = re.compile(
    r"(?P<service>System|Connection|FTP|WinFileService|Backup) (?P<user>[\w.@-]+):\s(?P<text>.*)",
    re.DOTALL,
)


def synology(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``System SYSTEM: Volume 1 has crashed``: the log, and who did it."""
    match = _SYNOLOGY.match(line.msg)
    if match is None or line.service:
        return None
    labels = {**line.labels, "user.name": match["user"]}
    return line._replace(msg=match["text"].strip(), service=match["service"], labels=labels)


_SEL = re.compile(
    r"""\s*(?P<id>[0-9a-f]{1,4})\ *\|\ (?P<day>\d\d/\d\d/\d{2,4})\ \|\ 
    (?P<clock>\d\d:\d\d:\d\d)(?:\ (?P<zone>[A-Z]{3,4}))?\ \|\ (?P<text>\S.*)""",
    re.VERBOSE | re.DOTALL,
)


def event_log(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``1a | 11/30/2026 | 12:00:00 | Power Supply #0x62 | Failure detected | Asserted``."""
    match = _SEL.match(line.msg)
    if match is None:
        return None
    zone = f" {match['zone']}" if match["zone"] else ""
    stamp = times.leading(f"{match['day']} {match['clock']}{zone}", now)
    labels = {**line.labels, "record": match["id"]}
    ts = stamp.ts if stamp else line.ts
    service = line.service or "ipmi-sel"
    return line._replace(msg=match["text"], ts=ts, service=service, labels=labels)


_QNAP = re.compile(
    r"""(?P<kind>event|conn)\ log:\ Users:\ (?P<user>[^,]*),\ Source\ IP:\ (?P<source>[^,]*),\ 
    Computer\ name:\ (?P<computer>[^,]*),\ (?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)


def qnap(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``event log: Users: System, Source IP: 127.0.0.1, Computer name: …, Content: text``."""
    match = _QNAP.match(line.msg)
    if match is None:
        return None
    found = {"user.name": match["user"], "source.address": match["source"]}
    found |= {"computer": match["computer"], "device.vendor": "QNAP"}
    labels = {**line.labels, **{k: v for k, v in found.items() if v not in ("", "---")}}
    text = match["text"].removeprefix("Content: ")
    return line._replace(msg=text, service="qnap", labels=labels)


_ONTAP = re.compile(
    r"""\[(?:(?P<host>[\w.-]+):\ ?)?(?:(?P<process>\w+):\ ?)?(?P<id>\w+(?:\.\w+)+)
    :(?P<level>[a-z]+)\]:
    \ *(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)


def ontap(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``[ntap-1:raid.disk.missing:error]: text`` of NetApp."""
    match = _ONTAP.match(line.msg)
    if match is None or (level := levels.from_word(match["level"])) is None:
        return None
    labels = {**line.labels, "event.id": match["id"], "device.vendor": "NetApp"}
    host, service = line.host or match["host"], line.service or "ontap"
    return line._replace(msg=match["text"], level=level, host=host, service=service, labels=labels)
