"""All that is remembered of one series of readings, within 2 KB, and its episode if there is one."""

from __future__ import annotations

import base64
import struct
import zlib
from array import array
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from anomaly_detection.detectors.late import Late
from anomaly_detection.detectors.novelty import TAIL, Record
from anomaly_detection.detectors.season import HOURS, Season
from anomaly_detection.detectors.views import Now, View

RARE = 300.0  # s between two readings: who asks more often asks for chance more often
BREAK = 20  # usual intervals without a reading; after a longer one nothing is known of the last
LEAST_BREAK = 60.0  # s
BACK = 3600.0  # s that a reading may be late; one that is later shows at once that the clock was set back
STUCK = 0.1  # of the usual roughness; less calm than that is nothing to tell
OWN_TIME = 3 * 86400.0  # s that what is usual at an hour is compared before it is believed


@dataclass(slots=True)
class Episode:
    """What was told and is not over. Times are seconds of the epoch, 0 means never."""

    started: float = 0.0
    view: int = 0
    above: int = 0
    peak: float = 0.0  # the reading that was farthest from the centre
    away: float = 0.0  # how far that was
    new_at: int = 0  # the reading that was farther than ever and than what was told
    strange_at: int = 0  # the last one that was farther than what was learnt


@dataclass(slots=True)
class Series:
    """Readings of one metric of one sender with one set of labels."""

    first: float = 0.0
    seen: float = 0.0
    interval: float = 0.0  # s, usual
    now: Now = field(default_factory=Now)
    episode: Episode = field(default_factory=Episode)
    season: Season = field(default_factory=Season)
    records: tuple[Record, ...] = field(default_factory=lambda: tuple(Record() for _ in View))
    late: Late = field(default_factory=Late)

    def advance(self, at: float, x: float) -> bool:
        """Move to a reading at *at*; False for a duplicate or one that is late."""
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
        """Nothing is known of the time just before *x*."""
        self.now.begin(x)
        for record in self.records:
            record.fade(passed / self.interval if self.interval else 1.0)

    def _set_back(self, passed: float) -> None:
        """The clock was set back: the series goes on, and is known for as long as before."""
        self.first += passed
        self.episode.started = min(self.episode.started, self.seen + passed)

    def copy(self) -> Series:
        return Series(
            self.first,
            self.seen,
            self.interval,
            replace(self.now),
            replace(self.episode),
            self.season.copy(),
            tuple(record.copy() for record in self.records),
            Late(self.late.first, self.late.last),
        )

    def known(self, readings: int, time: timedelta) -> bool:
        """Whether the warm-up is over."""
        return self.now.readings > readings and self.seen - self.first >= time.total_seconds()

    def haste(self) -> float:
        """How much farther a reading must lie that is one of many in the same time."""
        return max(RARE / self.interval, 1.0) ** TAIL if self.interval else 1.0

    def believes(self, view: View, above: bool) -> bool:
        """Whether a new number of *view* may be told at all."""
        if view is View.SEASON:
            return self.records[view].n * self.interval >= OWN_TIME
        return view is not View.NOISE or above or self.now.rough <= STUCK * self.now.usual_rough

    def pack(self) -> str:
        """All of it as text, exactly; it begins with the mark of the layout."""
        numbers = [self.first, self.seen, self.interval, self.season.total]
        numbers += [getattr(part, name) for part in self._parts() for name in _numbers(part)]
        head = struct.pack(
            f"<Ibi{len(numbers)}d", LAYOUT, self.season.hour, self.season.samples, *numbers
        )
        data = head + self.season.days.tobytes() + self.season.means.tobytes()
        return base64.b64encode(data).decode("ascii")

    @classmethod
    def unpack(cls, text: str) -> Self:
        """What ``pack`` wrote; raises ValueError when it is something else."""
        series = cls()
        count = 4 + sum(len(_numbers(part)) for part in series._parts())
        layout = struct.Struct(f"<Ibi{count}d{HOURS}s{4 * HOURS}s")
        try:
            mark, hour, samples, *numbers, days, means = layout.unpack(base64.b64decode(text))
        except struct.error as exc:
            raise ValueError(f"not the state of a series: {exc}") from exc
        if mark != LAYOUT:
            raise ValueError("the state of a series of another version")
        series.first, series.seen, series.interval, total = numbers[:4]
        series.season = Season(array("f", means), array("B", days), hour, total, samples)
        rest = iter(numbers[4:])
        for part in series._parts():
            for name in _numbers(part):
                setattr(part, name, type(getattr(part, name))(next(rest)))
        return series

    def _parts(self) -> tuple[Any, ...]:
        sides = [side for record in self.records for side in (record.above, record.below)]
        return (self.now, self.episode, *self.records, *sides, self.late)


def _numbers(part: Any) -> list[str]:
    """The fields of *part* that are numbers."""
    return [each.name for each in fields(part) if each.type in ("int", "float")]


def _layout() -> int:
    """A checksum of the names in their order: another order is another one."""
    series = Series()
    parts = (series, series.season, *series._parts())
    names = [f"{type(part).__name__}.{each.name}" for part in parts for each in fields(part)]
    return zlib.crc32(" ".join(names).encode())


LAYOUT = _layout()


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def length(seconds: float) -> timedelta:
    return timedelta(seconds=max(seconds, 0.0))
