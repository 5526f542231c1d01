"""Lines that are known one by one, in shares that are not: a device that does something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import (
    Ended,
    Finding,
    Lru,
    Memoryless,
    Origin,
    Snapshot,
    Verdict,
    clock,
    device_of,
)
from anomaly_detection.detectors.domains import DomainOf
from anomaly_detection.detectors.lines import Heard, Lines, quoted
from anomaly_detection.detectors.pace import fading
from anomaly_detection.detectors.shares import Shares
from anomaly_detection.layers import Tuning, TuningOf
from anomaly_detection.template_policy import Mix

LONGEST = 12  # windows; one with too few lines is given up then, and an unusual mix is usual

_SHARES = TypeAdapter(Shares)


class MixDetector(Memoryless):
    """One verdict when a window becomes unusual, on a line that is more frequent than usual; its end."""

    name = "mix"

    def __init__(
        self, rule: Mix, lines: Lines, domain_of: DomainOf, tuning_of: TuningOf, devices_kept: int
    ) -> None:
        self._rule, self._tuning_of = rule, tuning_of
        self._lines = lines
        self._domain_of = domain_of
        self._seconds = rule.window.total_seconds()
        self._keep = fading(rule.window)
        self.state: Lru[Shares] = Lru(devices_kept)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        heard = self._lines.of(entry)
        shares = self.state.get(heard.device, Shares)
        if shares.attention.last == entry.tracking_id:
            return ()
        shares.attention.hear(heard.at)
        due = shares.due(heard.at, self._seconds)
        if due or shares.lines + 1 >= shares.check:
            return self._judge(shares.copy(), heard, entry, due=due)
        shares.add(heard.group)
        shares.attention.last = entry.tracking_id
        return ()

    def snapshot(self) -> Snapshot:
        return self.state.dump(_SHARES)

    def image(self) -> Iterator[Snapshot]:
        return self.state.image(_SHARES)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self.state.load(_SHARES, state)

    def _judge(
        self, shares: Shares, heard: Heard, line: LogEntry, *, due: bool
    ) -> Sequence[Finding]:
        """Close the window or look at it. *shares* is a copy that counts when all is done."""
        told = [*self._close(shares, heard.at, line)] if due else []
        shares.add(heard.group)
        if shares.lines >= shares.check:
            told += self._look(shares, heard, line)
        shares.attention.last = line.tracking_id
        self.state.put(heard.device, shares)
        return told

    def _close(self, shares: Shares, at: float, line: LogEntry) -> Sequence[Finding]:
        """Learn from the window when it is over; an unusual one teaches nothing."""
        if shares.since is not None and shares.since > line.ts:
            shares.since = line.ts  # the clock was set back
        age = at - (shares.opened or at)
        full, stale = shares.lines >= self._rule.least, not 0 <= age <= LONGEST * self._seconds
        if shares.opened is not None and not full and not stale:
            return ()
        told = self._learn(shares, line) if full and not stale else ()
        shares.open(at, self._rule.least)
        return told

    def _learn(self, shares: Shares, line: LogEntry) -> Sequence[Finding]:
        distance, since = shares.distance(), shares.since
        lasts = since is not None and line.ts - since < LONGEST * self._rule.window
        if lasts and distance >= self._limit(shares, line):
            return ()
        shares.since = None
        shares.highest = max(shares.highest * self._keep, distance if shares.windows else 0.0)
        shares.learn()
        return [self._ended(since, line)] if since is not None and lasts else ()

    def _limit(self, shares: Shares, line: LogEntry) -> float:
        limit = max(self._rule.share, self._rule.factor * shares.highest)
        return self._tuning(line).scale * limit

    def _tuning(self, line: LogEntry) -> Tuning:
        return self._tuning_of(line.ship_id, line.service, device_of(line))

    def _look(self, shares: Shares, heard: Heard, line: LogEntry) -> Sequence[Finding]:
        """At *least* lines of a window and at every doubling, if this line is one of the excess."""
        distance = shares.distance()
        if not self._judged(shares, line) or distance < self._limit(shares, line):
            shares.check *= 2
            if shares.windows > 1 and shares.since is None:
                shares.highest = max(shares.highest, distance)
            return ()
        if shares.excess(heard.group) <= 0:
            return ()  # the next line may be a better witness
        shares.since = line.ts
        return [self._verdict(shares, distance, heard, line)]

    def _judged(self, shares: Shares, line: LogEntry) -> bool:
        warm_up = self._tuning(line).warm_up or self._rule.warm_up
        return shares.since is None and shares.windows > 0 and shares.attention.span() >= warm_up

    def _verdict(self, shares: Shares, distance: float, heard: Heard, line: LogEntry) -> Verdict:
        seen, usual = shares.share(heard.group), shares.usual.get(heard.group, 0.0)
        since = datetime.fromtimestamp(shares.opened or heard.at, UTC)
        return Verdict(
            Origin.of(line),
            line.ts,
            anomaly_type=self._rule.anomaly_type,
            domain=self._domain_of(line.service),
            severity=self._rule.severity,
            score=self._rule.score,
            detector=self.name,
            reason=(
                f"Of {shares.lines} lines of {device_of(line)} since {clock(since)}, "
                f"{distance:.0%} are other ones than usual, expected are at most "
                f"{self._limit(shares, line):.0%}; {quoted(heard.template.text)} makes {seen:.0%} of them, "
                f"usually {usual:.1%}."
            ),
            meta={"share": round(distance, 3), "since": line.ts.isoformat()},
        )

    def _ended(self, since: datetime, line: LogEntry) -> Ended:
        return Ended(
            Origin.of(line),
            line.ts,
            anomaly_types=(self._rule.anomaly_type,),
            detector=self.name,
            started=since,
            reason=(
                f"The lines of {device_of(line)} are as expected again at {clock(line.ts)}, after "
                f"{_minutes(line.ts - since)} in another mix since {clock(since)}."
            ),
        )


def _minutes(time: timedelta) -> str:
    return f"{time / timedelta(minutes=1):.0f} min"
