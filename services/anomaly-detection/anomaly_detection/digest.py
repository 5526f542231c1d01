"""What of the findings that nobody can name is worth a person's time. Pure.

A line of level error, or one that only a generic rule takes, says that something is wrong, and not
what. Such a finding counts when it is new on its device, comes in a burst, spreads over devices, or
comes back after a long silence. The rest is digested: counted in the daily digest of its device.

Time is that of the entries. The state is in the snapshots, so that a replay judges as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import Detected, bounded_key, span
from anomaly_detection.remembered import Remembered
from anomaly_detection.rules import DigestRules, LineRule, Pattern, Templates

HOUR = 3600.0  # seconds
DAY = timedelta(days=1)
HALF_LIFE = 7 * 86_400.0  # seconds after which half of the largest burst is forgotten
DEVICES_KEPT = 32  # of one message, those that said it last
TROUBLED = frozenset({Level.WARNING, Level.ERROR, Level.CRITICAL})


class Verdict(NamedTuple):
    """Whether a finding opens an incident, and why, as a sentence; of specific ones it is empty."""

    opens: bool
    why: str = ""


SPECIFIC = Verdict(True)


@dataclass(slots=True)
class Habit:
    """How often a device says a message. Times are seconds since 1970."""

    first: float
    last: float
    count: int = 0
    window: float = 0.0  # since when *lines* are counted
    lines: int = 0
    most: float = 0.0  # lines in a window before
    told: float | None = None  # when it opened an incident last
    last_id: str = ""  # of the newest line, and what was said of it
    opens: bool = True
    why: str = ""

    @property
    def usual_gap(self) -> float:
        """Seconds; of a single line 0."""
        return (self.last - self.first) / (self.count - 1) if self.count > 1 else 0.0

    def with_line(self, at: float, within: float) -> Habit:
        """The habit after one more line. A clock that was set back begins a new window."""
        after = replace(self, count=self.count + 1, last=max(self.last, at))
        if abs(at - self.window) >= within:
            forgotten = 0.5 ** (max(at - self.window, 0.0) / HALF_LIFE)
            after.most = max(self.most, self.lines) * forgotten
            after.window, after.lines = at, 0
        after.lines += 1
        return after


@dataclass(slots=True)
class Reach:
    """On how many devices of the ship a message was said; the newest *devices*, and when."""

    number: int = 0
    devices: dict[str, float] = field(default_factory=dict)
    spread: float | None = None  # when it began to spread last

    def hear(self, device: str, at: float, *, new: bool) -> None:
        self.number += new
        self.devices[device] = max(at, self.devices.pop(device, at))
        while len(self.devices) > DEVICES_KEPT:
            del self.devices[next(iter(self.devices))]

    def within(self, at: float, seconds: float, device: str) -> int:
        """How many devices have said it in the *seconds* before, *device* among them."""
        others = (said for name, said in self.devices.items() if name != device)
        return 1 + sum(abs(at - said) <= seconds for said in others)


@dataclass(slots=True)
class Newcomers:
    """When messages that were new on a device opened incidents, within an hour."""

    opened: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Occasion:
    """One line of a message: what is known of it, before and *after* that line."""

    at: float
    device: str
    before: Habit
    after: Habit
    reach: Reach
    newcomers: Sequence[float]


class Digest:
    """Judges findings, with the habits of at most *kept* messages by device."""

    def __init__(
        self, rules: DigestRules, templates: Templates, line_rules: Sequence[LineRule], kept: int
    ) -> None:
        self._rules = rules.scaled
        self._generic = frozenset(
            rule.id
            for rule in line_rules
            if isinstance(rule, Pattern) and rule.kind == "generic" and rule.state == "event"
        )
        odd = (templates.new, templates.rate, templates.drop, templates.mix)
        self._odd = frozenset(rule.anomaly_type for rule in odd)
        self._habits = Remembered("habits", kept, Habit)
        self._reach = Remembered("reach", kept, Reach)
        self._newcomers = Remembered("newcomers", kept, Newcomers)
        self.memories: Sequence[Remembered] = (self._habits, self._reach, self._newcomers)

    def judge(self, finding: Detected, line: LogEntry) -> Verdict:
        """Of a *finding* in *line*. The same line gets the same answer again."""
        if finding.anomaly_type in self._odd:
            if finding.msg is not None or line.level not in TROUBLED:
                return Verdict(False, "Unusual, and no error.")
        elif not self._is_vague(finding):
            return SPECIFIC
        return self._by_habit(finding, line)

    def _is_vague(self, finding: Detected) -> bool:
        if finding.anomaly_type not in self._rules.types:
            return False
        return finding.detector == "level" or finding.meta.get("rule") in self._generic

    def _by_habit(self, finding: Detected, line: LogEntry) -> Verdict:
        source, at = finding.source, finding.at.timestamp()
        message = (
            source.ship_id,
            finding.anomaly_type,
            finding.component,
            finding.template_id or "",
        )
        key, of_device = bounded_key(*message, source.device), (source.ship_id, source.device)
        habit: Habit = self._habits.state.get(key, lambda: Habit(at, at))
        if habit.last_id == line.tracking_id:
            return Verdict(habit.opens, habit.why)
        reach: Reach = self._reach.state.get(bounded_key(*message), Reach)
        newcomers: Newcomers = self._newcomers.state.get(of_device, Newcomers)
        recent = [one for one in newcomers.opened if abs(at - one) < HOUR]
        after = habit.with_line(at, self._rules.burst.within.total_seconds())
        occasion = Occasion(at, source.device, habit, after, reach, recent)
        verdict = self._spread(occasion) or self._new(occasion) or self._again(occasion)
        if verdict.opens:
            after.told = at
            if not habit.count:
                newcomers.opened = [*recent, at]
        after.last_id, after.opens, after.why = line.tracking_id, verdict.opens, verdict.why
        reach.hear(source.device, at, new=not habit.count)
        self._habits.state.put(key, after)
        return verdict

    def _spread(self, now: Occasion) -> Verdict | None:
        """Each device opens once per spread; one that spreads now and then is no news."""
        rule, silence = self._rules.spread, self._rules.back.silence.total_seconds()
        within = rule.within.total_seconds()
        devices = now.reach.within(now.at, within, now.device)
        if devices < rule.devices:
            return None
        passed = None if now.reach.spread is None else now.at - now.reach.spread
        if passed is None or abs(passed) >= silence:
            now.reach.spread = now.at
        elif abs(passed) > within or _was_told(now.before, now.reach.spread, within):
            return None
        return Verdict(True, f"{devices} devices said the same within {span(rule.within)}.")

    def _new(self, now: Occasion) -> Verdict | None:
        if now.before.count:
            return None
        if now.reach.number >= self._rules.common:
            why = f"New here, and known on {now.reach.number} other devices of this ship."
            return Verdict(False, why)
        if len(now.newcomers) >= self._rules.new_per_hour:
            why = f"New here, as were {len(now.newcomers)} other messages within an hour."
            return Verdict(False, why)
        return Verdict(True, "It is the first of its kind on this device.")

    def _again(self, now: Occasion) -> Verdict:
        """Of a message that is known on its device."""
        before, after, back, burst = now.before, now.after, self._rules.back, self._rules.burst
        gap = now.at - before.last
        if gap >= max(back.silence.total_seconds(), back.factor * before.usual_gap):
            return Verdict(True, f"It comes back after {_long(gap)}{_usually(before)}.")
        if after.lines == max(burst.least, round(burst.factor * after.most)):
            seen = span(timedelta(seconds=max(now.at - after.window, 1)))
            known = f"before at most {after.most:.0f}" if after.most >= 1 else "before none"
            return Verdict(True, f"It came {after.lines} times in {seen}, {known}.")
        since = datetime.fromtimestamp(before.first, UTC)
        times = f"{before.count} times" if before.count > 1 else "once"
        why = f"Known here: {times} since {since:%d %b %Y}, last {_long(max(gap, 0.0))} before."
        return Verdict(False, why)


def _was_told(habit: Habit, spread: float | None, within: float) -> bool:
    """Whether the device has opened an incident in this spread."""
    return habit.told is not None and spread is not None and habit.told >= spread - within


def _usually(habit: Habit) -> str:
    return f"; before, every {_long(habit.usual_gap)} on average" if habit.count > 1 else ""


def _long(seconds: float) -> str:
    """A duration for people, also of days: ``3 min 0 s``, ``12 days``."""
    time = timedelta(seconds=seconds)
    return span(time) if time < 2 * DAY else f"{time // DAY} days"
