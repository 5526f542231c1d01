"""What makers of switches put into their messages: HPE, Aruba, Dell, Extreme, F5, ZTE. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import levels, times
from aiops_core.normaliser.parsed import ParsedLine

_PROCURVE = re.compile(
    r"""(?:(?P<mark>[WIMDE])\ (?P<time>\d\d/\d\d/\d\d(?:\d\d)?\ \d\d:\d\d:\d\d)\ )?
    (?P<id>\d{5})\ (?P<service>[A-Za-z][\w./-]{0,20}):\s*(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)
_MARKS = {
    "W": Level.WARNING,
    "I": Level.INFO,
    "M": Level.CRITICAL,
    "D": Level.DEBUG,
    "E": Level.ERROR,
}


def procurve(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``00077 ports:  port 17 is now off-line``; its own log has a mark and a time before."""
    match = _PROCURVE.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match["id"]}
    stamp = times.leading(match["time"], now) if match["time"] else None
    level = _MARKS[match["mark"]] if match["mark"] else line.level
    ts = line.ts or (stamp.ts if stamp else None)
    text, service = match["text"], match["service"]
    return line._replace(msg=text, level=level, ts=ts, service=service, labels=labels)


_ARUBA = re.compile(
    r"""(?:<(?P<id>\d{4,6})>\ +)?<(?P<level>EMRG|ALRT|CRIT|ERRS|WARN|NOTI|INFO|DBUG)>\ *
    (?:<(?P<origin>[^<>]*)>\ *)?(?:\|(?P<who>[^|]+)\|\ *)?(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)
_SHORT_LEVELS = {
    **{word: Level.CRITICAL for word in ("EMRG", "EMER", "ALRT", "CRIT")},
    **{word: Level.ERROR for word in ("ERRS", "ERR", "ERROR")},
    "WARN": Level.WARNING,
    **{word: Level.INFO for word in ("NOTI", "NOTE", "INFO")},
    "DBUG": Level.DEBUG,
}


def aruba(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``<404400> <ERRS> <mc-1 10.20.0.2> |AP ap-deck5@10.20.0.31 sapd| text``: controllers."""
    match = _ARUBA.match(line.msg)
    if match is None:
        return None
    found = {"event.id": match["id"], "origin": match["origin"], "module": match["who"]}
    labels = {**line.labels, **{name: value for name, value in found.items() if value}}
    return line._replace(msg=match["text"], level=_SHORT_LEVELS[match["level"]], labels=labels)


_EXOS = re.compile(
    r"<(?P<level>Crit|Erro|Warn|Noti|Info|Summ|Verb|Debu):(?P<id>(?P<part>[\w-]+)\.[\w.-]+)>\s*(?P<text>.*)",
    re.DOTALL,
)
_EXOS_LEVELS = {
    "Crit": Level.CRITICAL,
    "Erro": Level.ERROR,
    "Warn": Level.WARNING,
    "Verb": Level.DEBUG,
    "Debu": Level.DEBUG,
}


def exos(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``<Info:vlan.msgs.portLinkStateDown> Slot-1: Port 1:5 link down`` of ExtremeXOS."""
    match = _EXOS.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match["id"], "device.vendor": "Extreme Networks"}
    level = _EXOS_LEVELS.get(match["level"], Level.INFO)
    service = line.service or match["part"]
    return line._replace(msg=match["text"], level=level, service=service, labels=labels)


_BIG_IP = re.compile(r"(?P<id>[0-9a-f]{8}):(?P<severity>[0-7]): ")


def big_ip(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``01070638:3: Pool /Common/p member … down.``: a number and a severity of BIG-IP."""
    match = _BIG_IP.match(line.msg)
    if match is None or "event.id" in line.labels:
        return None
    level = levels.from_pri(int(match["severity"]))
    return line._replace(level=level, labels={**line.labels, "event.id": match["id"]})


_CX = re.compile(r"Event\|(\d+)\|LOG_(\w+)\|([^|]*)\|([^|]*)\|(.*)", re.DOTALL)


def aruba_cx(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``Event|403|LOG_INFO|AMM|1/1|Link status for interface 1/1/5 is up`` of ArubaOS-CX."""
    match = _CX.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match[1]}
    labels |= {name: value for name, value in (("module", match[3]), ("unit", match[4])) if value}
    level = levels.from_word(match[2]) or line.level
    return line._replace(msg=match[5], level=level, labels=labels)


_FASTPATH = re.compile(
    r"""(?P<file>[\w.-]+\.[ch]\w{0,2})\((?P<row>\d+)\)\ (?P<count>\d+)\ %%\ 
    (?:(?P<level>EMER|ALRT|CRIT|ERR|ERROR|WARN|NOTE|NOTI|INFO|DBUG)\ )?(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)
_STACKED = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3})-(\d{1,2})")


def fastpath(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``traputil.c(721) 1234 %% NOTE Link Down: Gi1/0/1``: Dell N, EdgeSwitch, ProSAFE."""
    match = _FASTPATH.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "code.file.path": match["file"], "code.line.number": match["row"]}
    host = line.host
    if host and (unit := _STACKED.fullmatch(host)):
        host, labels["unit"] = unit[1], unit[2]
    level = _SHORT_LEVELS[match["level"]] if match["level"] else line.level
    return line._replace(msg=match["text"], host=host, level=level, labels=labels)


_OS10 = re.compile(
    r"Node\.(?P<unit>\d+-Unit\.\d+):\S+ \[(?P<kind>\w+)\], Dell[^%]{0,20}"
    r"(?P<text>%(?P<id>\w+): .*)",
    re.DOTALL,
)


def os10(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``Node.1-Unit.1:PRI [event], Dell EMC (OS10) %IFM_OSTATE_DN: text``."""
    match = _OS10.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match["id"], "unit": match["unit"], "kind": match["kind"]}
    return line._replace(msg=match["text"], labels={**labels, "device.vendor": "Dell"})


_ALCATEL = re.compile(
    r"""(?:swlogd:?\ )?(?P<service>\w+)\ (?P<part>[\w.-]+)
    \ (?P<level>ALARM|ERR|ERROR|ALERT|WARN|WARNING|EVENT|INFO|DBG\d?|DEBUG\d?)
    (?:\(\d\))?:\ ?(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)
_ALCATEL_LEVELS = {"ALARM": Level.CRITICAL, "ALERT": Level.ERROR, "EVENT": Level.INFO}


def alcatel(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``swlogd: intfNi Mgr EVENT: CUSTLOG CMM Link 1/1/5 oper state changed to down``."""
    if line.service != "swlogd" and not line.msg.startswith("swlogd"):
        return None
    match = _ALCATEL.match(line.msg)
    if match is None:
        return None
    word = match["level"].rstrip("0123456789")
    level = _ALCATEL_LEVELS.get(word) or levels.from_word(word.replace("DBG", "DEBUG"))
    labels = {**line.labels, "module": match["part"], "device.vendor": "Alcatel-Lucent"}
    text, service = match["text"].lstrip(": "), match["service"]
    return line._replace(msg=text, level=level or line.level, service=service, labels=labels)


_ZTE = re.compile(
    r"""An\ alarm\ (?P<id>\d+)\ (?:ID\ \d+\ )?level\ (?P<level>\d)\ 
    (?P<what>occurred|cleared|restored)\ at\ (?P<time>\d\d:\d\d:\d\d\ \d\d-\d\d-\d{4})\ 
    sent\ by\ (?P<host>\S+)\ (?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)


def zte(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``An alarm 200407 ID 12 level 3 occurred at 12:00:00 11-30-2026 sent by ZX-1 %ETH% text``."""
    match = _ZTE.match(line.msg)
    if match is None:
        return None
    clock, _, day = match["time"].partition(" ")
    stamp = times.leading(f"{day.replace('-', '/')} {clock}", now)
    module = re.match(r"%(\w+)%", match["text"])
    return line._replace(
        msg=f"alarm {match['what']}: {match['text']}",
        level=levels.from_number(max(0, int(match["level"]) - 1)),
        ts=stamp.ts if stamp else line.ts,
        host=line.host or match["host"],
        service=module[1] if module else line.service,
        labels={**line.labels, "event.id": match["id"]},
    )
