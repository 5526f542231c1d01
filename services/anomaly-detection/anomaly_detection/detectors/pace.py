"""How many lines a window holds: what is usual, what is too many, what is missing. Pure numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from anomaly_detection.detectors.late import Late
from anomaly_detection.template_policy import Drop, Excess

LONGEST = 60  # windows of an episode (then it is how things are), and of silence that is learned
MEMORY = 60  # windows that the mean remembers
HALF_LIFE = timedelta(days=1)  # of the highest count
DEVIATIONS = 6.0  # above the mean: of a Poisson count less than once in ten million windows
STEADY = 3.0  # a mean that lies so many deviations above none is not none by chance


@dataclass(slots=True)
class Pace:
    """Lines of one kind: the count of the open window; mean, variance and highest of closed ones.

    An episode began at *since*, with too many lines, or with none if *missing* says in how many windows.
    """

    text: str
    service: str
    count: int = 0
    mean: float = 0.0
    variance: float = 0.0
    highest: float = 0.0
    missing: int = 0
    since: datetime | None = None

    @property
    def spread(self) -> float:
        """A deviation of the count: the one seen, and not less than chance makes (Poisson)."""
        return math.sqrt(max(self.variance, self.mean))

    def limit(self, rule: Excess) -> float:
        """What a window may hold: well above the highest of late, and what chance adds to the mean."""
        usual = self.mean + DEVIATIONS * self.spread
        return max(rule.least, rule.factor * self.highest, usual)

    def steady(self, rule: Drop) -> bool:
        """Whether a window without a line would be a surprise."""
        return self.mean >= max(rule.least, STEADY * self.spread)

    def learn(self, count: int, windows: int, keep: float) -> None:
        """Exponentially weighted mean and variance, of which *windows* were learned before.

        The recursion of Finch, "Incremental calculation of weighted mean and variance" (2009).
        """
        weight = 1 / (min(windows, MEMORY) + 1)
        difference = count - self.mean
        self.mean += weight * difference
        self.variance = (1 - weight) * (self.variance + weight * difference * difference)
        self.highest = max(self.highest * keep, count)

    @property
    def forgotten(self) -> bool:
        return self.mean < 0.01 and self.highest < 1 and self.since is None


@dataclass(slots=True)
class Clock:
    """The number of the open window, how many were learned, and the last line."""

    window: int | None = None
    learned: int = 0
    last: str = ""
    late: Late = field(default_factory=Late)

    def passed(self, window: int, at: float) -> int:
        """How many windows are over when a line of *window* comes; -1 for a line that is late.

        After a long silence, or when the clock was set back, only the open window is over: nothing is
        known of the time between.
        """
        if self.window is None:
            self.window = window
        over = window - self.window
        if -LONGEST < over < 0 and not self.late.proves(at):
            return -1
        if over >= 0 and self.late.first:
            self.late.over()
        self.window = window
        return over if 0 <= over <= LONGEST else 1


class What(Enum):
    SPIKE = "spike"
    SPIKE_OVER = "spike over"
    DROP = "drop"
    DROP_OVER = "drop over"


class Change(NamedTuple):
    """What began or ended, the pace as it is now, and since when it was not as usual."""

    what: What
    kind: str
    pace: Pace
    since: datetime


def fading(window: timedelta) -> float:
    """What is left of the highest count after one window."""
    return float(0.5 ** (window / HALF_LIFE))
