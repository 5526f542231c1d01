"""Readers of the times in log lines. A time without a zone is UTC, as ships keep their clocks.

Each reader takes the text and *now*, and returns an aware UTC time, or None when it cannot read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

TimeReader = Callable[[str, datetime], datetime | None]

AHEAD = timedelta(days=1)  # a date further ahead is of last year; less is a clock that is ahead
LEAP_CYCLE = 8  # years within which 29 February comes again, also around 1900 and 2100
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # before it: a clock that was never set, or no time
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_ABBREVIATIONS = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_MONTHS = {name: number for number, name in enumerate(_ABBREVIATIONS, 1)}
_FRACTION = re.compile(r"[.,](\d{1,9})")
_ZONE = re.compile(r"(?<=\d) ?(?:UTC|GMT)$", re.IGNORECASE)
# Hours before or after UTC of the names that devices write; an unknown one counts as UTC.
_ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "MEZ": 1,
    "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3, "SAST": 2, "GST": 4, "PKT": 5, "WIB": 7, "SGT": 8,
    "HKT": 8, "PHT": 8, "AWST": 8, "JST": 9, "KST": 9, "ACST": 9.5, "AEST": 10, "AEDT": 11,
    "NZST": 12, "NZDT": 13, "BRT": -3, "ART": -3, "EDT": -4, "EST": -5, "CDT": -5, "CST": -6,
    "MDT": -6, "MST": -7, "PDT": -7, "PST": -8, "AKDT": -8, "AKST": -9, "HST": -10,
}  # fmt: skip
_CLOCK = r"(?P<clock>\d{1,2}:\d\d:\d\d)(?:[.,:](?P<fraction>\d{1,9}))?"
_YEAR = r"(?:19|20)\d\d"
_MONTH_FIRST = re.compile(
    rf"""(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\ )?
    (?P<month>[A-Za-z]{{3}})[ ]{{1,2}}(?P<day>\d{{1,2}}),?[ ]{{1,2}}
    (?:(?P<year>{_YEAR})[ ]{{1,2}})?{_CLOCK}(?:\ (?P<year_last>{_YEAR})(?=\s|:\s|$))?""",
    re.VERBOSE,
)
_YEAR_FIRST = re.compile(
    rf"(?P<year>{_YEAR})[ -](?P<month>[A-Za-z]{{3}})[ -]{{1,2}}(?P<day>\d{{1,2}})\ {_CLOCK}"
)
_DAY_FIRST = re.compile(
    rf"(?P<day>\d{{1,2}})[ -](?P<month>[A-Za-z]{{3}})[ -](?:(?P<year>{_YEAR})\ )?{_CLOCK}"
)
_SLASHES = re.compile(
    rf"(?P<first>\d{{1,2}})/(?P<second>\d{{1,2}})/(?P<year>{_YEAR}|\d\d)[ T:-]{_CLOCK}"
)
_DASHES = re.compile(  # Huawei
    rf"(?P<year>{_YEAR})-(?P<number>\d{{1,2}})-(?P<day>\d{{1,2}})\ {_CLOCK}(?:\.\d{{1,3}})?"
)
_COLONS = re.compile(  # Sophos UTM
    rf"(?P<year>{_YEAR}):(?P<number>\d\d):(?P<day>\d\d)-{_CLOCK}"
)
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?P<zone>Z|[+-]\d\d:?\d\d)?(?=[\s:,;|]|$)"
)
_ZONE_AFTER = re.compile(
    r"(?P<offset>\ ?[+-]\d\d:?\d\d)(?=[\s:]|$)"
    r"|\ ?\(?(?P<name>[A-Z]{1,5})\)?(?=(?P<colon>:\s*[%#*])|[:\s]|$)"
)
_NUMBER = re.compile(r"\d{9,19}(?:\.\d{1,9})?")


def in_range(when: datetime) -> datetime | None:
    """*when* in UTC, or None when it is before EARLIEST or after LATEST."""
    try:
        utc = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except OverflowError:
        return None
    return utc if EARLIEST <= utc < LATEST else None


@lru_cache(1024)
def _iso(text: str) -> datetime | None:
    try:
        return in_range(datetime.fromisoformat(text)) if len(text) >= len("2026-01-01") else None
    except ValueError:  # nearly never
        pass
    text = _ZONE.sub("Z", text.strip().replace("/", "-"))
    text = _FRACTION.sub(lambda m: "." + m[1][:6].ljust(6, "0"), text, count=1)
    try:
        return in_range(datetime.fromisoformat(text)) if len(text) >= len("2026-01-01") else None
    except ValueError:
        return None


def iso(text: str, now: datetime) -> datetime | None:
    """RFC 3339 and its variants: a blank for the T, a comma, slashes, no zone."""
    return _iso(text)


def epoch(text: str, now: datetime) -> datetime | None:
    """Seconds, milli-, micro- or nanoseconds since 1970, distinguished by their size."""
    return from_number(float(text)) if _NUMBER.fullmatch(text) else None


def from_number(number: float) -> datetime | None:
    for unit in (1, 1e3, 1e6, 1e9):
        if 0 < number < LATEST.timestamp() * unit:
            return datetime.fromtimestamp(number / unit, UTC)
    return None


def latest_year(
    month: int, day: int, clock: tuple[int, int, int, int], now: datetime
) -> datetime | None:
    """The date in the latest year in which it is at most a day after *now*."""
    latest = (now + AHEAD).year
    for year in range(latest, latest - LEAP_CYCLE - 1, -1):
        try:
            when = datetime(year, month, day, *clock, tzinfo=UTC)
        except ValueError:
            continue
        if when <= now + AHEAD:
            return when
    return None


def _clock(text: str) -> tuple[int, int, int, int]:
    """``07:08:09`` or ``07:08:09.123456`` as hour, minute, second, microsecond."""
    fraction = text[9:15]
    micro = int(fraction.ljust(6, "0")) if fraction else 0
    return int(text[0:2]), int(text[3:5]), int(text[6:8]), micro


def of_second(text: str, now: datetime) -> datetime | None:
    """``Jun  4 15:16:01``: of most lines of one second it is the same."""
    latest = now + AHEAD
    when = _of_second(text, latest.year)
    return when if when is None or when <= latest else rfc3164(text, now)


@lru_cache(1024)
def _of_second(text: str, year: int) -> datetime | None:
    month, day, clock = text.split()
    number = _MONTHS.get(month.lower(), 0)
    try:
        return datetime(year, number, int(day), *_clock(clock), tzinfo=UTC)
    except ValueError:
        return None


def rfc3164(text: str, now: datetime) -> datetime | None:
    """``Jun  4 15:16:01``, without a year."""
    month, day, clock = text.split()
    number = _MONTHS.get(month.lower())
    return latest_year(number, int(day), _clock(clock), now) if number else None


class Stamp(NamedTuple):
    """A time at the beginning of a text. *end*: where it ends; *zoned*: whether it has a zone."""

    ts: datetime
    end: int
    zoned: bool


def leading(text: str, now: datetime) -> Stamp | None:
    """The time with which *text* begins, in any of the forms of syslog senders."""
    first = text[:1]
    if first.isalpha():
        return _stamp(_MONTH_FIRST.match(text), text, now)
    if not first.isdigit():
        return None
    if match := _ISO.match(text):
        when = _iso(match[0])
        if when is None:
            return None
        return _with_zone(when, match.end(), text, known=match["zone"] is not None)
    for pattern in (_YEAR_FIRST, _SLASHES, _DASHES, _COLONS, _DAY_FIRST):
        if match := pattern.match(text):
            return _stamp(match, text, now)
    return None


def is_zone(name: str) -> bool:
    return name in _ZONES


def _stamp(match: re.Match[str] | None, text: str, now: datetime) -> Stamp | None:
    if match is None:
        return None
    found: dict[str, str | None] = match.groupdict()
    hour, minute, second = (found["clock"] or "").split(":")
    micro = int((found["fraction"] or "0")[:6].ljust(6, "0"))
    clock = (int(hour), int(minute), int(second), micro)
    month, day = _month_and_day(found)
    year = found.get("year") or found.get("year_last")
    if year is None:
        when = latest_year(month, day, clock, now)
    else:
        when = _date(int(year) + (2000 if len(year) == 2 else 0), month, day, clock)
    return None if when is None else _with_zone(when, match.end(), text)


def _month_and_day(found: dict[str, str | None]) -> tuple[int, int]:
    """Month 0 is no month. Of two numbers the month is the first, unless it cannot be one."""
    if "first" in found:
        first, second = int(found["first"] or 0), int(found["second"] or 0)
        return (second, first) if first > 12 else (first, second)
    number = found.get("number") or _MONTHS.get((found.get("month") or "").lower(), 0)
    return int(number), int(found["day"] or 0)


def _date(year: int, month: int, day: int, clock: tuple[int, int, int, int]) -> datetime | None:
    try:
        return in_range(datetime(year, month, day, *clock, tzinfo=UTC))
    except ValueError:
        return None


def _with_zone(when: datetime, end: int, text: str, *, known: bool = False) -> Stamp | None:
    match = None if known else _ZONE_AFTER.match(text, end)
    if match is None:
        return Stamp(when, end, known)
    if match["offset"]:
        sign, digits = match["offset"].strip()[0], match["offset"].strip()[1:].replace(":", "")
        hours = int(digits[:2]) + int(digits[2:]) / 60
        hours = -hours if sign == "-" else hours
    elif match["name"] in _ZONES:
        hours = _ZONES[match["name"]]
    elif match["colon"] and len(match["name"]) > 2:
        return Stamp(when, match.end(), False)
    else:
        return Stamp(when, end, False)
    moved = in_range(when - timedelta(hours=hours))
    return None if moved is None else Stamp(moved, match.end(), True)


def dotted(text: str, now: datetime) -> datetime | None:
    """``10.30 16:49:06``: month and day, without a year."""
    return latest_year(int(text[0:2]), int(text[3:5]), _clock(text[6:]), now)


def apache(text: str, now: datetime) -> datetime | None:
    """``Thu Jun 09 06:07:04 2005``, in newer releases with microseconds."""
    _, month, day, clock, year = text.split()
    try:
        number = _MONTHS.get(month.lower(), 0)
        return in_range(datetime(int(year), number, int(day), *_clock(clock), tzinfo=UTC))
    except ValueError:
        return None


def access(text: str, now: datetime) -> datetime | None:
    """``10/Oct/2000:13:55:36 -0700`` of web servers' access logs."""
    try:
        return in_range(datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z"))
    except ValueError:
        return None
