"""Headers of syslog: RFC 3164 as devices really write it, RFC 5424 whole and short. Pure.

A header has a priority, a time, a host and a tag (program and process), of which each may be
missing. Cisco's sequence numbers, and a second header behind that of a relay, are read here too;
what the message itself states is of ``payloads``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from aiops_core.models import Level
from aiops_core.normaliser import cisco, levels, times
from aiops_core.normaliser.line_format import NIL, program
from aiops_core.normaliser.parsed import ParsedLine

RELAYS = 3  # headers before each other: two relays and the device
# The device's clock and that of its relay differ by their zones at most, or the device's is wrong.
BELIEVED = timedelta(hours=26)
SAME_MOMENT = timedelta(minutes=1)
ZONE_STEP = timedelta(minutes=30)  # zones differ by multiples of it

_PRI = re.compile(r"(?:\d{1,6} )?<(?P<pri>\d{1,3})>:?\s*")
_IPV6 = re.compile(r"\[?[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,8}(?:%\w+)?\]?")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_ZONE = re.compile(r"([A-Z]{1,5}): ")  # after the host: sw-9 UTC: %LINK-…
_AGAIN = re.compile(r"[A-Z][a-z]{2} [ \d]?\d (?:\d{4} )?\d\d:\d\d:\d\d")  # a second time
# A level between host and program: BIG-IP, SONiC, BusyBox (``daemon.err smartd[12]: …``).
_LEVELS = "emerg|alert|crit|err|error|warn|warning|notice|info|debug"
_FACILITY = "|".join(levels.FACILITIES)
_LEVEL_FIRST = re.compile(
    rf"""(?:(?P<upper>(?:{_LEVELS.upper()}))\ +(?=[\w#./-]+(?:\[\d+\])?:\ )
    |(?P<lower>(?:{_LEVELS}))\ +(?=[\w./-]+\[\d+\]:\ |kernel:\ |logger:\ )
    |(?:{_FACILITY})\.(?P<dotted>(?:{_LEVELS}))\ +(?=\S))""",
    re.VERBOSE,
)
# Kiwi's files: time, facility and level, host, message, with tabs.
_KIWI = re.compile(r"\t\w+\.(?P<level>\w+)\t(?P<host>\S+)\t")
# WatchGuard: a serial number and the time again.
_SERIAL = re.compile(r"\w+ \((?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\) (?=[\w-]+(?:\[\d+\])?: )")
_NAMED_AFTER_ADDRESS = re.compile(r"([\w.-]+) (?=[\w-]+\[\d+\]: )")
_PROCESS = re.compile(r"[A-Za-z_/][\w./-]*\[\d+\]: ")
_TAGGED = re.compile(r"[A-Za-z_/][\w./@-]*(?:\([^()\s]*\))?\[\d+\]:?$")
_PROGRAMS = frozenset(("kernel", "su", "sudo", "sshd", "systemd", "CRON", "cron", "dhclient"))
# Words that begin a message where no host stands: formats of makers, syslogd's own notes.
_NO_HOST = re.compile(
    r"""CEF:\s?\d|LEEF:\d|[%{|"(]|--\ |\w+=|(?:last\ )?message\ repeated\ |restart\.?$
    |[a-z][\w-]*(?:,[a-z!][\w-]*)+\s|Event\|\d""",
    re.VERBOSE,
)
_TAG = re.compile(
    r"""\s*(?:--\ )?(?P<service>[^\s\[\]():,="'%*<>|{}\\#][^\s\[\]():,="'%*<>|{}\\]*)
    (?:\ \d[\w.]*)?                     # syslogd 1.4.1:
    (?:\((?P<module>[^()\s]*)\))?       # sshd(pam_unix)
    (?:\[(?P<pid>[^\]\s]*)\]:?|:(?=\s|$))
    \s*""",
    re.VERBOSE,
)
_NO_PROGRAM = frozenset(
    (
        *(
            "severity",
            "category",
            "message",
            "messageid",
            "event",
            "time",
            "date",
            "trap",
            "cef",
            "leef",
        ),
        *("warning", "warn", "error", "err", "info", "information", "notice", "debug"),
        *("critical", "crit", "fatal", "alert", "emergency", "panic"),
    )
)
_IETF = re.compile(
    r"""(?P<service>\S*[^\s:])\ (?P<pid>[^\s\[]\S*)\ (?P<msgid>[^\s\[]\S*)\ +
    (?P<data>-|(?:\[(?:[^"\\\]]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?:\ (?P<msg>.*))?$""",
    re.VERBOSE | re.DOTALL,
)
_FEWER = re.compile(
    r"(?P<service>[^\s\[\]():=|,]+) (?P<pid>\d+|-) (?:- ){0,2}"
    r"(?P<data>\[[^\s\]\"]+(?: [^\]]{0,1000})?\] ?)?(?P<msg>.*)$",
    re.DOTALL,
)
_ELEMENT = re.compile(r'\[([^\s=\]":]+)((?: [^\s=\]"]+="(?:[^"\\\]]|\\.)*")*)\s*\]')
_PARAM = re.compile(r' ([^\s=\]"]+)="((?:[^"\\\]]|\\.)*)"')
_COLON_PARAM = re.compile(r'\b(\w[\w -]{0,60}):"((?:[^"\\]|\\.)*)"(?:;|\])')
_SLASHED = re.compile(r"/[0-7]/")  # IFNET/3/PHY_UPDOWN is no program


@dataclass(slots=True)
class _Header:
    """What is known so far; *text* is what remains of the line."""

    text: str
    ts: datetime | None = None
    zoned: bool = False
    host: str | None = None
    service: str | None = None
    pri: int | None = None
    level: Level | None = None
    labels: dict[str, str] = field(default_factory=dict)


def read(line: str, now: datetime) -> ParsedLine | None:
    """*line* parsed, or None when it has neither a priority nor a header of syslog."""
    pri, text = None, line
    if match := _PRI.match(line):
        pri, text = int(match["pri"]), line[match.end() :]
        if pri > levels.HIGHEST_PRI:
            return None
    header = _header(text, now, priority=pri is not None)
    if header is None:
        return None
    pri = pri if header.pri is None else header.pri
    if pri is not None:
        header.labels["facility"] = levels.FACILITIES[pri // 8]
    return ParsedLine(
        msg=header.text.removeprefix("\ufeff").strip(),
        level=header.level or (None if pri is None else _level(pri, header.text)),
        ts=header.ts,
        host=header.host,
        service=program(header.service),
        labels=header.labels,
    )


def _level(pri: int, msg: str) -> Level:
    """Of the priority; who writes through a pipe has one for all lines, and the level in them."""
    level = levels.from_pri(pri)
    return levels.stated_first(msg) or level if level is Level.INFO else level


def _header(text: str, now: datetime, *, priority: bool, relays: int = RELAYS) -> _Header | None:
    if priority and text.startswith("1 "):
        if found := _ietf(text[2:], now):
            return found
        if _IETF.match(text.split(" ", 3)[-1]):
            return None  # its time is none
    header = _begun(text, now, priority=priority)
    if header is None:
        return None
    for left in range(relays, 0, -1):
        if not _take_inner(header, now, left - 1):
            break
    _take_tag(header)
    return header


def _begun(text: str, now: datetime, *, priority: bool) -> _Header | None:
    """The time and the host; without both only what has a priority is syslog."""
    header = _Header(text)
    if stamp := times.leading(text, now):
        if kiwi := _KIWI.match(text, stamp.end):
            word = levels.from_word(kiwi["level"])
            return _Header(text[kiwi.end() :], stamp.ts, host=kiwi["host"], level=word)
        if not priority and text[0].isdigit() and not _named_sender(text, stamp):
            return None
        header.ts, header.zoned = stamp.ts, stamp.zoned
        _take_host(header, text[stamp.end :])
    elif device := cisco.header(text, now):
        _adopt(header, device)
    elif not priority:
        return None
    return header


def _named_sender(text: str, stamp: times.Stamp) -> bool:
    """Whether a date in figures, without a priority, begins a line of syslog: host and program
    follow, or what only a network device writes."""
    rest = text[stamp.end :]
    if rest.startswith((": %", ": RP/")):
        return True
    host, _, after = rest.strip().partition(" ")
    after = after.lstrip(": ")
    if cisco.BEGINS.match(after):
        return bool(host)
    if not text[4:5].isdigit() and text[2:3] == "/":  # 11/30/2026 12:00:00 10.0.0.1 APC:
        return bool(_IPV4.fullmatch(host)) and bool(_TAG.match(after))
    figures = text[4:5] == "-" and not (text[10:11] == "T" and stamp.zoned)
    if host[:1] == "[" and ":" not in host:
        return False  # [812], a process, and not an address
    if figures or not re.fullmatch(r"[\w.:%\[\]-]+", host):
        return False
    return bool(_TAG.match(after)) or after.startswith(("last message", "message repeated"))


def _take_host(header: _Header, rest: str) -> None:
    """The host after a time: none before a colon, a tag or a format of a maker."""
    if rest.startswith(":"):
        header.text = rest[1:].lstrip()
        return
    rest = rest.lstrip()
    first, _, after = rest.partition(" ")
    after = after.lstrip()
    header.text = rest
    if not after or _NO_HOST.match(rest) or _AGAIN.match(rest):
        return
    if first.endswith(":") and not first.endswith("::"):
        if not _is_host(first[:-1], after):
            return
        first = first[:-1]
    elif _TAGGED.match(first):
        return
    if first.startswith("[") and (named := _NAMED_AFTER_ADDRESS.match(after)):
        header.labels["sender"] = first.strip("[]")  # Aruba's controllers state both
        first, after = named[1], after[named.end() :]
    header.host = None if first == NIL else first.strip("[]")
    header.text = after[1:].lstrip() if after.startswith(": ") else after
    if (zone := _ZONE.match(header.text)) and times.is_zone(zone[1]):
        header.text = header.text[zone.end() :]


def _is_host(word: str, after: str) -> bool:
    """Whether *word*, before a colon, names the sender rather than the program."""
    if _IPV4.fullmatch(word) or _IPV6.fullmatch(word):
        return True
    if "[" in word or word in _PROGRAMS:
        return False
    return bool(cisco.BEGINS.match(after) or _PROCESS.match(after))


def _take_inner(header: _Header, now: datetime, relays: int = 0) -> bool:
    """A header behind the header of a relay, or Cisco's behind that of the transport."""
    text = header.text
    if not text or not (text[0] in "0123456789*.:<" or text[0].isupper()):
        return False
    if serial := _SERIAL.match(text):
        header.text = text[serial.end() :]
        return True
    if device := cisco.header(text, now):
        _adopt(header, device)
        return True
    if (match := _PRI.match(text)) and int(match["pri"]) <= levels.HIGHEST_PRI:
        inner = _header(text[match.end() :], now, priority=True, relays=relays)
        if inner is None or inner.ts is None:
            return False
        _adopt(
            header, cisco.DeviceHeader(inner.text, inner.ts, inner.zoned, inner.host, inner.labels)
        )
        header.service, header.pri = inner.service, int(match["pri"])
        return True
    if epoch := re.match(r"1 (\d{10}\.\d{1,9}) (\S+) ", text):
        ts = times.epoch(epoch[1], now)
        _adopt(header, cisco.DeviceHeader(text[epoch.end() :], ts, True, epoch[2], {}))
        header.labels["msgid"] = "meraki"
        return True
    if (stamp := times.leading(text, now)) and not text[:4].isdigit():
        inner = _Header(text, stamp.ts, stamp.zoned)
        _take_host(inner, text[stamp.end :])
        _adopt(header, cisco.DeviceHeader(inner.text, inner.ts, inner.zoned, inner.host, {}))
        return True
    return False


def _adopt(header: _Header, device: cisco.DeviceHeader) -> None:
    """What the device states, before what its relay does; a time that is far from the relay's is
    not believed."""
    header.labels.update(device.labels)
    if device.host and device.host != header.host:
        if header.host:
            header.labels["sender"] = header.host
        header.host = device.host
    header.text = device.text
    if device.ts is None:
        return
    if header.ts is not None and not _believed(device.ts - header.ts, device, header):
        header.labels["log.stated_time"] = device.ts.isoformat()
        return
    header.ts, header.zoned = device.ts, device.zoned


def _believed(ahead: timedelta, device: cisco.DeviceHeader, header: _Header) -> bool:
    """Whether the device's time, so much ahead of its relay's, is the time of the line. A local
    time without a zone is a multiple of half an hour away."""
    apart = abs(ahead)
    if apart <= SAME_MOMENT or device.zoned:
        return apart <= BELIEVED
    local = abs(apart - round(apart / ZONE_STEP) * ZONE_STEP) <= SAME_MOMENT
    return apart <= BELIEVED and not header.zoned and not local


def _take_tag(header: _Header) -> None:
    if header.service is not None:
        return
    if word := _LEVEL_FIRST.match(header.text):
        header.level = levels.from_word(word["upper"] or word["lower"] or word["dotted"])
        header.text = header.text[word.end() :]
    if tag := tagged(header.text):
        header.service, header.text = tag.service, tag.text
        header.labels.update(tag.labels)


class Tag(NamedTuple):
    """A program in front of a message, and the message."""

    service: str
    labels: dict[str, str]
    text: str


def tagged(text: str) -> Tag | None:
    """``sshd(pam_unix)[19]: text``; neither a number nor the word of a field is a program."""
    match = _TAG.match(text)
    if match is None:
        return None
    service, pid = match["service"], match["pid"]
    if service.isdigit() or service.lower() in _NO_PROGRAM or _SLASHED.search(service):
        return None
    labels = {"module": match["module"]} if match["module"] else {}
    if pid and pid != NIL:
        labels["process.pid" if pid.isdigit() else "thread.name"] = pid
    return Tag(service, labels, text[match.end() :])


def _ietf(text: str, now: datetime) -> _Header | None:
    """RFC 5424 after its version; senders leave out what they do not know. None: no time here."""
    word, _, rest = text.partition(" ")
    ts = None if word == NIL else times.iso(word, now) or times.epoch(word, now)
    if ts is None and word != NIL:
        stamp = times.leading(text, now)
        if stamp is None:
            return None
        ts, rest = stamp.ts, text[stamp.end :].lstrip()
    header = _Header(rest, ts, zoned=True)
    host, _, after = rest.partition(" ")
    match = _IETF.match(after)
    if match is None:
        return _short(header, rest, meraki="." in word and word[:10].isdigit(), now=now)
    header.host = None if host == NIL else host.strip("[]")
    header.service = match["service"]
    header.text = match["msg"] or ""
    for name, label in (("pid", "process.pid"), ("msgid", "msgid")):
        if match[name] != NIL:
            header.labels[label] = match[name]
    if match["data"] != NIL:
        header.labels.update(structured(match["data"]))
    return header


def _short(header: _Header, rest: str, *, meraki: bool, now: datetime) -> _Header:
    _take_host(header, rest)
    if meraki:
        header.labels["msgid"] = "meraki"
    elif _take_inner(header, now):
        pass
    elif match := _FEWER.match(header.text):
        header.service, header.text = match["service"], match["msg"]
        if match["pid"] != NIL:
            header.labels["process.pid"] = match["pid"]
        header.labels.update(structured(match["data"] or ""))
        return header
    _take_tag(header)
    return header


def structured(data: str) -> dict[str, str]:
    """The parameters of RFC 5424's structured data, each as ``element.parameter``."""
    found = {
        f"{element[1]}.{param[1]}": re.sub(r'\\(["\\\]])', r"\1", param[2])
        for element in _ELEMENT.finditer(data)
        for param in _PARAM.finditer(element[2])
    }
    return found or {param[1]: param[2] for param in _COLON_PARAM.finditer(data)}  # Check Point


def relayed(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """A whole line of another device, which a program that only relays has as its message."""
    inner = read(line.msg, now) if line.msg.startswith("<") else None
    if inner is None or inner.ts is None:
        return None
    host = (inner.host or "").partition("@")[0] or line.host
    labels = {**line.labels, **inner.labels}
    if line.host and line.host != host:
        labels["sender"] = line.host
    return replace(inner, host=host, labels=labels)


@dataclass(frozen=True)
class Syslog:
    """The format of whole lines."""

    name: str = "syslog"
    syslog: bool = True
    starts: str = ""

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        return read(line, now)
