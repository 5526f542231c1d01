"""Times in any of the usual shapes, for lines whose format nobody described. Pure.

A shape is a regular expression with named groups; its name is plain data, so that a sender's shape
can be remembered. A time without a zone is UTC, one without a year is of the latest year in which
it is not ahead.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from aiops_core.normaliser import times

_CLOCK = (
    r"(?P<hour>\d\d?)[:.h](?P<minute>\d\d)[:.m](?P<second>\d\d)s?(?:[.,:](?P<fraction>\d{1,9}))?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r"(?:\s?(?P<zone>Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?))?"
_MONTH = r"(?P<name>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec))[a-z]{0,6}\.?"
_DAY_NAME = r"(?:[A-Z][a-z]{1,8}\.?,?\s+)?"
_GAP = r"(?:\s+|,\s*|T|[-_:](?=\d))"
_REST = rf"{_GAP}{_CLOCK}{_ZONE}"
_YEAR, _ANY_YEAR = r"(?P<year>\d{4})", r"(?P<year>\d{4}|\d\d)"
_M, _D = r"(?P<month>\d\d?)", r"(?P<day>\d\d?)"

# The order is that of preference. "…dmy" and "…mdy" look alike: the lines decide.
SHAPES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "ymd": rf"{_YEAR}[-/.]{_M}[-/.]{_D}{_REST}",
        "ymd compact": r"(?P<year>(?:19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)(?:\s+|[T_-])"
        r"(?P<hour>\d\d):?(?P<minute>\d\d):?(?P<second>\d\d)(?:[.,:](?P<fraction>\d{1,9}))?"
        rf"{_ZONE}",
        "ymd digits": r"(?P<year>20\d\d)(?P<month>\d\d)(?P<day>\d\d)"
        r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?P<fraction>\d{3})?",
        "dby": rf"{_DAY_NAME}{_D}[-/. ]{_MONTH}[-/, ]+{_ANY_YEAR}{_REST}",
        "bdy": rf"{_DAY_NAME}{_MONTH}[- ]+{_D},?\s+{_YEAR},?{_REST}",
        "ctime": rf"{_DAY_NAME}{_MONTH}\s+(?P<day>\d\d?)\s+{_CLOCK}(?:\s+(?P<zone>UTC|GMT))?"
        r"\s+(?P<year>\d{4})",
        "dmy": rf"{_D}[-/.]{_M}[-/.]{_ANY_YEAR}{_REST}",
        "mdy": rf"{_M}[-/.]{_D}[-/.]{_ANY_YEAR}{_REST}",
        "ymd short": rf"(?P<year>\d\d)[-/.](?P<month>\d\d)[-/.](?P<day>\d\d){_REST}",
        "yymmdd": r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)[\s_-]+"
        r"(?P<hour>\d\d):?(?P<minute>\d\d):?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?",
        "epoch": r"(?P<epoch>\d{10}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?)",
        "bd": rf"{_DAY_NAME}{_MONTH}\s+(?P<day>\d\d?),?\s+{_CLOCK}{_ZONE}",
        "db": rf"{_DAY_NAME}(?P<day>\d\d?)[-/. ]{_MONTH}\s+{_CLOCK}{_ZONE}",
        "md": rf"(?P<month>\d\d)[-/.](?P<day>\d\d)[\s_-]+{_CLOCK}",
        "clock": _CLOCK,
    }.items()
}
WITHOUT_DATE = "clock"
_SOON = timedelta(minutes=5)  # a time of day that is further ahead is of yesterday
_EARLIEST_EPOCH = datetime(1990, 1, 1, tzinfo=UTC)


def read_any(text: str, now: datetime) -> datetime | None:
    """The time that *text* is, in the first shape that fits; not a bare time of day or a number."""
    for name in SHAPES:
        if name not in (WITHOUT_DATE, "epoch") and (found := read(name, text, now)):
            return found
    return None


def read(shape: str, text: str, now: datetime) -> datetime | None:
    """The time in *text*, which has the *shape*; None when it has not."""
    match = SHAPES[shape].fullmatch(text)
    if match is None:
        return None
    found = match.groupdict()
    if number := found.get("epoch"):
        when = times.from_number(float(number))
        return when if when and when >= _EARLIEST_EPOCH else None
    try:
        return _dated(found, now)
    except (ValueError, OverflowError):
        return None


def _dated(found: dict[str, str | None], now: datetime) -> datetime | None:
    clock = _clock(found)
    month = _month(found)
    if month is None:
        today = now.replace(hour=clock[0], minute=clock[1], second=clock[2], microsecond=clock[3])
        return today if today <= now + _SOON else today - timedelta(days=1)
    day = int(found["day"] or 0)
    if not found.get("year"):
        return times.latest_year(month, day, clock, now)
    year = int(found["year"] or 0)
    year += 2000 if year < 70 else 1900 if year < 100 else 0
    return times.in_range(datetime(year, month, day, *clock, tzinfo=_zone(found)))


def _month(found: dict[str, str | None]) -> int | None:
    if name := found.get("name"):
        return datetime.strptime(name, "%b").month  # noqa: DTZ007 - the name of a month
    return int(found["month"] or 0) if found.get("month") else None


def _clock(found: dict[str, str | None]) -> tuple[int, int, int, int]:
    """Hour, minute, second, microsecond."""
    hour = int(found["hour"] or 0)
    if half := found.get("half"):
        hour = hour % 12 + (12 if half in "Pp" else 0)
    fraction = (found.get("fraction") or "0")[:6].ljust(6, "0")
    return hour, int(found["minute"] or 0), int(found["second"] or 0), int(fraction)


def _zone(found: dict[str, str | None]) -> timezone:
    zone = found.get("zone")
    if not zone or zone in ("Z", "UTC", "GMT"):
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if zone[0] == "-" else offset)
