"""What makers of switches, access points and routers put into their messages. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import levels, times
from aiops_core.normaliser.key_value import FIELD, labelled
from aiops_core.normaliser.parsed import ParsedLine
from aiops_core.normaliser.tags import tagged

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
    return replace(line, msg=text, level=level, ts=ts, service=service, labels=labels)


_UNIFI = re.compile(
    r"""\(?["']?(?P<one>[\w.+-]+),(?P<two>[\w.+-]+)(?:,(?P<version>v?\d[\w.+-]*))?["']?\)?:?\ +
    (?=[\w/])""",
    re.VERBOSE,
)
_MAC = re.compile(r"[0-9a-fA-F]{12}")


def unifi(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``24a43c8b1a2f,U6-LR-6.6.65+15248: hostapd[6885]: text``, and the order of older ones."""
    match = _UNIFI.match(line.msg)
    if match is None:
        return None
    mac, model = match["one"], match["two"]
    if not _MAC.fullmatch(mac):
        mac, model = model, mac
    if not _MAC.fullmatch(mac):
        return None
    text = line.msg[match.end() :]
    tag = tagged(text)
    name, _, version = model.partition("-") if match["version"] else _model(model)
    labels = {**line.labels, "device.model": name, "device.id": mac, "device.vendor": "Ubiquiti"}
    if version := match["version"] or version:
        labels["device.version"] = version
    host = line.host or mac
    if tag is None:
        return replace(line, msg=text, host=host, labels=labels)
    return replace(
        line, msg=tag.text, host=host, service=tag.service, labels={**labels, **tag.labels}
    )


def _model(text: str) -> tuple[str, str, str]:
    """``U6-LR-6.6.65+15248`` → U6-LR and its version."""
    match = re.match(r"(.+?)-(v?\d+\.[\w.+-]*)$", text)
    return (match[1], "-", match[2]) if match else (text, "", "")


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
    return replace(line, msg=match["text"], level=_SHORT_LEVELS[match["level"]], labels=labels)


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
    return replace(line, msg=match["text"], level=level, service=service, labels=labels)


_BIG_IP = re.compile(r"(?P<id>[0-9a-f]{8}):(?P<severity>[0-7]): ")


def big_ip(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``01070638:3: Pool /Common/p member … down.``: a number and a severity of BIG-IP."""
    match = _BIG_IP.match(line.msg)
    if match is None or "event.id" in line.labels:
        return None
    level = levels.from_pri(int(match["severity"]))
    return replace(line, level=level, labels={**line.labels, "event.id": match["id"]})


_CX = re.compile(r"Event\|(\d+)\|LOG_(\w+)\|([^|]*)\|([^|]*)\|(.*)", re.DOTALL)


def aruba_cx(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``Event|403|LOG_INFO|AMM|1/1|Link status for interface 1/1/5 is up`` of ArubaOS-CX."""
    match = _CX.match(line.msg)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match[1]}
    labels |= {name: value for name, value in (("module", match[3]), ("unit", match[4])) if value}
    level = levels.from_word(match[2]) or line.level
    return replace(line, msg=match[5], level=level, labels=labels)


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
    return replace(line, msg=match["text"], host=host, level=level, labels=labels)


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
    return replace(line, msg=match["text"], labels={**labels, "device.vendor": "Dell"})


_MIKROTIK = re.compile(
    r"""(?:(?P<time>(?:[a-z]{3}/\d\d(?:/\d{4})?|\d\d-\d\d)?\ ?\d\d:\d\d:\d\d)\ )?
    (?P<topics>[a-z][a-z0-9-]*(?:,!?[a-z0-9-]+)+):?\ +(?P<text>.*)""",
    re.VERBOSE | re.DOTALL,
)
_TOPICS = {word: levels.BY_WORD[word] for word in ("critical", "error", "warning", "info", "debug")}
_SEVERE_FIRST = ("critical", "error", "warning", "info", "debug")


def mikrotik(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``dhcp,error text``: the topics of RouterOS, of which one is the severity."""
    match = _MIKROTIK.match(line.msg)
    if match is None:
        return None
    topics = match["topics"].split(",")
    named = next((word for word in _SEVERE_FIRST if word in topics), None)
    if named is None:
        return None
    labels = {**line.labels, "topics": match["topics"], "device.vendor": "MikroTik"}
    host, service = line.host, line.service
    if host is None and service and "process.pid" not in labels:
        host = service  # its identity as a prefix: rb-1: dhcp,error …
    ts = line.ts or (_routeros_time(match["time"], now) if match["time"] else None)
    rest = {"msg": match["text"], "level": _TOPICS[named], "ts": ts, "host": host}
    return replace(line, **rest, service=topics[0], labels=labels)  # type: ignore[arg-type]


def _routeros_time(text: str, now: datetime) -> datetime | None:
    day, _, clock = text.rpartition(" ")
    if not day:
        when = times.iso(f"{now:%Y-%m-%d} {clock}", now)
        return when
    if "-" in day:
        stamp = times.leading(f"{day.replace('-', '/')}/{now.year} {clock}", now)
    else:
        month, number, *year = day.split("/")
        stamp = times.leading(" ".join((month.title(), number, *year, clock)), now)
    return stamp.ts if stamp else None


_JUNOS = re.compile(r"([A-Z][A-Z0-9]+_[A-Z0-9_]*[A-Z0-9]): ")


def junos(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``SNMP_TRAP_LINK_DOWN: ifIndex 502, …``: the message's own name becomes its id."""
    match = _JUNOS.match(line.msg)
    if match is None or "event.id" in line.labels or not (line.service or line.host):
        return None
    return replace(line, labels={**line.labels, "event.id": match[1]})


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
    return replace(line, msg=f"{named}: {text}", labels=labels)


_MERAKI = re.compile(r"(?P<kind>[a-z0-9_-]+) +(?P<text>.*)", re.DOTALL)
_REQUEST = re.compile(r"\brequest: (?:(?P<method>[A-Z]+) )?(?P<url>\S+)")


def meraki(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``events port 3 status changed …``, ``urls src=… request: GET https://…``, ``flows …``."""
    match = _MERAKI.match(line.msg)
    if line.labels.get("msgid") != "meraki" or match is None:
        return None
    text = match["text"]
    pairs = [(name, quoted or bare.strip("'")) for name, quoted, bare in FIELD.findall(text)]
    labels = {**line.labels, "msgid": match["kind"], **labelled(pairs)}
    labels["device.vendor"] = "Cisco Meraki"
    if request := _REQUEST.search(text):
        labels["url.full"] = request["url"]
        text = text[: request.start("url")].strip()
    return replace(
        line, msg=f"{match['kind']} {text}", service="meraki", labels=labels, level=line.level
    )


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
    return replace(
        line,
        msg=f"alarm {match['what']}: {match['text']}",
        level=levels.from_number(max(0, int(match["level"]) - 1)),
        ts=stamp.ts if stamp else line.ts,
        host=line.host or match["host"],
        service=module[1] if module else line.service,
        labels={**line.labels, "event.id": match["id"]},
    )
