"""Six views of one series, each a single number that ``novelty.Extremes`` can judge.

The short-term state (short means, roughness) follows every reading; the normal state (slow mean,
usual roughness, season) is learned from normal readings only.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

HOURS = 48  # 24 of a working day, 24 of a day of the weekend
DAYS = 8  # in the mean of an hour, the newest with the largest weight


@dataclass(slots=True)
class Season:
    """The mean of every hour of a day, at work and at weekends; the current hour is added at its
    end."""

    means: array[float] = field(default_factory=lambda: array("f", [0.0] * HOURS))
    days: array[int] = field(default_factory=lambda: array("B", [0] * HOURS))
    hour: int = -1  # the current one
    total: float = 0.0  # of its samples
    samples: int = 0

    def copy(self) -> Season:
        return replace(self, means=self.means[:], days=self.days[:])

    def usual(self, at: datetime) -> float | None:
        """The expected value at *at*, interpolated between hours; None before a whole day."""
        place = at.hour + at.minute / 60 - 0.5
        first, share = int(place // 1) % 24, place % 1
        kind = 24 if at.weekday() >= 5 else 0
        one, other = kind + first, kind + (first + 1) % 24
        if not (self.days[one] and self.days[other]):
            return None
        return self.means[one] * (1 - share) + self.means[other] * share

    def learn(self, at: datetime, x: float) -> None:
        hour = at.hour + (24 if at.weekday() >= 5 else 0)
        if hour != self.hour:
            self._close()
            self.hour = hour
        self.total += x
        self.samples += 1

    def _close(self) -> None:
        if self.samples:
            hour, mean = self.hour, self.total / self.samples
            self.days[hour] = min(self.days[hour] + 1, DAYS)
            self.means[hour] += (mean - self.means[hour]) / self.days[hour]
        self.total, self.samples = 0.0, 0


SHORT = 0.3  # weight of a reading in the mean of about the last 5
MEAN = 0.1  # of about the last 20
SLOW = 0.02  # of about the last 100
USUAL = 0.001  # of about the last 2,000
SETTLED = 10  # readings after a gap until a mean is one
SMOOTH = 0.02  # of the usual roughness, added before the logarithm
ONE_WAY = 0.01  # of the steps against the others: a counter, whose value is always new


class View(IntEnum):
    VALUE = 0  # the reading itself: spread around a slow centre
    JUMP = 1  # against its exponentially weighted mean
    MEAN = 2  # a mean of late
    SHIFT = 3  # that mean against the slow one: a change of level
    NOISE = 4  # how rough it is: unsteady above, stuck below
    SEASON = 5  # the mean against what is usual at this hour


@dataclass(slots=True)
class Now:
    """The short-term state of a series, in its own unit."""

    readings: int = 0
    unbroken: int = 0  # readings since the last gap
    last: float = 0.0
    short: float = 0.0
    mean: float = 0.0
    slow: float = 0.0
    rough: float = 0.0
    usual_rough: float = 0.0
    ups: int = 0
    downs: int = 0

    def begin(self, x: float) -> None:
        """Start with the first reading, or the first after a gap."""
        if self.readings == 0:
            self.slow = x
        self.last = self.short = self.mean = x
        self.unbroken = 0

    def look(self, x: float, at: datetime, season: Season) -> dict[View, float]:
        """Move on to *x*; the number of every view that has one."""
        step, before = x - self.last, self.short
        self.readings += 1
        self.unbroken += 1
        self.ups += step > 0
        self.downs += step < 0
        self.last = x
        self.short += SHORT * (x - self.short)
        self.mean += MEAN * (x - self.mean)
        self.rough += MEAN * (abs(step) - self.rough)
        both_ways = min(self.ups, self.downs) >= ONE_WAY * max(self.ups, self.downs)
        seen = {View.VALUE: x} if both_ways else {}
        if self.unbroken > 1:
            seen[View.JUMP] = x - before
        if self.unbroken >= SETTLED:
            seen |= self._means(at, season, both_ways)
        return seen

    def _means(self, at: datetime, season: Season, both_ways: bool) -> dict[View, float]:
        seen = {View.SHIFT: self.mean - self.slow}
        if (smooth := self.rough + SMOOTH * self.usual_rough) > 0:
            seen[View.NOISE] = math.log(smooth)
        if both_ways:
            seen[View.MEAN] = self.mean
            if (usual := season.usual(at)) is not None:
                seen[View.SEASON] = self.mean - usual
        return seen

    def learn(self, x: float, step: float) -> None:
        """Add *x* as a normal value."""
        self.slow += SLOW * (x - self.slow)
        rate = max(1 / self.readings, USUAL)
        self.usual_rough += rate * (abs(step) - self.usual_rough)
