"""Routers and access points of UniFi, MikroTik and Meraki. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.normaliser import levels, times
from aiops_core.normaliser.key_value import FIELD, labelled
from aiops_core.normaliser.parsed import ParsedLine
from aiops_core.normaliser.tags import tagged

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
        return line._replace(msg=text, host=host, labels=labels)
    return line._replace(
        msg=tag.text, host=host, service=tag.service, labels={**labels, **tag.labels}
    )


def _model(text: str) -> tuple[str, str, str]:
    """``U6-LR-6.6.65+15248`` → U6-LR and its version."""
    match = re.match(r"(.+?)-(v?\d+\.[\w.+-]*)$", text)
    return (match[1], "-", match[2]) if match else (text, "", "")


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
    return line._replace(**rest, service=topics[0], labels=labels)  # type: ignore[arg-type]


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
    return line._replace(
        msg=f"{match['kind']} {text}", service="meraki", labels=labels, level=line.level
    )
