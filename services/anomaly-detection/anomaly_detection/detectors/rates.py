"""Counts of lines per device and kind in windows of event time, for the rate detector.

A window of a device closes with a later line of the same device. A silent device closes none:
whether the whole device fell silent is not judged here.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Finding, device_of
from anomaly_detection.detectors.line_rate import (
    LONGEST,
    LineRate,
    RateChange,
    What,
    WindowClock,
    fading,
)
from anomaly_detection.detectors.lines import MinedLine
from anomaly_detection.detectors.state import Key, State
from anomaly_detection.layers import SCALE, TuningOf
from anomaly_detection.policy_learned import Templates

KINDS = 256  # of one device
ERRORS, ERRORS_TEXT = "errors", "a line of level error or critical"  # a kind beside groups


@dataclass(slots=True)
class DeviceRates:
    clock: WindowClock = field(default_factory=WindowClock)
    kinds: dict[str, LineRate] = field(default_factory=dict)
    size: int = 0  # as ``Rates`` counts it

    def copy(self) -> DeviceRates:
        clock = replace(self.clock, late=copy(self.clock.late))
        kinds = {kind: copy(rate) for kind, rate in self.kinds.items()}
        return DeviceRates(clock, kinds, size=self.size)


_CLOCK, _RATE = TypeAdapter(WindowClock), TypeAdapter(LineRate)


class Rates:
    """At most *most* clocks and rates; the least recently heard device is evicted.

    Devices without a closed window go first: senders with ever new names evict each other.
    """

    def __init__(
        self,
        rules: Templates,
        tuning_of: TuningOf,
        most: int,
        finding_of: Callable[[RateChange, LogEntry], Finding],
    ) -> None:
        self._rules, self._tuning_of, self._most = rules, tuning_of, most
        window = rules.rate.window
        self._seconds = window.total_seconds()
        self._longest = LONGEST * window
        self._eager = min(SCALE.values())
        self._fewest = self._eager * rules.rate.least
        self._keep = fading(window)
        self._finding_of = finding_of
        self._devices: OrderedDict[Key, DeviceRates] = OrderedDict()
        self._unlearned: OrderedDict[Key, None] = OrderedDict()
        self._size = 0

    def hear(self, entry: LogEntry, mined: MinedLine, bad: bool) -> Sequence[Finding]:
        """Count the line for its group, and a *bad* one also for the errors of its device.

        All or nothing: a count is undone when a later step raises.
        """
        device = self._devices.get(mined.device) or self._device(mined.device)
        self._devices.move_to_end(mined.device)
        if entry.tracking_id == device.clock.last:
            return ()
        window = int(mined.at // self._seconds)
        if device.clock.window is None:
            device.clock.window = window
        if window != device.clock.window:
            return self._in_other_window(window, entry, mined, bad)
        rate = device.kinds.get(mined.group)
        if rate is None or bad or rate.count >= self._fewest:
            return self._count_and_report(device, entry, mined, bad)
        rate.count += 1
        device.clock.last = entry.tracking_id
        return ()

    def _in_other_window(
        self, window: int, entry: LogEntry, mined: MinedLine, bad: bool
    ) -> Sequence[Finding]:
        """Close the open window on a copy of the device, which is stored at the end."""
        before = self._devices[mined.device]
        device = before.copy()
        over = device.clock.passed(window, mined.at)
        if over < 0:
            before.clock.late, before.clock.last = device.clock.late, entry.tracking_id
            return ()
        if before.clock.window is not None and window < before.clock.window:
            _set_back(device, entry.ts)
        changes = list(self._close(device, over, entry.ts)) if over else []
        findings = self._count_and_report(device, entry, mined, bad, changes)
        self._devices[mined.device] = device
        return findings

    def _count_and_report(
        self,
        device: DeviceRates,
        entry: LogEntry,
        mined: MinedLine,
        bad: bool,
        before: Sequence[RateChange] = (),
    ) -> Sequence[Finding]:
        kinds = [(mined.group, self._rate(device, mined.group, mined.template.text, entry.service))]
        if bad:
            kinds.append((ERRORS, self._rate(device, ERRORS, ERRORS_TEXT, entry.service)))
        for _, rate in kinds:
            rate.count += 1
        try:
            spikes = [
                RateChange(What.SPIKE, kind, rate, entry.ts)
                for kind, rate in kinds
                if rate.since is None and self._too_many(device, kind, rate, entry)
            ]
            findings = [self._finding_of(change, entry) for change in (*before, *spikes)]
            self._measure(mined.device, device)
        except BaseException:
            for _, rate in kinds:
                rate.count -= 1
            raise
        for spike in spikes:
            spike.rate.since = entry.ts
        device.clock.last = entry.tracking_id
        return findings

    def _too_many(self, device: DeviceRates, kind: str, rate: LineRate, entry: LogEntry) -> bool:
        """Whether this line exceeds the limit, on a device after its warm-up."""
        limit = rate.limit(self._rules.excess(kind == ERRORS))
        if rate.count <= self._eager * limit:
            return False
        tuning = self._tuning_of(entry.ship_id, entry.service, device_of(entry))
        warm = self._warm(device.clock.learned, tuning.warm_up)
        return warm and rate.count > tuning.scale * limit

    def _warm(self, windows: int, warm_up: timedelta | None = None) -> bool:
        return windows * self._rules.rate.window >= (warm_up or self._rules.rate.warm_up)

    def parts(self) -> Iterator[State]:
        """The state at this call, one device at a time: copied now, written when it is taken."""
        copies = [
            (key, copy(device.clock), [(kind, copy(rate)) for kind, rate in device.kinds.items()])
            for key, device in self._devices.items()
        ]
        return (_written(key, clock, kinds) for key, clock, kinds in copies)

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError for another kind of state."""
        for text, known in state.items():
            ship, name, *kind = json.loads(text)
            device = self._devices.get((ship, name)) or self._device((ship, name))
            if kind:
                device.kinds[kind[0]] = _RATE.validate_python(known)
            else:
                device.clock = _CLOCK.validate_python(known)
            self._measure((ship, name), device)

    def _close(self, device: DeviceRates, over: int, now: datetime) -> Iterator[RateChange]:
        """Close the open window and *over* - 1 empty ones after it."""
        for kind, rate in list(device.kinds.items()):
            since = rate.since
            if what := self._judge(kind, rate, device.clock.learned, now):
                yield RateChange(what, kind, rate, since or now)
            for n in range(1, over):
                self._silent(kind, rate, device.clock.learned + n)
            rate.count = 0
            if rate.forgotten:
                del device.kinds[kind]
        device.clock.learned += over

    def _judge(self, kind: str, rate: LineRate, learned: int, now: datetime) -> What | None:
        """Judge the closed window; learn it unless it belongs to an alarm."""
        if rate.missing or self._missed(kind, rate, learned):
            return self._absent(rate, now)
        if rate.since is None:
            rate.learn(rate.count, learned, self._keep)
            return None
        if rate.count <= rate.limit(self._rules.excess(kind == ERRORS)):
            rate.since = None
            return What.SPIKE_OVER
        if now - rate.since > self._longest:  # this is how it is now
            rate.since, rate.highest = None, rate.count
        return None

    def _missed(self, kind: str, rate: LineRate, learned: int) -> bool:
        """Whether an expected line is missing; the absence of errors is no anomaly."""
        judged = not rate.count and kind != ERRORS and self._warm(learned)
        return judged and rate.steady(self._rules.drop)

    def _absent(self, rate: LineRate, now: datetime) -> What | None:
        """Add a window without a line of a steady rate, or end the alarm with the first line."""
        reported = rate.since is not None
        if rate.count or rate.missing > LONGEST:
            rate.missing, rate.since = 0, None
            return What.DROP_OVER if reported and rate.count else None
        rate.missing += 1
        if rate.missing == self._rules.drop.windows:
            rate.since = now
            return What.DROP
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
        while self._size + grown > self._most and len(self._devices) > 1:
            self._evict_other_than(key)
        self._size += grown
        device.size = size
        if device.clock.learned:
            self._unlearned.pop(key, None)
        else:
            self._unlearned[key] = None

    def _evict_other_than(self, key: Key) -> None:
        strangers = (k for k in self._unlearned if k != key)
        oldest = next(strangers, None) or next(k for k in self._devices if k != key)
        self._unlearned.pop(oldest, None)
        self._size -= self._devices.pop(oldest).size


def _set_back(device: DeviceRates, now: datetime) -> None:
    """Alarms that began in the future begin now: the clock was set back."""
    for rate in device.kinds.values():
        if rate.since is not None and rate.since > now:
            rate.since = now


def _written(key: Key, clock: WindowClock, kinds: Sequence[tuple[str, LineRate]]) -> State:
    state: State = {json.dumps(key): _CLOCK.dump_python(clock, mode="json")}
    for kind, rate in kinds:
        state[json.dumps((*key, kind))] = _RATE.dump_python(rate, mode="json")
    return state
