"""Times at the beginning of a line, and times of fields, as applications write them. Pure.

A time without a zone is UTC. Of ``03/04/2026`` month and day are told apart by the nearest date
that is not ahead; with AM or PM it is the American order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from aiops_core.normaliser import times

LONGEST = 45  # characters of a time, with the day of the week and a zone
CLOCK_AHEAD = timedelta(hours=1)  # a time of day further ahead is of yesterday
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("jan january januar janvier ene", "feb february februar fév", "mar march mär märz"),
            *("apr april avr abr", "may mai mag maj", "jun june juni juin giu"),
            *("jul july juli juil lug", "aug august août ago", "sep sept september set"),
            *("oct october okt oktober ott", "nov november", "dec december dez dezember déc dic"),
        ),
        1,
    )
    for name in names.split()
}
_ZONES = {  # hours ahead of UTC of the abbreviations that databases and web servers write
    "UTC": 0,
    "GMT": 0,
    "Z": 0,
    "WET": 0,
    "BST": 1,
    "WEST": 1,
    "CET": 1,
    "CEST": 2,
    "MET": 1,
    "MEST": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "TRT": 3,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "JST": 9,
    "KST": 9,
    "SGT": 8,
    "HKT": 8,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
    "BRT": -3,
    "HST": -10,
}
ZONE_NAMES = "|".join(sorted(_ZONES, key=len, reverse=True))

_DATE = r"(?P<y>\d{4})[-/.](?P<mo>\d\d)[-/.](?P<d>\d\d)"
_CLOCK = r"(?P<h>\d\d?):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,:](?P<f>\d{1,9}))?"
# Without seconds, behind a whole date only.
_SHORT_CLOCK = (
    r"(?P<h>\d\d?):(?P<mi>\d\d)(?::(?P<s>\d\d)(?:[.,:](?P<f>\d{1,9}))?(?!\d)|(?![\d:]\d))"
)
_ZONE = rf"(?:\ ?(?P<z>[+-]\d\d:?\d\d|[+-]\d\d(?!\d)|(?:{ZONE_NAMES})\b))?"
_MONTH = r"(?P<mon>[^\W\d_]{3,9})\.?"
_AMPM = r"(?:\ ?(?P<ap>[AaPp])\.?[Mm]\.?)?"
_DAY = r"[^\W\d_]{2,9}\.?"  # of the week


def _compiled(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.VERBOSE) for pattern in patterns)


_OF_DIGITS = _compiled(
    rf"{_DATE}(?:[T_;]|\ +|,\ ?|\t|-){_SHORT_CLOCK}{_ZONE}",
    rf"(?P<a>\d\d?)(?P<sep>[./-])(?P<b>\d\d?)[./-](?P<y>\d{{4}}),?[\ T]+{_SHORT_CLOCK}{_AMPM}"
    rf"{_ZONE}",
    rf"(?P<d>\d\d?)[-\ /]{_MONTH}[-\ /](?P<y>\d{{4}})[:,]?[\ :]?{_CLOCK}{_AMPM}{_ZONE}",
    rf"(?P<y>\d{{4}})[-/]{_MONTH}[-/](?P<d>\d\d)[\ T]{_CLOCK}{_ZONE}",
    rf"(?P<a>\d\d)(?P<sep>/)(?P<b>\d\d)/(?P<y>\d\d)[,\ ]\ ?{_SHORT_CLOCK}{_AMPM}{_ZONE}",
    rf"(?P<y>\d\d)(?P<mo>\d\d)(?P<d>\d\d)\ +{_CLOCK}",
    rf"(?P<y>\d{{4}})(?P<mo>\d\d)(?P<d>\d\d)[-T\ ,_]\ ?{_CLOCK}{_ZONE}",
    rf"(?P<y>\d{{4}})(?P<mo>\d\d)(?P<d>\d\d)[-T_](?P<h>\d\d)(?P<mi>\d\d)(?P<s>\d\d)"
    rf"(?:[.,](?P<f>\d{{1,9}}))?{_ZONE}",
    r"(?P<y>\d{4})-(?P<mo>\d\d)-(?P<d>\d\d)-(?P<h>\d\d)\.(?P<mi>\d\d)\.(?P<s>\d\d)"
    r"(?:\.(?P<f>\d{1,9}))?",
    r"(?P<epoch>\d{10}(?:[.,]\d{1,9})?|\d{13}|\d{16}|\d{19})(?=[\s\],:|;]|$)",
    rf"(?P<d>\d\d?)\ {_MONTH}\ {_CLOCK}",
    r"(?P<a>\d\d)(?P<sep>[./-])(?P<b>\d\d)[,.\ ]\ ?(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)"
    r"(?:[.,](?P<f>\d{1,6}))?(?=[\s\]]|$)",
    r"(?P<h>\d\d):(?P<mi>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?(?=[\s\]:|,-]|$)",
)
_OF_WORDS = _compiled(
    rf"(?:{_DAY},?\ +)?{_MONTH}\ +(?P<d>\d\d?),?\ (?P<y>\d{{4}}),?\ (?:@\ |at\ )?{_CLOCK}"
    rf"{_AMPM}{_ZONE}",
    rf"{_DAY}\ +{_MONTH}\ +(?P<d>\d\d?)\ {_CLOCK}(?:\ (?P<z>{ZONE_NAMES}|[+-]\d{{4}}))?"
    r"\ (?P<y>\d{4})",
    rf"{_DAY},?\ +(?P<d>\d\d?)[\ -]{_MONTH}[\ -](?P<y>\d{{4}}),?\ {_CLOCK}{_ZONE}",
    rf"(?:{_DAY}\ +)?{_MONTH}\ +(?P<d>\d\d?)\ {_CLOCK}(?=\W|$)",
)
_ISO_FAST = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?(?!:\d)"
)

# What each of these begins with, perhaps in brackets: some digits, or one after two words at most
# where a clock may follow.
BEGINS = (
    r"[\[(<]?(?:\d{4}[-/.]|\d\d?[-\ /][^\W\d_]{3,9}\.?[-\ /]\d|\d\d?[./-]\d\d?[./-]\d{4}[,\ T]"
    r"|\d\d/\d\d/\d\d[,\ ]|\d{6}\ |\d{8}[-T\ ,_]|\d{10}|\d\d[./-]\d\d[,.\ ]\ ?\d\d:"
    r"|\d\d:\d\d:\d\d"
    rf"|[^\W\d_]{{2,9}}\.?,?\ +(?:[^\W\d_]{{3,9}}\.?\ +)?\d(?=[^:]{{0,{LONGEST}}}:))"
)

Found = tuple[datetime, int]


def leading(text: str, now: datetime, start: int = 0) -> Found | None:
    """The time that begins at *start* of *text*, and where it ends."""
    first = text[start : start + 1]
    if first.isdigit():
        if (match := _ISO_FAST.match(text, start)) and (when := _aware(match[0])):
            return _with_zone(text, when, match)
        patterns = _OF_DIGITS
    elif first.isalpha() and ":" in text[start : start + LONGEST]:
        patterns = _OF_WORDS
    else:
        return None
    for pattern in patterns:
        if (match := pattern.match(text, start)) and (when := _when(match, now)):
            return when, match.end()
    return None


_ZONE_AFTER = re.compile(rf" ?(?:(?P<z>{ZONE_NAMES})\b|(?P<o>[+-]\d\d:?\d\d|[+-]\d\d)(?=[\s\],]))")


def _with_zone(text: str, when: datetime, match: re.Match[str]) -> Found:
    """A zone's name may follow a time that states none."""
    if (
        match[0][-1] != "Z"
        and match[0][-3:-2] != "+"
        and (zone := _ZONE_AFTER.match(text, match.end()))
    ):
        hours = _offset(zone["z"] or zone["o"])
        if hours is not None:
            return when.replace(tzinfo=timezone(hours)).astimezone(UTC), zone.end()
    return when, match.end()


def _aware(text: str) -> datetime | None:
    try:
        return times.in_range(datetime.fromisoformat(text))
    except ValueError:
        return None


def _offset(text: str) -> timedelta | None:
    if text in _ZONES:
        return timedelta(hours=_ZONES[text])
    digits = text[1:].replace(":", "")
    if not digits.isdecimal():
        return None
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0))
    if offset >= timedelta(days=1):
        return None
    return -offset if text[0] == "-" else offset


def _when(match: re.Match[str], now: datetime) -> datetime | None:
    found = match.groupdict()
    if epoch := found.get("epoch"):
        return times.from_number(float(epoch.replace(",", ".")))
    hour, fraction = int(found["h"]), found.get("f") or ""
    if half := found.get("ap"):
        hour = hour % 12 + (12 if half in "pP" else 0)
    clock = (hour, int(found["mi"]), int(found["s"] or 0), int(fraction[:6].ljust(6, "0") or 0))
    if not (found.get("d") or found.get("a")):
        return _of_today(clock, now)
    zone = _offset(found["z"]) if found.get("z") else timedelta(0)
    try:
        date = _date(found, clock, now)
        if date is None or zone is None:
            return None
        return times.in_range(date.replace(tzinfo=timezone(zone)))
    except (ValueError, OverflowError):
        return None


Clock = tuple[int, int, int, int]


def _of_today(clock: Clock, now: datetime) -> datetime | None:
    try:
        when = now.astimezone(UTC).replace(
            hour=clock[0], minute=clock[1], second=clock[2], microsecond=clock[3]
        )
    except ValueError:
        return None
    return when if when <= now + CLOCK_AHEAD else when - timedelta(days=1)


def _date(found: dict[str, str | None], clock: Clock, now: datetime) -> datetime | None:
    """The date of named groups, with *clock*; raises ValueError where there is no such day."""
    if a := found.get("a"):
        return _of_order(int(a), int(found["b"] or 0), found, clock, now)
    if name := found.get("mon"):
        month = _MONTHS.get(name.casefold())
        if month is None:
            return None
    else:
        month = int(found["mo"] or 0)
    day = int(found["d"] or 0)
    if year := found.get("y"):
        return datetime(_year(year), month, day, *clock, tzinfo=UTC)
    return times.latest_year(month, day, clock, now)


def _year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _of_order(
    a: int, b: int, found: dict[str, str | None], clock: Clock, now: datetime
) -> datetime | None:
    """Of two numbers the month and the day: by the separator, by their size, by the nearer date."""
    separator, year = found["sep"] or "", found.get("y")
    orders = [(a, b), (b, a)]  # (month, day)
    if found.get("ap"):
        orders = [(a, b)]
    elif separator in ".-" and year:
        orders = [(b, a)]
    read = [_of_day(year, month, day, clock, now) for month, day in orders]
    if separator == "/" and year and len(year) == 2 and not found.get("ap"):
        read.append(_of_day(f"{a:02}", b, int(year), clock, now))  # 26/11/29
    dates = [when for when in read if when is not None]
    past = [when for when in dates if when <= now + times.AHEAD]
    return min(past or dates, key=lambda when: abs(now - when), default=None)


def _of_day(year: str | None, month: int, day: int, clock: Clock, now: datetime) -> datetime | None:
    try:
        if year is None:
            return times.latest_year(month, day, clock, now)
        return datetime(_year(year), month, day, *clock, tzinfo=UTC)
    except ValueError:
        return None


def value(stated: object, now: datetime) -> datetime | None:
    """The time of a field: number, number as text, or text in any of the usual forms."""
    if isinstance(stated, str):
        return _of_text(stated, now)
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return None
    return times.from_number(stated)


def _of_text(text: str, now: datetime) -> datetime | None:
    if _ISO_FAST.fullmatch(text) and (when := _aware(text)):
        return when
    text = text.strip()
    if not text or len(text) > 60:
        return None
    return _slow(text, now)


_NET_DATE = re.compile(r"/Date\((-?\d{1,16})(?:[+-]\d{4})?\)/")


def _slow(text: str, now: datetime) -> datetime | None:
    text = text.strip("[]<> ").partition(" m=")[0]  # Go's own clock follows
    if match := _NET_DATE.fullmatch(text):
        return times.from_number(int(match[1]))
    if when := times.epoch(text, now) or times.iso(text, now):
        return when
    found = leading(text, now)
    if found is None or len(text) - found[1] > 8:  # a zone that nobody knows may follow
        return None
    return found[0]


TimeOf = Callable[[str, datetime], datetime | None]


def text(stated: str, now: datetime) -> datetime | None:
    """A reader for the group ``time`` of a format."""
    return _of_text(stated, now)
