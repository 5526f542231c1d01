"""Lines that are normal one by one and wrong in numbers: floods of connections, guessing of passwords."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import (
    Finding,
    Key,
    Lru,
    Memoryless,
    Origin,
    Snapshot,
    Verdict,
    clock,
    device_of,
    next_due,
    short,
    span,
    worst,
)
from anomaly_detection.detectors.late import Late
from anomaly_detection.detectors.table import Table, details, listed
from anomaly_detection.policy import Burst


@dataclass(slots=True)
class Recent:
    """The newest lines of one key as (event time, tracking id), and when it was last called a burst."""

    lines: deque[tuple[datetime, str]]
    alarmed: datetime | None = field(default=None)
    late: Late = field(default_factory=Late)

    def copy(self) -> Recent:
        return Recent(self.lines.copy(), self.alarmed, replace(self.late))

    def add(self, at: datetime, tracking_id: str, within: timedelta) -> bool:
        """False for a line that is late. A clock set back starts anew."""
        if (self.lines and at < self.lines[0][0] - within) or self._set_back(at):
            self.lines = deque((one for one in self.lines if one[0] <= at), self.lines.maxlen)
            self.alarmed = None
        elif len(self.lines) == self.lines.maxlen and at < self.lines[0][0]:
            return False
        self.lines.append((at, tracking_id))
        return True

    def _set_back(self, at: datetime) -> bool:
        if self.lines and at < self.extent()[1]:
            return self.late.proves(at.timestamp())
        self.late.over()
        return False

    def extent(self) -> tuple[datetime, datetime]:
        times = [at for at, _ in self.lines]
        return min(times), max(times)

    def quiet(self, at: datetime, within: timedelta) -> bool:
        """Whether somebody was told a short while ago."""
        if self.alarmed is None:
            return False
        return self.alarmed - within <= at < next_due(self.alarmed, within)


_RECENT = TypeAdapter(Recent)


class BurstDetector(Memoryless):
    """One verdict when a burst begins, and again every ``within`` while it goes on.

    Who replays the last ``memory`` of lines gets the same future. Nothing tells that a burst is over:
    that no more lines come is silence.
    """

    name = "burst"

    def __init__(self, bursts: Sequence[Burst], keys_kept: int, table: Table | None = None) -> None:
        self._table = table or Table(bursts)
        self._counts = {rule.id: rule.count for rule in bursts}
        self.state: Lru[Recent] = Lru(keys_kept)
        self.memory = max((rule.memory for rule in bursts), default=timedelta(0))

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        matches = self._table.of(Burst, entry)
        found = [self._count(rule, entry, details(match)) for rule, match in matches]
        counted = [one for one in found if one is not None]
        told = worst(verdict for _, _, verdict in counted if verdict)
        self.state.put_all((key, recent) for key, recent, _ in counted)
        return told

    def snapshot(self) -> Snapshot:
        return self.state.dump(_RECENT)

    def image(self) -> Iterator[Snapshot]:
        return self.state.image(_RECENT)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self.state.load(_RECENT, state)
        for (rule, *_), recent in self.state.items():
            recent.lines = deque(recent.lines, self._counts.get(rule, 0))

    def _count(
        self, rule: Burst, line: LogEntry, found: dict[str, JsonValue]
    ) -> tuple[Key, Recent, Verdict | None] | None:
        """Where the line counts, what is known there with it, and what that proves."""
        by = {name: found.get(name) for name in rule.by}
        if not all(by.values()):
            return None  # lines that do not say whose they are must not be counted together
        key = short(rule.id, line.ship_id, device_of(line), *map(str, by.values()))
        known = self.state.get(key, lambda: Recent(deque(maxlen=rule.count)))
        if any(one == line.tracking_id for _, one in known.lines):
            return None
        recent = known.copy()
        if not recent.add(line.ts, line.tracking_id, rule.within):
            return key, recent, None
        since, until = recent.extent()
        full = len(recent.lines) == rule.count and until - since <= rule.within
        if not full or recent.quiet(until, rule.within):
            return key, recent, None
        recent.alarmed = until
        return key, recent, _verdict(rule, line, by, since)


def _verdict(rule: Burst, line: LogEntry, by: dict[str, JsonValue], since: datetime) -> Verdict:
    seen = span(max(line.ts - since, timedelta(seconds=1)))
    return Verdict(
        Origin.of(line),
        line.ts,
        anomaly_type=rule.anomaly_type,
        domain=rule.domain,
        severity=rule.severity,
        score=rule.score,
        detector=BurstDetector.name,
        reason=(
            f"{line.service} on {device_of(line)} reported {rule.says}"
            f"{listed(by)}: {rule.count} lines in {seen} since {clock(since)}; "
            f"expected are fewer than {rule.count} in {span(rule.within)}."
        ),
        meta=by | {"rule": rule.id, "lines": rule.count, "since": since.isoformat()},
    )
