"""Counts of lines per device and kind in windows of event time: usual, too many, too few. Pure."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from anomaly_detection.detectors.state import Late
from anomaly_detection.rules import DropRule, ExcessRule

LONGEST = 60  # windows of an alarm, then it is normal; of silence, then it is not learned
MEMORY = 60  # windows that the mean remembers
HALF_LIFE = timedelta(days=1)  # of the highest count
DEVIATIONS = 6.0  # above the mean: of a Poisson count less than once in ten million windows
STEADY = 3.0  # a mean that lies so many deviations above none is not none by chance


@dataclass(slots=True)
class LineRate:
    """Lines of one kind: the count of the open window; mean, variance, maximum of closed ones.

    An alarm began at *since*: with too many lines, or with none for *missing* windows.
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
        """The standard deviation of the count, at least that of a Poisson process."""
        return math.sqrt(max(self.variance, self.mean))

    def limit(self, rule: ExcessRule) -> float:
        """The largest normal count: above the recent maximum, and above chance around the mean."""
        usual = self.mean + DEVIATIONS * self.spread
        return max(rule.least, rule.factor * self.highest, usual)

    def steady(self, rule: DropRule) -> bool:
        """Whether a window without a line is improbable."""
        return self.mean >= max(rule.least, STEADY * self.spread)

    def learn(self, count: int, windows: int, keep: float) -> None:
        """Add a window to the exponentially weighted mean and variance of *windows* before.

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
class DeviceRates:
    """The number of the open window of a device, how many were learned, and its last line."""

    window: int | None = None
    learned: int = 0
    last: str = ""
    late: Late = field(default_factory=Late)
    kinds: dict[str, LineRate] = field(default_factory=dict)
    size: int = 0  # as ``RateDetector`` counts it

    def copy(self) -> DeviceRates:
        kinds = {kind: copy(rate) for kind, rate in self.kinds.items()}
        return replace(self, late=copy(self.late), kinds=kinds)

    def passed(self, window: int, at: float) -> int:
        """The number of windows that a line of *window* closes; -1 for a late line.

        After a long silence or a clock set back only the open window closes: the time in between is
        unknown.
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

    def set_back(self, now: datetime) -> None:
        """Alarms that began in the future begin now: the clock was set back."""
        for rate in self.kinds.values():
            if rate.since is not None and rate.since > now:
                rate.since = now


def fading(window: timedelta) -> float:
    """The factor by which the maximum count decays in one window."""
    return float(0.5 ** (window / HALF_LIFE))
