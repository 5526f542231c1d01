"""Lines of fields as firewalls write them: FortiGate, SonicWall, Sophos, Check Point … Pure.

The maker is known by fields that only its devices write. What becomes neither time, host, level nor
message becomes labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import levels, times
from aiops_core.normaliser.key_value import Fields, fields, labelled
from aiops_core.normaliser.parsed import ParsedLine

STARTS = "abcdefghijklmnopqrstuvwxyzF"
_BARS = re.compile(r"\w+=[^|]{0,60}\|\w+=")
_BEGINS = re.compile(r"[A-Za-z_][\w.-]{0,63}=")


def _take(found: Fields, *names: str) -> str | None:
    """The first of *names* that has a value, taken out."""
    return next((value for name in names if (value := found.pop(name, ""))), None)


def _stated(found: Fields, now: datetime, zone: str | None) -> datetime | None:
    """``date=2026-11-30 time=12:00:00 tz="+0000"``."""
    day, clock = found.get("date"), found.get("time")
    if not (day and clock):
        return None
    ts = times.iso(f"{day} {clock}{_offset(zone)}", now)
    if ts is not None:
        del found["date"], found["time"]
    return ts


def _offset(zone: str | None) -> str:
    match = re.search(r"([+-])(\d{1,2}):?(\d\d)", zone or "")
    return f"{match[1]}{match[2]:0>2}:{match[3]}" if match else ""


def _joined(*parts: str | None) -> str:
    """*parts* that are there, each once, as ``one: other``."""
    return ": ".join({part.lower(): part for part in parts if part}.values())


def _flow(found: Fields, source: tuple[str, ...], destination: tuple[str, ...]) -> str:
    """`` from A to B`` of a line of traffic."""
    ends = [next((found[n] for n in names if found.get(n)), "") for names in (source, destination)]
    return f" from {ends[0]} to {ends[1]}" if all(ends) else ""


_FORTINET = {"devname", "devid", "device_id", "logid", "log_id", "logdesc", "vd", "eventtime"}


def fortinet(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine | None:
    """FortiGate, FortiMail, FortiWeb: ``date=… time=… devname=… logid=… type=… level=…``."""
    if len(_FORTINET & found.keys()) < 2 and not {"type", "subtype", "level"} <= found.keys():
        return None
    when = found.pop("eventtime", "")
    stated = _stated(found, now, found.pop("tz", found.pop("timezone", None)))
    ts = times.epoch(when, now) if when.isdigit() and len(when) > 9 else None
    level = levels.from_word(_take(found, "level", "pri") or "")
    text = _joined(_take(found, "logdesc"), _take(found, "msg"))
    if not text:
        kind = " ".join(found.get(name, "") for name in ("type", "subtype")).strip()
        act = " ".join(found[name] for name in ("action", "service") if found.get(name))
        text = _joined(kind, act + _flow(found, ("srcip", "src"), ("dstip", "dst")))
    host = _take(found, "devname")
    product = "fortinet" if "device_id" in found else "fortigate"  # FortiMail, FortiWeb
    found["device.vendor"] = "Fortinet"
    return _answer(line, text, ts or stated, level, host, product, found)


def sonicwall(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine | None:
    """SonicWall, and Stormshield: ``id=firewall sn=… time="…" fw=… pri=… c=… m=… msg="…"``."""
    if not ("id" in found and "pri" in found and ("sn" in found or "fw" in found)):
        return None
    vendor = "SonicWall" if "sn" in found else "Stormshield"
    written = (_take(found, "time") or "") + _offset(found.pop("tz", None))
    pri = found.pop("pri")
    level = levels.from_number(int(pri)) if pri.isdecimal() else levels.from_word(pri)
    if "m" in found:
        found["event.id"] = found.pop("m")
    text = _joined(_take(found, "msg"), _take(found, "note"))
    text = text or _joined(found.get("logtype"), _act(found, ("src",), ("dst",)))
    found["device.vendor"] = vendor
    host = found.get("fw", "")
    if line.host and not re.search("[A-Za-z]", host):
        host = line.host  # an address of the firewall, whose name the header has
    return _answer(line, text, times.iso(written, now), level, host, vendor.lower(), found)


def _act(found: Fields, source: tuple[str, ...], destination: tuple[str, ...]) -> str:
    return (found.get("action", "") + _flow(found, source, destination)).strip()


def sophos(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine | None:
    """SFOS: ``device="SFW" date=… device_name="…" log_type="…" severity=…``."""
    if not ("log_type" in found and ("device_name" in found or "device" in found)):
        return None
    stated = _stated(found, now, found.pop("timezone", None))
    if "timestamp" in found:
        stated = times.iso(found.pop("timestamp"), now) or stated
    level = levels.from_word(_take(found, "severity", "priority") or "")
    kind = " ".join(
        found.get(name, "") for name in ("log_type", "log_component", "log_subtype")
    ).strip()
    said = _take(found, "message", "reason") or _flow(found, ("src_ip",), ("dst_ip",)).strip()
    host = _take(found, "device_name")
    found["device.vendor"] = "Sophos"
    return _answer(line, _joined(kind, said), stated, level, host, "sophos", found, keep_host=True)


def sophos_utm(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine | None:
    """UTM: ``id="2001" severity="info" sys="SecureNet" sub="packetfilter" name="…"``."""
    if not {"id", "severity", "sys", "sub", "name"} <= found.keys():
        return None
    level = levels.from_word(found.pop("severity"))
    found["event.id"] = found.pop("id")
    text = _joined(found.pop("name"), _flow(found, ("srcip",), ("dstip",)).strip())
    service = line.service or found["sub"]
    return _answer(line, text, None, level, None, service, found)


def watchguard(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine | None:
    """``msg_id="3000-0148" Deny 1-Trusted 0-External 40 tcp …``; the text is kept."""
    match = re.match(r'msg_id="([\w-]+)"\s*(.*)', line.msg, re.DOTALL)
    if match is None:
        return None
    labels = {**line.labels, "event.id": match[1], "device.vendor": "WatchGuard"}
    return line._replace(msg=match[2], labels=labels)


def zyxel(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine | None:
    """``src="…" dst="…" msg="…" note="…" devID="…" cat="…"`` of Zyxel's gateways."""
    if not ({"msg", "cat"} <= found.keys() and ("devID" in found or "note" in found)):
        return None
    text = found.pop("msg")
    found["device.vendor"] = "Zyxel"
    return _answer(line, text, None, None, None, "zyxel", found)


def check_point_fields(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine | None:
    """``time=1764504000|hostname=gw-1|product=…|severity=…`` of Check Point's log exporter."""
    if not ("product" in found and ("loguid" in found or "originsicname" in found)):
        return None
    return _check_point(line, found, now)


def check_point(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """The same fields, from the structured data of RFC 5424."""
    if line.msg or not ({"action", "product", "loguid"} & line.labels.keys()):
        return None
    found = dict(line.labels)
    return _check_point(line._replace(labels={}), found, now)


def _check_point(line: ParsedLine, found: Fields, now: datetime) -> ParsedLine:
    when = times.epoch(found.pop("time", ""), now) or line.ts
    severity = found.pop("severity", "")
    level = _CHECK_POINT.get(severity.lower())
    said = _take(found, "protection_name", "description", "reason", "msg", "short_desc")
    text = _joined(found.get("product", ""), said, _act(found, ("src",), ("dst",)))
    found["device.vendor"] = "Check Point"
    host = _take(found, "hostname") or (line.host or found.get("origin"))
    return _answer(line, text, when, level, host, "checkpoint", found)


_CHECK_POINT = {
    "0": Level.INFO,
    "1": Level.INFO,
    "2": Level.WARNING,
    "3": Level.ERROR,
    "4": Level.CRITICAL,
    "informational": Level.INFO,
    "low": Level.INFO,
    "medium": Level.WARNING,
    "high": Level.ERROR,
    "critical": Level.CRITICAL,
}


def _answer(
    line: ParsedLine,
    text: str,
    ts: datetime | None,
    level: Level | None,
    host: str | None,
    service: str,
    rest: Fields,
    *,
    keep_host: bool = False,
) -> ParsedLine:
    """*line* with what its fields state; with *keep_host* a host of the header stays."""
    labels = {**line.labels, **labelled(rest.items())}
    if keep_host and line.host and host:
        labels["device_name"] = host
        host = None
    return line._replace(
        msg=text or line.msg,
        ts=ts or line.ts,
        level=level or line.level,
        host=host or line.host,
        service=service,
        labels=labels,
    )


Maker = Callable[[ParsedLine, Fields, datetime], ParsedLine | None]
MAKERS: tuple[Maker, ...] = (
    *(sophos, fortinet, sonicwall, sophos_utm, watchguard, zyxel, check_point_fields),
)


def read(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """The fields of *line*, when its message begins with one and a maker is known by them."""
    if "event.id" in line.labels or not _BEGINS.match(line.msg):
        return None
    if _BARS.match(line.msg):
        found = dict(pair.split("=", 1) for pair in line.msg.split("|") if "=" in pair)
    else:
        found = fields(line.msg)
    for maker in MAKERS:
        if answer := maker(line, dict(found), now):
            return answer
    return None


@dataclass(frozen=True)
class Makers:
    """The format of whole lines that have no header: before any logger's ``name=value``."""

    name: str = "maker"
    syslog: bool = False
    starts: str = STARTS

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        return read(ParsedLine(line), now)
