"""The usual value at an hour of the day, on working days and at weekends."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from datetime import datetime

HOURS = 48  # 24 of a working day, 24 of a day of the weekend
DAYS = 8  # in the mean of an hour, the newest with the largest weight


@dataclass(slots=True)
class Season:
    """The mean of every hour; the current hour is added at its end."""

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
