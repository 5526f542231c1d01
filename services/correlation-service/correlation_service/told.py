"""What an anomaly tells that a title may name: the values of the places in ``wording``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from aiops_core.gist import ELLIPSIS, gist, trimmed
from aiops_core.models import EnrichedAnomaly

FEW_WORDS = 3  # so short a sentence needs the program before it
LONGEST_PEER = 45  # characters; an IPv6 address has 39
LONGEST_PART = 48  # of a component

# Services that are no program: a person learns nothing from them.
_NO_PROGRAMS = frozenset(
    ("unknown", "syslog", "kernel", "systemd", "user", "daemon", "local0", "node", "messages")
)
_FACILITY = re.compile(r"[A-Z][A-Z0-9_/-]*")  # LINEPROTO, C4K_EBM
# A sentence without its subject. What happens again and again is said in the present.
_PRESENT = {
    "exited": "exits",
    "crashed": "crashes",
    "died": "dies",
    "terminated": "terminates",
    "aborted": "aborts",
    "restarted": "restarts",
    "stopped": "stops",
}
_VERB = re.compile(
    r"(?:exited|crashed|died|terminated|aborted|restarted|stopped|cannot|can.t|could not|couldn.t"
    r"|failed to|does not|did not|is|was|has|lost|received|caught|refused|rejected|timed out)\b",
    re.IGNORECASE,
)
# Kinds of components: how a person writes them; an empty word is left out.
_KINDS = {
    **{kind: kind.upper() for kind in ("psu", "ups", "ap", "vlan", "vpn", "vm")},
    **dict.fromkeys(
        ("what", "part", "program", "condition", "alarm", "title", "device", "unit", "link"), ""
    ),
}
_VAGUE = frozenset(("error", "errors", "failure", "failed", "warning", "alarm", "fault"))
# Words that only say that something is wrong: whose sentence it is says more.
_BARE = _VAGUE | {
    *("unexpected", "unhandled", "uncaught", "exception", "internal", "unknown", "fatal"),
    *("err", "type", "code", "status"),
}
_CODE = re.compile(
    r"(?i)\b(?:error ?)?code\W{1,2}-?\w+|\b0x[0-9a-f]{2,16}\b|\berr(?:or|no)?\W{1,2}-?\d+"
)
_LOGGER = re.compile(r"(?:.*[.$/])?(?P<name>[A-Z][A-Za-z0-9]+)(?:@\d+)?|(?P<whole>[\w.-]{3,40})")
_PORT_NUMBER = re.compile(r"[\d/:.]+")
_UNITS = (
    *("_percent", "_celsius", "_dbm", "_db", "_kbps", "_per_s", "_per_min", "_ms", "_deg", "_hz"),
    *("_knots", "_bar", "_days", "_m"),
)
_INITIALS = re.compile(
    r"\b(?:cpu|gps|snr|rx|tx|wan|lan|ntp|db|io|dns|dhcp|hdop|ups|ram|ip|tcp|udp|http|ups)\b"
)
_READING = re.compile(r" is (?P<value>-?[\d.,]+(?: ?[^\s,;]{1,12})?)[,;]")
_LIMIT = re.compile(r", limit (?P<limit>-?[\d.,]+)")
_USUAL = re.compile(r"expected is (?P<usual>-?[\d.,]+[^,;]{0,40}?)(?:, as in|,|;|$)")
_TIMES = re.compile(r"for the (?P<count>\d+)th time .*?expected are (?P<mean>[\d.,]+)")


def values_of(anomaly: EnrichedAnomaly, program_of: Callable[[str], str]) -> dict[str, str]:
    """The values that are known: names of places, and what stands there.

    *program_of* gives the plain word for a program, such as ``time service`` for ``ntpd``.
    """
    service = "" if anomaly.service in ("", "unknown") else " ".join(anomaly.service.split())
    program = _program(service, program_of) or _logger(anomaly)
    part = component(anomaly.component, anomaly.msg)
    values = {
        "service": service,
        "program": program,
        "peer": _cut(str(anomaly.meta.get("peer") or "").rstrip(".,;:"), LONGEST_PEER),
        "component": part,
        "far": "" if anomaly.component.startswith("interface ") or part == anomaly.device else part,
        "type": anomaly.anomaly_type.replace("_", " "),
        "since": _clock(anomaly.meta.get("since")),
        "times": _times(anomaly),
        "what": "",
    }
    if anomaly.metric and anomaly.value is not None:
        values |= _reading(anomaly)
    else:
        values["what"] = _what(anomaly, service, program)
    return {name: value for name, value in values.items() if value}


# -- what a line says -----------------------------------------------------------------------------


def _what(anomaly: EnrichedAnomaly, service: str, program: str) -> str:
    """The gist of the line, after the program that it is about where that is not clear."""
    if component(anomaly.component) == anomaly.device:
        return ""  # others say of it that it is away
    told = anomaly.msg
    if told == anomaly.reason:  # a sentence of the detector: there was no line
        told = anomaly.template or ""
    text = _without_place(gist(told), anomaly.device)
    if _is_bare(text) and (more := _with_code(text, told, _logger(anomaly), program)):
        return more
    return _after_program(text, service, program)


def _with_code(text: str, told: str, logger: str, program: str) -> str:
    """A sentence that says nothing, with who says it and the code in the line; empty without one
    of them."""
    code = _CODE.search(told)
    who = logger or (program if code else "")
    if not who:
        return ""
    shown = f", {code[0]}" if code and code[0] not in text else ""
    return f"{who}: {text or 'error'}{shown}"


def _is_bare(text: str) -> bool:
    """Whether *text* is one word or none, or says no more than that something is wrong."""
    words = text.casefold().split()
    return len(words) <= 1 or all(word.strip(":;,.") in _BARE for word in words)


def _logger(anomaly: EnrichedAnomaly) -> str:
    """The class or module of the program that wrote the line, as far as it is known."""
    found = _LOGGER.fullmatch(str(anomaly.meta.get("logger") or ""))
    return (found["name"] or found["whole"]) if found else ""


def _after_program(text: str, service: str, program: str) -> str:
    if not text or not program or has_word(text, service):
        return text
    if _FACILITY.fullmatch(service):
        return text
    if _VERB.match(text):
        return f"{program} {_presently(text)}"
    if len(text.split()) <= FEW_WORDS:
        return f"{program}: {text}"
    return text


def has_word(text: str, name: str) -> bool:
    """Whether *text* has *name* as a word of its own, whatever its case."""
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE) is not None


def _without_place(text: str, device: str) -> str:
    """*text* without ``on sw-1`` at its end; empty when nothing but ``error`` is left."""
    before = text.removesuffix(f" {device}")
    if before != text:
        text = trimmed(before)
    return "" if text.casefold() in _VAGUE else text


def _presently(text: str) -> str:
    verb, *rest = text.split(" ")
    return " ".join((_PRESENT.get(verb.lower(), verb.lower()), *rest))


def _program(service: str, program_of: Callable[[str], str]) -> str:
    """*service* with the plain word for it; empty if it is none."""
    if not service or service.casefold() in _NO_PROGRAMS:
        return ""
    plain = program_of(service.casefold())
    return f"{plain} {service}" if plain else service


def component(name: str, msg: str = "") -> str:
    """``interface Gi1/0/24`` as a person writes it, with the capitals that *msg* has."""
    parts = (_component(part, msg) for part in name.split(", ") if part)
    return _cut(", ".join(parts), LONGEST_PART)


def _cut(text: str, room: int) -> str:
    """*text* in one line; a name that is too long loses its end."""
    text = " ".join(text.split())
    return text if len(text) <= room else text[: room - 1] + ELLIPSIS


def _component(part: str, msg: str) -> str:
    kind, _, value = part.partition(" ")
    if not value:
        return part
    at = msg.casefold().find(value.casefold())
    value = msg[at : at + len(value)] if at >= 0 else value
    if kind == "interface":
        return f"port {value}" if _PORT_NUMBER.fullmatch(value) else value
    word = _KINDS.get(kind, kind.replace("_", " ")) or (kind if value.isdigit() else "")
    return f"{word} {value}".strip()


# -- what a detector measured ---------------------------------------------------------------------


def _reading(anomaly: EnrichedAnomaly) -> dict[str, str]:
    """The metric in words, its value, limit and what is usual, as the detector writes them."""
    metric = _metric(anomaly.metric or "")
    said = f"{anomaly.msg}," if anomaly.threshold is not None else anomaly.reason
    found, limit = _READING.search(said), _LIMIT.search(anomaly.msg)
    value = found["value"] if found else f"{anomaly.value:.4g}"
    usual = _USUAL.search(anomaly.reason) if anomaly.threshold is None else None
    return {
        "metric": metric,
        "value": value,
        "what": f"{metric} at {value}",
        "reading": f"{metric} at {value}",
        "limit": limit["limit"].rstrip(",") if limit else "",
        "usual": usual["usual"] if usual else "",
    }


def _metric(name: str) -> str:
    """``cpu_percent`` in words: ``CPU``. The unit stands behind the value."""
    stem = next((name[: -len(unit)] for unit in _UNITS if name.endswith(unit)), name)
    text = " ".join((stem or name).replace("_", " ").split())
    return _INITIALS.sub(lambda one: one[0].upper(), text)[:LONGEST_PART]


def _times(anomaly: EnrichedAnomaly) -> str:
    """How many times as much as usual; empty when it is unknown or not a clear excess."""
    found = _TIMES.search(anomaly.reason)
    usual = float(found["mean"].replace(",", "")) if found else 0.0
    ratio = float(found["count"]) / usual if found and usual > 0 else 0.0
    return f"{ratio:,.0f}" if ratio >= 2 else ""


def _clock(moment: object) -> str:
    """``12:04 UTC`` of a time in ISO 8601; empty if it is none."""
    try:
        return f"{datetime.fromisoformat(str(moment)):%H:%M} UTC"
    except ValueError:
        return ""
