"""Event formats of security devices: CEF, LEEF, the lists of PAN-OS and of pfSense. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import times
from aiops_core.normaliser.key_value import labelled
from aiops_core.normaliser.parsed import ParsedLine

EARLIEST = datetime.fromisoformat("2001-09-09T01:46:40+00:00").timestamp()  # ten digits of seconds

_CEF = re.compile(r"CEF:\s?\d(?:\.\d)?\|((?:[^|\\]|\\.)*\|){6}", re.DOTALL)
_PIPE = re.compile(r"(?<!\\)\|")
_KEY = re.compile(r"(?:^|\s)([\w.\[\]-]{1,64})=")
_WORDS = {
    "unknown": Level.INFO,
    "low": Level.INFO,
    "medium": Level.WARNING,
    "high": Level.ERROR,
    "very-high": Level.CRITICAL,
    "very high": Level.CRITICAL,
    "informational": Level.INFO,
    "info": Level.INFO,
    "warning": Level.WARNING,
    "error": Level.ERROR,
    "critical": Level.CRITICAL,
}
# What stands for the device in extensions, and what an extension's own name is.
_LABELS = re.compile(r"(c[snf]\w{0,10}?\d|flexString\d|flexNumber\d|deviceCustom\w+?\d)Label$")


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), text, flags=re.DOTALL)


def severity(text: str) -> Level | None:
    """0 to 10, or a word, of CEF and LEEF."""
    word = text.strip().lower()
    if not word.isdecimal():
        return _WORDS.get(word)
    number = int(word)
    scale = ((3, Level.INFO), (6, Level.WARNING), (8, Level.ERROR), (10, Level.CRITICAL))
    return next((level for upper, level in scale if number <= upper), None)


def _level(line: ParsedLine, stated: Level | None) -> Level | None:
    """A priority that says more than ``info``, which many send with every line, stays."""
    quiet = line.level in (None, Level.INFO, Level.DEBUG)
    return (stated or line.level) if quiet else line.level


def _extension(text: str) -> dict[str, str]:
    """``key=value key=value``, where values have blanks, and ``=`` in them as ``\\=``."""
    keys = list(_KEY.finditer(text))
    ends = [match.start() for match in keys[1:]] + [len(text)]
    found = {
        match[1]: _unescaped(text[match.end() : end].strip())
        for match, end in zip(keys, ends, strict=False)
    }
    return _named(found)


def _named(found: dict[str, str]) -> dict[str, str]:
    """``cs1=up cs1Label=State`` is ``State=up``."""
    for label in [name for name in found if _LABELS.match(name)]:
        own = label.removesuffix("Label")
        if found.get(own) and found[label]:
            found[found.pop(label)] = found.pop(own)
    return found


def _moment(text: str | None, now: datetime) -> datetime | None:
    if not text:
        return None
    if ts := times.epoch(text, now):
        return ts if ts.timestamp() >= EARLIEST else None
    stamp = times.leading(text, now)
    return stamp.ts if stamp else times.iso(text, now)


def cef(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``CEF:0|vendor|product|version|id|name|severity|extension``."""
    match = _CEF.match(line.msg)
    if match is None:
        return None
    _, vendor, product, version, number, name, *rest = map(
        str.strip, _PIPE.split(line.msg, maxsplit=7)
    )
    found = _extension(rest[1]) if len(rest) > 1 else {}
    said = next((found.pop(key) for key in ("msg", "message") if found.get(key)), "")
    name = _unescaped(name)
    rt = _moment(found.get("rt") or found.get("end") or found.get("start"), now)
    labels = {
        **line.labels,
        **labelled(found.items()),
        "device.vendor": _unescaped(vendor),
        "device.model": _unescaped(product),
        "event.id": _unescaped(number),
    }
    if version:
        labels["device.version"] = version
    return replace(
        line,
        msg=f"{name}: {said}" if said and said != name else name or said or line.msg,
        level=_level(line, severity(rest[0]) if rest else None),
        ts=line.ts or rt,
        host=found.get("dvchost") or line.host or found.get("dvc"),
        service=_service(vendor, product) or line.service,
        labels={key: value for key, value in labels.items() if value},
    )


def _service(vendor: str, product: str) -> str:
    """The product; the vendor's name for the product that we read in other formats as well."""
    word = product.lower()
    return "fortigate" if word.startswith("fortigate") else product or vendor


def leef(line: ParsedLine, now: datetime) -> ParsedLine | None:
    """``LEEF:1.0|vendor|product|version|id|attributes``, with tabs, or LEEF 2.0's delimiter."""
    if not line.msg.startswith("LEEF:") or line.msg.count("|") < 5:
        return None
    head, vendor, product, version, number, rest = line.msg.split("|", 5)
    delimiter = "\t"
    if head.startswith("LEEF:2"):
        written, bar, after = rest.partition("|")
        if bar and len(written) <= 5 and "=" not in written:
            delimiter, rest = _delimiter(written), after
    found: dict[str, str] = {}
    if delimiter in rest:
        pairs = (pair.partition("=") for pair in rest.split(delimiter))
        found = {key.strip(): value.strip() for key, _, value in pairs if value}
    else:
        found = _extension(rest)
    said = next((found.pop(k) for k in ("msg", "message", "reason", "desc") if found.get(k)), "")
    level = severity(found.pop("sev", "") or found.pop("severity", ""))
    host = found.get("devHostName") or found.get("identHostName")
    labels = {"device.vendor": vendor, "device.model": product, "device.version": version}
    labels["event.id"] = number
    return replace(
        line,
        msg=": ".join(part for part in (number, said) if part) or line.msg,
        level=_level(line, level),
        ts=line.ts or _moment(found.get("devTime"), now),
        host=line.host or host,
        service=_service(vendor, product),
        labels={**line.labels, **labelled(found.items()), **{k: v for k, v in labels.items() if v}},
    )


def _delimiter(written: str) -> str:
    """``^``, or its code as ``x5E`` or ``0x5E``."""
    code = re.fullmatch(r"(?:0?x|\\x)([0-9A-Fa-f]{1,4})", written)
    return chr(int(code[1], 16)) if code else written or "\t"


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
    return replace(
        line,
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
    return replace(line, msg=msg, level=line.level or Level.INFO, labels={**line.labels, **labels})
