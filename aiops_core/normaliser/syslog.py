"""Headers of syslog: RFC 3164 as devices really write it, RFC 5424 whole and short. Pure.

A header has a priority, a time, a host and a tag (program and process), of which each may be
missing. Cisco's sequence numbers, and a second header behind that of a relay, are read here too;
what the message itself states is of ``payloads``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import cisco, levels, tags, times
from aiops_core.normaliser.line_format import NIL, program
from aiops_core.normaliser.parsed import ParsedLine
from aiops_core.normaliser.syslog_header import IPV4, SyslogHeader, adopt, take_host, take_tag

RELAYS = 3  # headers before each other: two relays and the device
_PRI = re.compile(r"(?:\d{1,6} )?<(?P<pri>\d{1,3})>:?\s*")
# Kiwi's files: time, facility and level, host, message, with tabs.
_KIWI = re.compile(r"\t\w+\.(?P<level>\w+)\t(?P<host>\S+)\t")
# WatchGuard: a serial number and the time again.
_SERIAL = re.compile(r"\w+ \((?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\) (?=[\w-]+(?:\[\d+\])?: )")
_HOST = re.compile(r"[\w.:%\[\]-]+")
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


# What most lines are: a priority or none, a time, a host, a program. Nothing in it means more to
# any of the readers below, so that they would read the same.
_PLAIN = re.compile(
    r"""(?:<(?P<pri>\d{1,3})>)?
    (?:(?P<second>[A-Z][a-z]{2}\ [\ 0-9][0-9]\ \d\d:\d\d:\d\d)
    |(?<=>)(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)))
    \ (?!\d+\ |[A-Z]{1,5}\ |(?:user|daemon|kern|auth|authpriv|cron|local\d)\.\w+\ )
    (?P<host>[A-Za-z0-9][\w.-]*)
    \ (?:(?P<service>[A-Za-z_][\w.-]*|[a-z_][\w.-]*\((?P<module>[^()\s]*)\))\[(?P<pid>[0-9]+)\]:\s*
    |(?P<bare>[a-z_][\w.-]*):(?:\s+|$))""",
    re.VERBOSE,
)


def read(line: str, now: datetime) -> ParsedLine | None:
    """*line* parsed, or None when it has neither a priority nor a header of syslog."""
    return _read_plain(line, now) or read_any(line, now)


def _read_plain(line: str, now: datetime) -> ParsedLine | None:
    """As ``read_any``, for most lines, in a third of the time."""
    match = _PLAIN.match(line)
    if match is None:
        return None
    written, second, iso, host, service, module, pid, bare = match.groups()
    ts = times.of_second(second, now) if second else times.iso(iso, now)
    service = service.partition("(")[0] if service else bare
    if ts is None or service.lower() in tags.NO_PROGRAM:
        return None
    labels, text, level = dict[str, str](), line[match.end() :], None
    if module:
        labels["module"] = module
    if pid:
        labels["process.pid"] = pid
    if written:
        pri = int(written)
        if pri > levels.HIGHEST_PRI:
            return None
        labels["facility"] = levels.FACILITIES[pri // 8]
        level = _level(pri, text)
    msg = text.removeprefix("\ufeff").strip()
    return ParsedLine(msg, level, ts, host, service=service, labels=labels)


def read_any(line: str, now: datetime) -> ParsedLine | None:
    """*line* parsed, whatever its header is like."""
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


def _header(
    text: str, now: datetime, *, priority: bool, relays: int = RELAYS
) -> SyslogHeader | None:
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
    take_tag(header)
    return header


def _begun(text: str, now: datetime, *, priority: bool) -> SyslogHeader | None:
    """The time and the host; without both only what has a priority is syslog."""
    header = SyslogHeader(text)
    if stamp := times.leading(text, now):
        if kiwi := _KIWI.match(text, stamp.end):
            word = levels.from_word(kiwi["level"])
            return SyslogHeader(text[kiwi.end() :], stamp.ts, host=kiwi["host"], level=word)
        if not priority and text[0].isdigit() and not _named_sender(text, stamp):
            return None
        header.ts, header.zoned = stamp.ts, stamp.zoned
        take_host(header, text[stamp.end :])
    elif device := cisco.header(text, now):
        adopt(header, device)
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
    if cisco.BEGINS.match(after) or text[4:5] == " ":  # 2026 Nov 30 12:00:00 sw-1
        return bool(host)
    if not text[4:5].isdigit() and text[2:3] == "/":  # 11/30/2026 12:00:00 10.0.0.1 APC:
        return bool(IPV4.fullmatch(host)) and bool(tags.tagged(after))
    figures = text[4:5] == "-" and not (text[10:11] == "T" and stamp.zoned)
    if host[:1] == "[" and ":" not in host:
        return False  # [812], a process, and not an address
    if figures or not _HOST.fullmatch(host):
        return False
    return bool(tags.tagged(after)) or after.startswith(("last message", "message repeated"))


def _take_inner(header: SyslogHeader, now: datetime, relays: int = 0) -> bool:
    """A header behind the header of a relay, or Cisco's behind that of the transport."""
    text = header.text
    if not text or not (text[0] in "0123456789*.:<" or text[0].isupper()):
        return False
    if serial := _SERIAL.match(text):
        header.text = text[serial.end() :]
        return True
    if device := cisco.header(text, now):
        adopt(header, device)
        return True
    inner = (
        _with_priority(text, now, relays)
        or _of_meraki(text, now)
        or _without_priority(text, now)
        or _only_timed(text, now)
    )
    if inner is None:
        return False
    said = (inner.text, inner.ts, inner.zoned, inner.host, inner.labels)
    adopt(header, cisco.DeviceHeader(*said))
    header.service = inner.service
    header.pri = header.pri if inner.pri is None else inner.pri
    return True


def _with_priority(text: str, now: datetime, relays: int) -> SyslogHeader | None:
    match = _PRI.match(text)
    if match is None or int(match["pri"]) > levels.HIGHEST_PRI:
        return None
    inner = _header(text[match.end() :], now, priority=True, relays=relays)
    if inner is None or inner.ts is None:
        return None
    inner.pri = int(match["pri"])
    return inner


def _of_meraki(text: str, now: datetime) -> SyslogHeader | None:
    epoch = re.match(r"1 (\d{10}\.\d{1,9}) (\S+) ", text)
    if epoch is None:
        return None
    ts, labels = times.epoch(epoch[1], now), {"msgid": "meraki"}
    return SyslogHeader(text[epoch.end() :], ts, True, epoch[2], labels=labels)


def _without_priority(text: str, now: datetime) -> SyslogHeader | None:
    return _ietf(text[2:], now) if re.match(r"1 \d{4}-\d\d-\d\dT", text) else None


def _only_timed(text: str, now: datetime) -> SyslogHeader | None:
    stamp = times.leading(text, now)
    if stamp is None or (text[:4].isdigit() and not _named_sender(text, stamp)):
        return None
    inner = SyslogHeader(text, stamp.ts, stamp.zoned)
    take_host(inner, text[stamp.end :])
    return inner


def _ietf(text: str, now: datetime) -> SyslogHeader | None:
    """RFC 5424 after its version; senders leave out what they do not know. None: no time here."""
    word, _, rest = text.partition(" ")
    ts = None if word == NIL else times.iso(word, now) or times.epoch(word, now)
    if ts is None and word != NIL:
        stamp = times.leading(text, now)
        if stamp is None:
            return None
        ts, rest = stamp.ts, text[stamp.end :].lstrip()
    header = SyslogHeader(rest, ts, zoned=True)
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


def _short(header: SyslogHeader, rest: str, *, meraki: bool, now: datetime) -> SyslogHeader:
    take_host(header, rest)
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
    take_tag(header)
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
    return inner._replace(host=host, labels=labels)


@dataclass(frozen=True)
class Syslog:
    """The format of whole lines."""

    name: str = "syslog"
    syslog: bool = True
    starts: str = ""

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        return read(line, now)
