"""How often something comes, and that in words. Pure. Times of day are UTC.

All of it is robust: the gaps between the beginnings are weighed by their median, so that one time
that was missed, or one more, changes nothing. The newest three gaps decide when they all differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median_low
from typing import Annotated, NamedTuple

from pydantic import Field

from aiops_core.models import Fraction
from aiops_core.policy.file import Section

DAY, WEEK, MONTH = timedelta(days=1), timedelta(days=7), timedelta(days=30)
SHORTEST = timedelta(seconds=1)
RECENT = 9  # gaps that are looked at; older ones do not say how it comes now
NEWEST = 3  # gaps that are a new cadence when all of them differ from the one before
NEAR = 0.25  # of a regular gap, by which single ones differ from it
MOST = 0.75  # of the gaps must fit
SAME_TIME = timedelta(minutes=20)  # around one time of the day
CALENDAR = timedelta(hours=20)  # shorter gaps have no time of the day
LONGEST = 3  # gaps of a calendar, as over a weekend
FULL = 30  # so many within a day may be the newest of more: nobody remembers more of them


class CadenceRules(Section):
    """At least *times* beginnings *within* a time have a cadence, when their gaps are regular or
    differ by no more than the factor *uneven*; *often* of them within a day have one anyway.
    *change* is the share by which gaps must differ to be another cadence."""

    times: int = Field(ge=3)
    within: Annotated[timedelta, Field(gt=timedelta(0))]
    uneven: float = Field(ge=1, allow_inf_nan=False)
    often: int = Field(ge=3)
    change: Fraction


class Cadence(NamedTuple):
    """The typical *gap* from one beginning to the next, and how a person would say it."""

    gap: timedelta
    words: str


def cadence_of(begins: Sequence[datetime], rules: CadenceRules) -> Cadence | None:
    """How often it came, given its newest beginnings in any order; None while it is unknown."""
    times = sorted(begins)
    times = [at for at in times if times[-1] - at <= rules.within]
    if len(times) < rules.times:
        return None
    gaps = gaps_of(times)[-RECENT:]
    if _is_new(gaps, rules.change):
        gaps = gaps[-NEWEST:]
    times, typical = times[-len(gaps) - 1 :], median_low(gaps)
    if words := _calendar(times, gaps):
        return Cadence(typical, words)
    if _is_regular(gaps, typical):
        return Cadence(typical, _every(typical))
    if max(gaps) <= rules.uneven * min(gaps):
        return Cadence(typical, _some(typical))
    return _often(sorted(begins), rules)


def gaps_of(times: Sequence[datetime]) -> list[timedelta]:
    """From each beginning to the next, in order of time."""
    return [max(later - earlier, SHORTEST) for earlier, later in pairwise(times)]


def differs(gap: timedelta, known: timedelta, change: float) -> bool:
    """Whether *gap* is another cadence than *known*."""
    return abs(gap - known) > change * known


def _is_new(gaps: Sequence[timedelta], change: float) -> bool:
    """Whether the newest gaps all differ from the typical one."""
    typical, newest = median_low(gaps), gaps[-NEWEST:]
    return len(newest) == NEWEST and all(differs(gap, typical, change) for gap in newest)


def _is_regular(gaps: Sequence[timedelta], typical: timedelta) -> bool:
    """Whether half of *gaps* are typical, and most of the others twice as long: one was missed."""
    multiples = [gap / typical for gap in gaps]
    once = sum(abs(m - 1) <= NEAR for m in multiples)
    fits = sum(abs(m - round(m)) <= NEAR and round(m) in (1, 2) for m in multiples)
    return once >= len(gaps) / 2 and fits >= MOST * len(gaps)


def _calendar(times: Sequence[datetime], gaps: Sequence[timedelta]) -> str:
    """By the day, when it comes at one time of the day; empty if it does not."""
    if median_low(gaps) < CALENDAR:
        return ""
    newest = times[-1]
    offsets = [_offset(at, newest) for at in times]
    usual = median_low(offsets)
    if sum(abs(offset - usual) <= SAME_TIME for offset in offsets) < MOST * len(offsets):
        return ""
    days = [round(gap / DAY) for gap in gaps]
    step, at = median_low(days), newest + usual
    fits = sum(step <= day <= LONGEST * step for day in days)
    if days.count(step) < len(days) / 2 or fits < MOST * len(days):
        return ""
    if step == 1:
        return f"daily at {at:%H:%M}"
    if step == 7:
        return f"weekly on {at:%A} at {at:%H:%M}"
    return f"every {step} days at {at:%H:%M}"


def _offset(at: datetime, newest: datetime) -> timedelta:
    """How much earlier or later in its day it is than *newest*, by the shorter way."""
    return (at - newest + DAY / 2) % DAY - DAY / 2


def _every(gap: timedelta) -> str:
    """A regular *gap*."""
    seconds = gap.total_seconds()
    for unit, length, until in (("s", 1, 90), ("min", 60, 6600), ("h", 3600, 129_600)):
        if seconds < until:
            return _plain(round(seconds / length), unit)
    days = round(gap / DAY)
    return "weekly" if days == 7 else f"every {days} days"


def _plain(number: int, unit: str) -> str:
    if unit == "min" and 57 <= number <= 63:
        return "hourly"
    if unit == "h" and 22 <= number <= 26:
        return "daily"
    return f"every {number} {unit}"


def _some(gap: timedelta) -> str:
    """An irregular *gap*: how many there are in a day, a week or a month."""
    for unit, length in (("day", DAY), ("week", WEEK)):
        if (times := round(length / gap)) >= 2:
            return f"some {_two_digits(times)} times a {unit}"
    return f"some {max(round(MONTH / gap), 1)} times a month"


def _often(times: Sequence[datetime], rules: CadenceRules) -> Cadence | None:
    """What came so often within a day that it does not matter how regularly."""
    today = [at for at in times if times[-1] - at < DAY]
    if len(today) < rules.often:
        return None
    gap = DAY / len(today)
    if len(today) >= FULL:
        gap = max(today[-1] - today[0], SHORTEST) / (len(today) - 1)
    return Cadence(gap, _some(gap))


def _two_digits(number: int) -> int:
    return round(number, 2 - len(str(number)))
