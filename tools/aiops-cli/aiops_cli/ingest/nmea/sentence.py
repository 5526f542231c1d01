"""A line → a checked and parsed sentence, or the reason why it is not one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from pynmeagps import NMEAReader, calc_checksum, exceptions

from aiops_core.normaliser import times
from aiops_core.normaliser.parsed import Unreadable

# What stands before a sentence: the word of a datagram of IEC 61162-450 (its NUL may have become
# a replaced character), the time of a logger, tag blocks (NMEA 0183 4.00).
DATAGRAM = r"(?:(?P<datagram>UdPbC)[\0\ufffd]?\s*)?"
_LINE = re.compile(
    rf"""{DATAGRAM}(?:(?P<time>[\d][^$!\\]*?)[\s;,]+)?
    (?:\\(?P<tags>[^\\]*)\*[0-9A-Fa-f]{{2}}\\)*
    (?P<start>[$!])(?P<body>[^*]*)(?:\*(?P<sum>[0-9A-Fa-f]{{2}}))?\s*$""",
    re.VERBOSE,
)
_NAME = re.compile(r"(?P<talker>[A-Z0-9]{2})(?P<kind>[A-Z]{3})(?:,|$)")
_DEPTH = {"feet": "DE", "u1": "CH", "metres": "DE", "u2": "CH", "fathoms": "DE", "u3": "CH"}
_ADDED = {"DBS": _DEPTH, "DBK": _DEPTH}  # sentences that pynmeagps does not know
_CENTURY = 2000  # of years that are written with two digits


@dataclass(frozen=True, slots=True)
class Sentence:
    """*talker* ``GP`` and *kind* ``RMC``; both are empty for a proprietary sentence.

    *source* and *at* come from a logger or a tag block. *text* begins at ``$`` or ``!``. Within a
    datagram of IEC 61162-450 a *wrong_sum* is the arithmetic of a gateway that has rewritten the
    sentence, since UDP has a checksum of its own; elsewhere it is damage.
    """

    text: str
    talker: str = ""
    kind: str = ""
    source: str | None = None
    at: datetime | None = None
    wrong_sum: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a parsed sentence, by pynmeagps' names; an empty field is None."""

    values: Mapping[str, object] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) else None

    def word(self, name: str) -> str:
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    @property
    def time(self) -> time | None:
        value = self.values.get("time")
        return value if isinstance(value, time) else None

    @property
    def date(self) -> date | None:
        """The calendar day that RMC and ZDA state."""
        value = self.values.get("date")
        if isinstance(value, date):
            return value
        year, month, day = (self.number(name) for name in ("year", "month", "day"))
        if year is None or month is None or day is None:
            return None
        try:
            return date(int(year + _CENTURY if year < 100 else year), int(month), int(day))
        except ValueError:
            return None


def read(line: str) -> Sentence:
    """The sentence in *line*; raises Unreadable when there is none or its checksum is wrong."""
    found = _LINE.match(line)
    if found is None:
        raise Unreadable("not an NMEA sentence")
    body, claimed = found["body"], found["sum"]
    if claimed is None:
        raise Unreadable("sentence without a checksum, perhaps cut off")
    if not body.isascii():
        raise Unreadable("a sentence has only ASCII characters")
    right = calc_checksum(body)
    if right != claimed.upper() and not found["datagram"]:
        raise Unreadable(f"wrong checksum: it says {claimed.upper()}, its characters make {right}")
    name = _NAME.match(body)
    tags = dict(tag.split(":", 1) for tag in (found["tags"] or "").split(",") if ":" in tag)
    return Sentence(
        text=line[found.start("start") :].strip(),
        talker=name["talker"] if name else "",
        kind=name["kind"] if name else "",
        source=tags.get("s"),
        at=_time(found["time"] or tags.get("c")),
        wrong_sum=right != claimed.upper(),
    )


def _time(text: str | None) -> datetime | None:
    """The time before a sentence: seconds or milliseconds since 1970, or a date."""
    now = datetime.min.replace(tzinfo=UTC)  # neither of the two needs it
    return (times.epoch(text, now) or times.iso(text, now)) if text else None


def fields(sentence: Sentence) -> Fields:
    """The fields of *sentence*; raises Unreadable when they do not fit its kind."""
    try:
        message = NMEAReader.parse(sentence.text, validate=0, userdefined=_ADDED)
    except (
        exceptions.NMEAParseError,
        exceptions.NMEAMessageError,
        exceptions.NMEATypeError,
        ValueError,
    ) as exc:
        raise Unreadable(f"{sentence.kind} with a field that is none: {exc}") from exc
    named = {} if message is None else vars(message)
    return Fields({key: value for key, value in named.items() if not key.startswith("_")})
