"""Event formats of security devices: CEF and LEEF. Pure."""

from __future__ import annotations

import re
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
    return line._replace(
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
    return line._replace(
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
