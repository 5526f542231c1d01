"""What Cisco's systems, and those that write like them, put before and into a message. Pure.

``000123: sw-1: *Nov 30 12:00:00.123 UTC: %LINK-3-UPDOWN: text``: a sequence number, the name
(``logging origin-id``), a mark of a clock that is not set or not synchronised, a time or the
uptime, and a mnemonic with the severity. Arista, Dell, Huawei, H3C and AireOS vary it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Level
from aiops_core.normaliser import levels, times
from aiops_core.normaliser.parsed import ParsedLine

TOKENS = 4  # two sequence numbers, a name and a node before the time

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
# What follows the name of a sender, but never the name of a program.
BEGINS = re.compile(
    rf"""%[A-Z%$]|\d{{1,10}}:\ |[*.!]?{_MONTH}\ [ \d]?\d\ |[*.!]?\d{{4}}\ {_MONTH}\ |\*\w+:\ 
    |(?:RP|LC|SC|0)/[\w/]+:|\d+[wdy]\d+[dhw]:\ """,
    re.VERBOSE,
)
_COUNT = re.compile(r"(\d{1,10})\s?:\s+")
_NAME = re.compile(
    r"([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,8}|[A-Za-z0-9][\w.-]*)"
    r"(?:\s?:\s*|\ (?=\d{1,10}: ))"
)
_NODE = re.compile(r"((?:RP|LC|SC|\d+)/[\w/]+?|[\w.-]+ (?:RP|LC)/[\w/]+?)\s?:\s?")
_DATA = re.compile(r"\[syslog@9 [^\]]{0,200}\]\s?:\s*")  # of `logging … session-id`
_UPTIME = re.compile(r"(?:\d+y\d+w|\d+w\d+d|\d+d\d+h|\d{1,3}:\d\d:\d\d(?:\.\d{1,6})?):\s+")
_QUALITY = {"*": "not set", ".": "not synchronised", "!": "not synchronised"}


class DeviceHeader(NamedTuple):
    """What a device states before its message."""

    text: str
    ts: datetime | None
    zoned: bool
    host: str | None
    labels: dict[str, str]


@dataclass(slots=True)
class _Found:
    counted: bool = False
    host: str | None = None
    labels: dict[str, str] = field(default_factory=dict)


def header(text: str, now: datetime) -> DeviceHeader | None:
    """The header of a device in front of *text*; None when there is none, or only a plain time."""
    if not text or not (text[0] in ":*.!" or text[0].isalnum()):
        return None
    rest = text[1:].lstrip() if text[0] == ":" else text
    found = _Found(counted=text[0] == ":")
    for _ in range(TOKENS):
        if device := _timed(rest, now, found):
            return device
        end = _token(rest, found)
        if not end:
            return None
        rest = rest[end:]
    return None


def _timed(rest: str, now: datetime, found: _Found) -> DeviceHeader | None:
    if rest.startswith("%"):
        return DeviceHeader(rest, None, False, found.host, found.labels) if found.counted else None
    mark = rest[:1] if rest[:1] in _QUALITY else ""
    if not (rest[:1].isalnum() or mark):
        return None
    if stamp := times.leading(rest[len(mark) :], now):
        after = rest[len(mark) + stamp.end :]
        known = mark or found.counted or found.host or after.startswith(": %")
        if not known or not after.startswith((":", " ", "\t")):
            return None
        if mark:
            found.labels["time.quality"] = _QUALITY[mark]
        body = after.lstrip(" ").removeprefix(":").lstrip()
        return DeviceHeader(body, stamp.ts, stamp.zoned, found.host, found.labels)
    uptime = _UPTIME.match(rest, len(mark))
    if uptime and (found.counted or found.host or rest.startswith("%", uptime.end())):
        found.labels["uptime"] = uptime[0].strip().rstrip(":")
        return DeviceHeader(rest[uptime.end() :], None, False, found.host, found.labels)
    return None


def _token(rest: str, found: _Found) -> int:
    """The length of a number, a node or a name in front of *rest*; 0 without one."""
    if match := _COUNT.match(rest):
        found.counted = True
        found.labels.setdefault("sequence", match[1])
        return match.end()
    if match := _DATA.match(rest):
        found.counted = True
        return match.end()
    if match := _NODE.match(rest):
        found.counted = True
        name, _, node = match[1].rpartition(" ")
        found.host = name or found.host
        found.labels["node"] = node
        return match.end()
    if found.host is None and (match := _NAME.match(rest)) and BEGINS.match(rest, match.end()):
        found.host = match[1]
        return match.end()
    return 0


_MNEMONIC = re.compile(
    r"""(?:%\$\ ?[\w-]+\ ?%\$\ +|%STKUNIT[\w:-]+\ +)?
    (?P<id>[%#](?P<facility>[A-Za-z][\w.]*(?:-[A-Za-z]\w*){0,4}?)-(?P<severity>[0-7])
    -(?P<mnemonic>\w+))(?:\s?:\s*|\s+(?=\[))(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)
_ASA = frozenset(("ASA", "FTD", "PIX", "FWSM", "NGIPS"))
# Junos with `explicit-priority`: the facility is syslog's, the program stands before it.
_SYSLOG = re.compile(r"(?:DAEMON|AUTH|AUTHORIZATION|KERNEL|USER|INTERACT|PFE|CHANGE|LOCAL\d|ANY)$")
_FIRST = re.compile(r"(\w[\w ]{0,40}): ([^,]*)(?:, |$)")
_PRIORITIES = {"low": Level.INFO, "medium": Level.WARNING, "high": Level.ERROR}


def mnemonic(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``%FACILITY-SEVERITY-MNEMONIC: text``; the severity is the line's level."""
    match = _MNEMONIC.match(line.msg)
    if match is None or "event.id" in line.labels:
        return None
    facility, level = match["facility"], levels.from_pri(int(match["severity"]))
    labels = dict(line.labels)
    if line.service and _SYSLOG.match(facility):
        labels["event.id"] = match["mnemonic"]
        msg = f"{match['mnemonic']}: {match['text']}"
        return line._replace(msg=msg, level=level, labels=labels)
    labels["event.id"] = match["id"]
    if line.service and line.service != line.host:
        labels.setdefault("process.executable.name", line.service)
    if (maker := facility.partition("-")[0]) in _ASA:
        facility = maker
        if match["mnemonic"].startswith("43000"):
            level = _connection(match["text"], labels) or level
    msg = line.msg[match.start("id") :]
    return line._replace(msg=msg, level=level, service=facility, labels=labels)


def _connection(text: str, labels: dict[str, str]) -> Level | None:
    """Fields of a connection or intrusion event of FTD, which all have severity 1."""
    names = {"SrcIP": "source.address", "DstIP": "destination.address", "User": "user.name"}
    names |= {"SrcPort": "source.port", "DstPort": "destination.port", "URL": "url.full"}
    fields: dict[str, str] = dict(_FIRST.findall(text))
    labels.update({names.get(name) or name: value for name, value in fields.items() if value})
    return _PRIORITIES.get(fields.get("EventPriority", "").lower())


_VIPTELA = re.compile(
    r"%Viptela-(?P<host>\S{1,80}?)-(?P<process>\w+)-(?P<severity>[0-7])-\w+-(?P<id>\d+): "
)


def viptela(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``%Viptela-vedge-1-ftmd-6-INFO-1400002: text`` of SD-WAN's edges; the text stays whole."""
    match = _VIPTELA.match(line.msg)
    if match is None or "event.id" in line.labels:
        return None
    labels = {**line.labels, "event.id": match["id"]}
    level, host = levels.from_pri(int(match["severity"])), line.host or match["host"]
    return line._replace(level=level, host=host, service=match["process"], labels=labels)


_ISE = re.compile(
    r"""(?P<service>CISE_\w+)\ \d+\ \d+\ \d+
    \ (?P<time>\d{4}-\d\d-\d\d\ [\d:.]+\ [+-]\d\d:\d\d)
    \ \d+\ (?P<id>\d{4,6})\ (?P<level>[A-Z]+)\ +(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)


def ise(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``CISE_Failed_Attempts 0001 1 0 2026-11-30 12:00:00.1 +00:00 0002 5400 NOTICE text``."""
    match = _ISE.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match["id"]}
    if user := re.search(r", UserName=([^,]{1,200})", match["text"]):
        labels["user.name"] = user[1]
    level, ts = levels.from_word(match["level"]) or line.level, times.iso(match["time"], now)
    text, service = match["text"], match["service"]
    return line._replace(msg=text, level=level, ts=ts or line.ts, service=service, labels=labels)


_WORDED = re.compile(r"(?P<id>%(?P<facility>[A-Z]\w*)-(?P<severity>[AFCEWNID])-(?P<name>\w+))\s?:")
_SIGNS = {
    **dict.fromkeys("AFC", Level.CRITICAL),
    "E": Level.ERROR,
    "W": Level.WARNING,
    **dict.fromkeys("NI", Level.INFO),
    "D": Level.DEBUG,
}


def worded(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``%LINK-W-Down:  gi24``: small switches, whose severity is a character."""
    match = _WORDED.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match["id"]}
    return line._replace(level=_SIGNS[match["severity"]], service=match["facility"], labels=labels)


_TASK = re.compile(r"(?:\[\w+\])?\*(?P<task>[\w.-]+):\s+(?=[A-Z*.\d])")


def controller(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``*osapiBsnTimer: Nov 30 12:00:00.123: #APF-3-RCV_…: apf.c:123 text`` of AireOS."""
    match = _TASK.match(line.msg)
    if match is None or not (stamp := times.leading(line.msg[match.end() :], now)):
        return None
    rest = line.msg[match.end() + stamp.end :].lstrip(": ")
    rest = re.sub(r"^\[\w+\](?=[%#])", "", rest)
    labels = {**line.labels, "thread.name": match["task"]}
    host = line.host or (line.service if line.service else None)
    service = None if host == line.service else line.service
    ts = line.ts or stamp.ts
    return line._replace(msg=rest, ts=ts, host=host, service=service, labels=labels)


_SLASHED = re.compile(
    r"""(?P<id>(?:%%\d\d)?(?P<module>[A-Z][\w-]*)/(?P<severity>[0-7])/(?P<mnemonic>\w+))
    (?:\((?P<kind>\w+)\))?(?:\[(?P<count>\d+)\])?\s?:\s*(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)


def slashed(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``%%01IFNET/4/LINK_STATE(l)[12]:text`` of Huawei, ``%%10IFNET/3/PHY_UPDOWN: text`` of H3C."""
    match = _SLASHED.match(line.msg)
    if match is None or "event.id" in line.labels:
        return None
    labels = {**line.labels, "event.id": match["id"].lstrip("%0123456789")}
    level = levels.from_pri(int(match["severity"]))
    return line._replace(level=level, service=match["module"], labels=labels)


_CONSOLE = re.compile(r"%(?=[A-Z][a-z]{2} [ \d]?\d )")


def console(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``%Nov 30 12:00:00:123 2026 SW IFNET/3/PHY_UPDOWN: text``: the log buffer of H3C."""
    match = _CONSOLE.match(line.msg)
    stamp = times.leading(line.msg[1:], now) if match else None
    if stamp is None:
        return None
    host, _, text = line.msg[1 + stamp.end :].strip().partition(" ")
    return line._replace(msg=text.strip(), ts=stamp.ts, host=line.host or host)
