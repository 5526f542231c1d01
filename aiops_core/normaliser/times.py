"""Readers of the times in log lines. A time without a zone is UTC, as ships keep their clocks.

Each reader takes the text and *now*, and returns an aware UTC time, or None when it cannot read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

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
    for year in range(now.year + 1, now.year - LEAP_CYCLE, -1):
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


def rfc3164(text: str, now: datetime) -> datetime | None:
    """``Jun  4 15:16:01``, without a year."""
    month, day, clock = text.split()
    number = _MONTHS.get(month.lower())
    return latest_year(number, int(day), _clock(clock), now) if number else None


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
