"""The state of one series of readings, within 2 KB, and its alarm if there is one."""

from __future__ import annotations

import base64
import struct
from array import array
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Self

from anomaly_detection.detectors.novelty import TAIL, Extremes
from anomaly_detection.detectors.state import Late
from anomaly_detection.detectors.views import HOURS, Now, Season, View

VERSION = 1  # of ``pack``; raise it when a field is added, removed or moved

RARE = 300.0  # s between two readings; more readings in the same time mean more chance outliers
BREAK = 20  # usual intervals; a longer one without a reading resets the short-term state
LEAST_BREAK = 60.0  # s
BACK = 3600.0  # s that a reading may be late; a later one proves that the clock was set back
STUCK = 0.1  # of the usual roughness: only a series smoother than that is stuck
OWN_TIME = 3 * 86400.0  # s of comparison with the usual value of an hour before it is used


@dataclass(slots=True)
class Alarm:
    """A finding that is not cleared. Times are seconds of the epoch, 0 means never."""

    started: float = 0.0
    view: int = 0
    above: int = 0
    peak: float = 0.0  # the reading farthest from the centre
    away: float = 0.0  # its distance from the centre
    new_at: int = 0  # number of the last reading farther than any before
    strange_at: int = 0  # number of the last reading outside of the learned range


@dataclass(slots=True)
class MetricSeries:
    """Readings of one metric of one sender with one set of labels."""

    first: float = 0.0
    seen: float = 0.0
    interval: float = 0.0  # s, usual
    now: Now = field(default_factory=Now)
    alarm: Alarm = field(default_factory=Alarm)
    season: Season = field(default_factory=Season)
    extremes: tuple[Extremes, ...] = field(default_factory=lambda: tuple(Extremes() for _ in View))
    late: Late = field(default_factory=Late)

    def advance(self, at: float, x: float) -> bool:
        """Move to a reading at *at*; False for a duplicate or a late one."""
        passed = at - self.seen
        if self.first == 0.0:
            self.first = at
            self.now.begin(x)
        elif passed == 0 or (-BACK < passed < 0 and not self.late.proves(at)):
            return False
        elif passed < 0:
            self._set_back(passed)
        elif passed > max(BREAK * self.interval, LEAST_BREAK):
            self._break(passed, x)
        if self.first < at and passed > 0:
            self.interval += (min(passed, 3 * self.interval) - self.interval) * 0.05
            self.interval = self.interval or passed
        if self.late.first:
            self.late.over()
        self.seen = at
        return True

    def _break(self, passed: float, x: float) -> None:
        """Reset the short-term state: the time just before *x* is unknown."""
        self.now.begin(x)
        for extremes in self.extremes:
            extremes.fade(passed / self.interval if self.interval else 1.0)

    def _set_back(self, passed: float) -> None:
        """Shift the times: the clock was set back, and the series is known as long as before."""
        self.first += passed
        self.alarm.started = min(self.alarm.started, self.seen + passed)

    def copy(self) -> MetricSeries:
        return MetricSeries(
            self.first,
            self.seen,
            self.interval,
            replace(self.now),
            replace(self.alarm),
            self.season.copy(),
            tuple(extremes.copy() for extremes in self.extremes),
            Late(self.late.first, self.late.last),
        )

    def known(self, readings: int, time: timedelta) -> bool:
        """Whether the warm-up is over."""
        return self.now.readings > readings and self.seen - self.first >= time.total_seconds()

    def haste(self) -> float:
        """The factor on the limit for a series with many readings in the same time."""
        return max(RARE / self.interval, 1.0) ** TAIL if self.interval else 1.0

    def believes(self, view: View, above: bool) -> bool:
        """Whether a new number of *view* may be reported."""
        if view is View.SEASON:
            return self.extremes[view].n * self.interval >= OWN_TIME
        return view is not View.NOISE or above or self.now.rough <= STUCK * self.now.usual_rough

    def pack(self) -> str:
        """The exact state as text: version, numbers, then the season, in base64."""
        season = self.season
        numbers = [getattr(part, name) for part in self._parts() for name in _numbers(part)]
        data = _LAYOUT.pack(VERSION, *numbers, *season.days, *season.means)
        return base64.b64encode(data).decode("ascii")

    @classmethod
    def unpack(cls, text: str) -> Self:
        """The inverse of ``pack``; raises ValueError for anything else."""
        try:
            version, *values = _LAYOUT.unpack(base64.b64decode(text))
        except struct.error as exc:
            raise ValueError(f"not the state of a series: {exc}") from exc
        if version != VERSION:
            raise ValueError("the state of a series of another version")
        series, rest = cls(), iter(values)
        for part in series._parts():
            for name in _numbers(part):
                setattr(part, name, type(getattr(part, name))(next(rest)))
        series.season.days = array("B", islice(rest, HOURS))
        series.season.means = array("f", rest)
        return series

    def _parts(self) -> tuple[Any, ...]:
        """The objects with numbers, in the order of ``pack``."""
        sides = [side for one in self.extremes for side in (one.above, one.below)]
        return (self, self.season, self.now, self.alarm, *self.extremes, *sides, self.late)


def _numbers(part: Any) -> list[str]:
    """The fields of *part* that are numbers."""
    return [each.name for each in fields(part) if each.type in ("int", "float")]


_COUNT = sum(len(_numbers(part)) for part in MetricSeries()._parts())
_LAYOUT = struct.Struct(f"<I{_COUNT}d{HOURS}B{HOURS}f")


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def length(seconds: float) -> timedelta:
    return timedelta(seconds=max(seconds, 0.0))
