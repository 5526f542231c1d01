"""Lines that are normal one by one and abnormal in numbers: floods of connections, of logins."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import JsonValue

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import (
    Detected,
    Detector,
    EntrySource,
    Finding,
    bounded_key,
    clock,
    device_of,
    next_due,
    span,
    worst,
)
from anomaly_detection.detectors.state import Key, Late, SegmentedLru
from anomaly_detection.detectors.table import RuleTable, details, listed
from anomaly_detection.rules import Burst


@dataclass(slots=True)
class Recent:
    """The newest lines of one key as (event time, tracking id), and the time of its last alarm."""

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
        """Whether the last alarm is too recent to be repeated."""
        if self.alarmed is None:
            return False
        return self.alarmed - within <= at < next_due(self.alarmed, within)


class BurstDetector(Detector[LogEntry]):
    """One Detected when a burst begins, and again every ``within`` while it goes on.

    A replay of the last ``memory`` of lines gives the same future. A burst is never cleared: the
    absence of lines proves nothing.
    """

    name = "burst"

    def __init__(
        self, bursts: Sequence[Burst], keys_kept: int, table: RuleTable | None = None
    ) -> None:
        self._table = table or RuleTable(bursts)
        self._counts = {rule.id: rule.count for rule in bursts}
        self.state: SegmentedLru[Recent] = SegmentedLru(keys_kept, Recent)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        bursts = self._table.decision(entry).bursts
        found = [self._count(rule, entry, details(match)) for rule, match in bursts]
        counted = [one for one in found if one is not None]
        findings = worst(finding for _, _, finding in counted if finding)
        self.state.put_all((key, recent) for key, recent, _ in counted)
        return findings

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        super().restore(state)
        for (rule, *_), recent in self.state.items():
            recent.lines = deque(recent.lines, self._counts.get(rule, 0))

    def _count(
        self, rule: Burst, line: LogEntry, found: dict[str, JsonValue]
    ) -> tuple[Key, Recent, Detected | None] | None:
        """The key of the line, the state of the key with the line in it, and the finding."""
        by = {name: found.get(name) for name in rule.by}
        if not all(by.values()):
            return None  # lines without the groups of ``by`` must not be counted together
        key = bounded_key(rule.id, line.ship_id, device_of(line), *map(str, by.values()))
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
        return key, recent, _detected(rule, line, by, since)


def _detected(rule: Burst, line: LogEntry, by: dict[str, JsonValue], since: datetime) -> Detected:
    seen = span(max(line.ts - since, timedelta(seconds=1)))
    reason = (
        f"{line.service} on {device_of(line)} reported {rule.says}"
        f"{listed(by)}: {rule.count} lines in {seen} since {clock(since)}; "
        f"expected are fewer than {rule.count} in {span(rule.within)}."
    )
    meta = by | {"rule": rule.id, "lines": rule.count, "since": since.isoformat()}
    source, domain = EntrySource.of(line), rule.domain
    return Detected.by(BurstDetector.name, rule, source, line.ts, reason, domain=domain, meta=meta)
