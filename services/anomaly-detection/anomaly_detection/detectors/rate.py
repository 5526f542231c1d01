"""Templates that come far more often than before, or not any more; bursts of error lines.

A window of a device closes with a later line of the same device. A silent device closes none:
whether the whole device fell silent is not judged here.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    clock,
    device_of,
    shown,
    span,
)
from anomaly_detection.detectors.line_rate import LONGEST, DeviceRates, LineRate, fading
from anomaly_detection.detectors.lines import Lines, MinedLine, quoted
from anomaly_detection.detectors.state import Key, State
from anomaly_detection.layers import SCALE, TuningOf
from anomaly_detection.rules import Judgement, Templates

BAD = frozenset((Level.ERROR, Level.CRITICAL))
KINDS = 256  # of one device
ERRORS, ERRORS_TEXT = "errors", "a line of level error or critical"  # a kind beside groups

_DEVICE, _RATE = TypeAdapter(DeviceRates), TypeAdapter(LineRate)


class RateDetector(Detector[LogEntry]):
    """One Detected when a template, or the errors of a device, come too often, or a template stops.

    One Cleared at its end. At most *kept* devices and rates; the least recently heard device is
    evicted. Devices without a closed window go first: senders with ever new names evict each other.
    """

    name = "rate"

    def __init__(
        self,
        rules: Templates,
        lines: Lines,
        harmless: Callable[[LogEntry], bool],
        tuning_of: TuningOf,
        kept: int,
    ) -> None:
        self._rules, self._tuning_of, self._kept = rules, tuning_of, kept
        self._lines, self._harmless = lines, harmless
        window = rules.rate.window
        self._seconds = window.total_seconds()
        self._longest = LONGEST * window
        self._eager = min(SCALE.values())
        self._fewest = self._eager * rules.rate.least
        self._keep = fading(window)
        self._devices: OrderedDict[Key, DeviceRates] = OrderedDict()
        self._unlearned: OrderedDict[Key, None] = OrderedDict()
        self._size = 0

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        """Count the line for its group, and a bad one also for the errors of its device.

        All or nothing: a count is undone when a later step raises.
        """
        bad = entry.level in BAD and not self._harmless(entry)
        mined = self._lines.of(entry)
        device = self._devices.get(mined.device) or self._device(mined.device)
        self._devices.move_to_end(mined.device)
        if entry.tracking_id == device.last:
            return ()
        window = int(mined.at // self._seconds)
        if device.window is None:
            device.window = window
        if window != device.window:
            return self._in_other_window(window, entry, mined, bad)
        rate = device.kinds.get(mined.group)
        if rate is None or bad:
            return self._count(device, entry, mined, bad)
        count = rate.count + 1
        if count > self._fewest and self._exceeds(device, mined.group, rate, count, entry):
            return self._count(device, entry, mined, bad)
        rate.count = count
        device.last = entry.tracking_id
        return ()

    def parts(self) -> Iterator[State]:
        """The state at this call, one device at a time: copied now, written when it is taken."""
        copies = [(key, device.copy()) for key, device in self._devices.items()]
        return (_written(key, device) for key, device in copies)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        """Raises pydantic's ValidationError for another kind of state."""
        for text, known in state.items():
            ship, name, *kind = json.loads(text)
            device = self._devices.get((ship, name)) or self._device((ship, name))
            if kind:
                device.kinds[kind[0]] = _RATE.validate_python(known)
            else:
                found = _DEVICE.validate_python(known)
                found.kinds, found.size = device.kinds, device.size
                device = self._devices[ship, name] = found
            self._measure((ship, name), device)

    def _in_other_window(
        self, window: int, entry: LogEntry, mined: MinedLine, bad: bool
    ) -> Sequence[Finding]:
        """Close the open window on a copy of the device, which is stored at the end."""
        before = self._devices[mined.device]
        device = before.copy()
        over = device.passed(window, mined.at)
        if over < 0:
            before.late, before.last = device.late, entry.tracking_id
            return ()
        if before.window is not None and window < before.window:
            device.set_back(entry.ts)
        changes = list(self._close(device, over, entry)) if over else []
        findings = [*changes, *self._count(device, entry, mined, bad)]
        self._devices[mined.device] = device
        return findings

    def _count(
        self, device: DeviceRates, line: LogEntry, mined: MinedLine, bad: bool
    ) -> Sequence[Finding]:
        """Count the line and report what exceeds its limit with it."""
        kinds = [(mined.group, self._rate(device, mined.group, mined.template, line.service))]
        if bad:
            kinds.append((ERRORS, self._rate(device, ERRORS, ERRORS_TEXT, line.service)))
        for _, rate in kinds:
            rate.count += 1
        try:
            spikes = [
                (rate, self._spike(kind, rate, line))
                for kind, rate in kinds
                if self._exceeds(device, kind, rate, rate.count, line)
            ]
            findings = [finding for _, finding in spikes]
            self._measure(mined.device, device)
        except BaseException:
            for _, rate in kinds:
                rate.count -= 1
            raise
        for rate, _ in spikes:
            rate.since = line.ts
        device.last = line.tracking_id
        return findings

    def _exceeds(
        self, device: DeviceRates, kind: str, rate: LineRate, count: int, line: LogEntry
    ) -> bool:
        """Whether *count* lines are the first above the limit, on a device after its warm-up."""
        if rate.since is not None:
            return False
        limit = rate.limit(self._rules.excess(kind == ERRORS))
        if count <= self._eager * limit:
            return False
        tuning = self._tuning_of(line.ship_id, line.service, device_of(line))
        return self._warm(device.learned, tuning.warm_up) and count > tuning.scale * limit

    def _warm(self, windows: int, warm_up: timedelta | None = None) -> bool:
        return windows * self._rules.rate.window >= (warm_up or self._rules.rate.warm_up)

    def _close(self, device: DeviceRates, over: int, line: LogEntry) -> Iterator[Finding]:
        """Close the open window and *over* - 1 empty ones after it."""
        for kind, rate in list(device.kinds.items()):
            if finding := self._judge(kind, rate, device.learned, line):
                yield finding
            for n in range(1, over):
                self._silent(kind, rate, device.learned + n)
            rate.count = 0
            if rate.forgotten:
                del device.kinds[kind]
        device.learned += over

    def _judge(self, kind: str, rate: LineRate, learned: int, line: LogEntry) -> Finding | None:
        """Judge the closed window; learn it unless it belongs to an alarm."""
        if rate.missing or self._missed(kind, rate, learned):
            return self._absent(kind, rate, line)
        if rate.since is None:
            rate.learn(rate.count, learned, self._keep)
            return None
        rule = self._rules.excess(kind == ERRORS)
        if rate.count <= rate.limit(rule):
            cleared = self._cleared(rule, kind, rate, line)
            rate.since = None
            return cleared
        if line.ts - rate.since > self._longest:  # this is how it is now
            rate.since, rate.highest = None, rate.count
        return None

    def _missed(self, kind: str, rate: LineRate, learned: int) -> bool:
        """Whether an expected line is missing; the absence of errors is no anomaly."""
        judged = not rate.count and kind != ERRORS and self._warm(learned)
        return judged and rate.steady(self._rules.drop)

    def _absent(self, kind: str, rate: LineRate, line: LogEntry) -> Finding | None:
        """Add a window without a line of a steady rate, or end the alarm with the first line."""
        if rate.count or rate.missing > LONGEST:
            over = rate.count and rate.since is not None
            cleared = self._cleared(self._rules.drop, kind, rate, line) if over else None
            rate.missing, rate.since = 0, None
            return cleared
        rate.missing += 1
        if rate.missing == self._rules.drop.windows:
            rate.since = line.ts
            return self._drop(kind, rate, line)
        return None

    def _silent(self, kind: str, rate: LineRate, learned: int) -> None:
        """Learn a window in which the whole device was silent, except for steady rates."""
        alarm = rate.since is not None or rate.missing
        if not alarm and (kind == ERRORS or not rate.steady(self._rules.drop)):
            rate.learn(0, learned, self._keep)

    def _rate(self, device: DeviceRates, kind: str, text: str, service: str) -> LineRate:
        """The rate of a *kind*; beyond ``KINDS`` of one device it is not stored."""
        rate = device.kinds.get(kind)
        if rate is None:
            rate = LineRate(text, service)
            if len(device.kinds) < KINDS:
                device.kinds[kind] = rate
        return rate

    def _device(self, key: Key) -> DeviceRates:
        device = self._devices[key] = DeviceRates()
        self._measure(key, device)
        return device

    def _measure(self, key: Key, device: DeviceRates) -> None:
        """Update the size of *device*, and evict others when the total is too large."""
        size = 1 + len(device.kinds)
        grown = size - device.size
        while self._size + grown > self._kept and len(self._devices) > 1:
            self._evict_other_than(key)
        self._size += grown
        device.size = size
        if device.learned:
            self._unlearned.pop(key, None)
        else:
            self._unlearned[key] = None

    def _evict_other_than(self, key: Key) -> None:
        strangers = (k for k in self._unlearned if k != key)
        oldest = next(strangers, None) or next(k for k in self._devices if k != key)
        self._unlearned.pop(oldest, None)
        self._size -= self._devices.pop(oldest).size

    def _spike(self, kind: str, rate: LineRate, line: LogEntry) -> Detected:
        rule = self._rules.excess(kind == ERRORS)
        reason = (
            f"At {clock(line.ts)} {device_of(line)} logged {_what(kind, rate)} for the "
            f"{rate.count}th time within {span(self._rules.rate.window)}; expected are "
            f"{shown(rate.mean)}, and at most {shown(rate.limit(rule))}."
        )
        return self._detected(rule, kind, rate, line, reason)

    def _drop(self, kind: str, rate: LineRate, line: LogEntry) -> Detected:
        window = self._rules.rate.window
        reason = (
            f"Up to {clock(line.ts)} {device_of(line)} has not logged {_what(kind, rate)} for "
            f"{span(rate.missing * window)}, though it logs other lines; expected are "
            f"{shown(rate.mean)} in {span(window)}."
        )
        return replace(self._detected(self._rules.drop, kind, rate, line, reason), msg=reason)

    def _detected(
        self, rule: Judgement, kind: str, rate: LineRate, line: LogEntry, reason: str
    ) -> Detected:
        return Detected.by(
            self.name,
            rule,
            _source(rate, line),
            line.ts,
            reason,
            meta={"since": line.ts.isoformat(), "usual_per_window": round(rate.mean, 3)},
            template_id=None if kind == ERRORS else kind,
            template=None if kind == ERRORS else rate.text,
        )

    def _cleared(self, rule: Judgement, kind: str, rate: LineRate, line: LogEntry) -> Cleared:
        since = rate.since or line.ts
        reason = (
            f"{device_of(line)} logs {_what(kind, rate)} as often as expected again: "
            f"{rate.count} times in the last window, at {clock(line.ts)}; it was not so "
            f"since {clock(since)}."
        )
        source, types = _source(rate, line), (rule.anomaly_type,)
        return Cleared(source, line.ts, types, self.name, reason, started=since)


def _what(kind: str, rate: LineRate) -> str:
    return rate.text if kind == ERRORS else quoted(rate.text)


def _source(rate: LineRate, line: LogEntry) -> EntrySource:
    return replace(EntrySource.of(line), service=rate.service or "unknown")


def _written(key: Key, device: DeviceRates) -> State:
    of_device = _DEVICE.dump_python(device, mode="json", exclude={"kinds", "size"})
    state: State = {json.dumps(key): of_device}
    for kind, rate in device.kinds.items():
        state[json.dumps((*key, kind))] = _RATE.dump_python(rate, mode="json")
    return state
