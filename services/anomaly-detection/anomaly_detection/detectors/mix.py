"""Known lines in unusual shares: a device whose activity has changed.

The count vector of a window is compared with the exponentially weighted mean of past windows. Their
distance is the total variation: the share of lines that would have to change to make it usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    clock,
    device_of,
)
from anomaly_detection.detectors.line_rate import fading
from anomaly_detection.detectors.lines import Attention, Lines, MinedLine, quoted
from anomaly_detection.detectors.state import SegmentedLru
from anomaly_detection.layers import DetectorTuning, TuningOf
from anomaly_detection.rules import MixRule

KINDS = 24  # templates whose usual share is kept; all others count as unusual
OPEN = 1000  # templates counted separately in a window; the others are counted together
OTHERS = ""
MEMORY = 24  # windows that count in the usual shares
LONGEST = 12  # windows until one with too few lines is dropped, and an unusual mix becomes usual


@dataclass(slots=True)
class Shares:
    """The open window of a device, and its usual shares.

    *check* is the number of lines at which the window is judged next, *highest* the recent maximum
    of the distance.
    """

    attention: Attention = field(default_factory=Attention)
    opened: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    check: int = 0
    usual: dict[str, float] = field(default_factory=dict)
    windows: int = 0
    highest: float = 0.0
    since: datetime | None = None

    def due(self, at: float, seconds: float) -> bool:
        """Whether the window may close: by time, or because the clock was set back."""
        return self.opened is None or not -seconds < at - self.opened < seconds

    def open(self, at: float, least: int) -> None:
        self.opened, self.counts, self.lines, self.check = at, {}, 0, least

    def copy(self) -> Shares:
        """A copy that may be changed; *usual* is never changed in place."""
        return replace(self, attention=self.attention.copy(), counts=self.counts.copy())

    def add(self, id_: str) -> None:
        counts = self.counts
        if id_ not in counts and len(counts) >= OPEN:
            id_ = OTHERS
        counts[id_] = counts.get(id_, 0) + 1
        self.lines += 1

    def share(self, id_: str) -> float:
        return self.counts.get(id_, self.counts.get(OTHERS, 0)) / self.lines

    def distance(self) -> float:
        """The total variation between the window and the usual shares, 0..1."""
        more = (n / self.lines - self.usual.get(id_, 0.0) for id_, n in self.counts.items())
        return sum(share for share in more if share > 0)

    def excess(self, id_: str) -> float:
        return self.share(id_) - self.usual.get(id_, 0.0)

    def learn(self) -> None:
        """Move the usual shares towards this window."""
        weight = 1 / (min(self.windows, MEMORY) + 1)
        self.windows += 1
        mean = {id_: (1 - weight) * share for id_, share in self.usual.items()}
        for id_, n in self.counts.items():
            mean[id_] = mean.get(id_, 0.0) + weight * n / self.lines
        kept = sorted(mean, key=lambda id_: (-mean[id_], id_))[:KINDS]
        self.usual = {id_: mean[id_] for id_ in kept}


class MixDetector(Detector[LogEntry]):
    """One Detected when a window becomes unusual, on a line in excess; one Cleared at its end."""

    name = "mix"

    def __init__(
        self,
        rule: MixRule,
        lines: Lines,
        tuning_of: TuningOf,
        devices_kept: int,
    ) -> None:
        self._rule, self._tuning_of = rule, tuning_of
        self._lines = lines
        self._seconds = rule.window.total_seconds()
        self._keep = fading(rule.window)
        self.state: SegmentedLru[Shares] = SegmentedLru(devices_kept, Shares)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        mined = self._lines.of(entry)
        shares = self.state.get(mined.device, Shares)
        if shares.attention.last == entry.tracking_id:
            return ()
        shares.attention.hear(mined.at)
        due = shares.due(mined.at, self._seconds)
        if due or shares.lines + 1 >= shares.check:
            return self._judge(shares.copy(), mined, entry, due=due)
        shares.add(mined.group)
        shares.attention.last = entry.tracking_id
        return ()

    def _judge(
        self, shares: Shares, mined: MinedLine, line: LogEntry, *, due: bool
    ) -> Sequence[Finding]:
        """Close the window or look at it, on a copy of the state that is stored at the end."""
        findings = [*self._close(shares, mined.at, line)] if due else []
        shares.add(mined.group)
        if shares.lines >= shares.check:
            findings += self._look(shares, mined, line)
        shares.attention.last = line.tracking_id
        self.state.put(mined.device, shares)
        return findings

    def _close(self, shares: Shares, at: float, line: LogEntry) -> Sequence[Finding]:
        """Learn from the window when it is over, unless it is unusual."""
        if shares.since is not None and shares.since > line.ts:
            shares.since = line.ts  # the clock was set back
        age = at - (shares.opened or at)
        full, stale = shares.lines >= self._rule.least, not 0 <= age <= LONGEST * self._seconds
        if shares.opened is not None and not full and not stale:
            return ()
        findings = self._learn(shares, line) if full and not stale else ()
        shares.open(at, self._rule.least)
        return findings

    def _learn(self, shares: Shares, line: LogEntry) -> Sequence[Finding]:
        distance, since = shares.distance(), shares.since
        lasts = since is not None and line.ts - since < LONGEST * self._rule.window
        if lasts and distance >= self._limit(shares, line):
            return ()
        shares.since = None
        shares.highest = max(shares.highest * self._keep, distance if shares.windows else 0.0)
        shares.learn()
        return [self._cleared(since, line)] if since is not None and lasts else ()

    def _limit(self, shares: Shares, line: LogEntry) -> float:
        limit = max(self._rule.share, self._rule.factor * shares.highest)
        return self._tuning(line).scale * limit

    def _tuning(self, line: LogEntry) -> DetectorTuning:
        return self._tuning_of(line.ship_id, line.service, device_of(line))

    def _look(self, shares: Shares, mined: MinedLine, line: LogEntry) -> Sequence[Finding]:
        """At *least* lines of a window and at every doubling, if this line is one of the excess."""
        distance = shares.distance()
        if not self._judged(shares, line) or distance < self._limit(shares, line):
            shares.check *= 2
            if shares.windows > 1 and shares.since is None:
                shares.highest = max(shares.highest, distance)
            return ()
        if shares.excess(mined.group) <= 0:
            return ()  # report it on a line that is in excess
        shares.since = line.ts
        return [self._detected(shares, distance, mined, line)]

    def _judged(self, shares: Shares, line: LogEntry) -> bool:
        warm_up = self._tuning(line).warm_up or self._rule.warm_up
        return shares.since is None and shares.windows > 0 and shares.attention.span() >= warm_up

    def _detected(
        self, shares: Shares, distance: float, mined: MinedLine, line: LogEntry
    ) -> Detected:
        seen, usual = shares.share(mined.group), shares.usual.get(mined.group, 0.0)
        since = datetime.fromtimestamp(shares.opened or mined.at, UTC)
        reason = (
            f"Of {shares.lines} lines of {device_of(line)} since {clock(since)}, "
            f"{distance:.0%} are other ones than usual, expected are at most "
            f"{self._limit(shares, line):.0%}; {quoted(mined.template)} makes {seen:.0%} of "
            f"them, usually {usual:.1%}."
        )
        source = EntrySource.of(line)
        meta = {"share": round(distance, 3), "since": line.ts.isoformat()}
        return Detected.by(self.name, self._rule, source, line.ts, reason, meta=meta)

    def _cleared(self, since: datetime, line: LogEntry) -> Cleared:
        minutes = (line.ts - since) / timedelta(minutes=1)
        reason = (
            f"The lines of {device_of(line)} are as expected again at {clock(line.ts)}, after "
            f"{minutes:.0f} min in another mix since {clock(since)}."
        )
        types = (self._rule.anomaly_type,)
        return Cleared(EntrySource.of(line), line.ts, types, self.name, reason, started=since)
