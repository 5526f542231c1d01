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
from anomaly_detection.detectors.lines import MinedLine
from anomaly_detection.detectors.pace import (
    LONGEST,
    Pace,
    PaceChange,
    What,
    WindowClock,
    fading,
)
from anomaly_detection.detectors.state import Key, State
from anomaly_detection.layers import SCALE, TuningOf
from anomaly_detection.policy_learned import Templates

KINDS = 256  # of one device
ERRORS, ERRORS_TEXT = "errors", "a line of level error or critical"  # a kind beside groups


@dataclass(slots=True)
class DevicePaces:
    clock: WindowClock = field(default_factory=WindowClock)
    kinds: dict[str, Pace] = field(default_factory=dict)
    size: int = 0  # as ``Rates`` counts it

    def copy(self) -> DevicePaces:
        clock = replace(self.clock, late=copy(self.clock.late))
        kinds = {kind: copy(pace) for kind, pace in self.kinds.items()}
        return DevicePaces(clock, kinds, size=self.size)


_CLOCK, _PACE = TypeAdapter(WindowClock), TypeAdapter(Pace)


class Rates:
    """At most *most* clocks and paces; the least recently heard device is evicted.

    Devices without a closed window go first: senders with ever new names evict each other.
    """

    def __init__(
        self,
        rules: Templates,
        tuning_of: TuningOf,
        most: int,
        finding_of: Callable[[PaceChange, LogEntry], Finding],
    ) -> None:
        self._rules, self._tuning_of, self._most = rules, tuning_of, most
        window = rules.rate.window
        self._seconds = window.total_seconds()
        self._longest = LONGEST * window
        self._eager = min(SCALE.values())
        self._fewest = self._eager * rules.rate.least
        self._keep = fading(window)
        self._finding_of = finding_of
        self._devices: OrderedDict[Key, DevicePaces] = OrderedDict()
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
        pace = device.kinds.get(mined.group)
        if pace is None or bad or pace.count >= self._fewest:
            return self._count_and_report(device, entry, mined, bad)
        pace.count += 1
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
        device: DevicePaces,
        entry: LogEntry,
        mined: MinedLine,
        bad: bool,
        before: Sequence[PaceChange] = (),
    ) -> Sequence[Finding]:
        kinds = [(mined.group, self._pace(device, mined.group, mined.template.text, entry.service))]
        if bad:
            kinds.append((ERRORS, self._pace(device, ERRORS, ERRORS_TEXT, entry.service)))
        for _, pace in kinds:
            pace.count += 1
        try:
            spikes = [
                PaceChange(What.SPIKE, kind, pace, entry.ts)
                for kind, pace in kinds
                if pace.since is None and self._too_many(device, kind, pace, entry)
            ]
            findings = [self._finding_of(change, entry) for change in (*before, *spikes)]
            self._measure(mined.device, device)
        except BaseException:
            for _, pace in kinds:
                pace.count -= 1
            raise
        for spike in spikes:
            spike.pace.since = entry.ts
        device.clock.last = entry.tracking_id
        return findings

    def _too_many(self, device: DevicePaces, kind: str, pace: Pace, entry: LogEntry) -> bool:
        """Whether this line exceeds the limit, on a device after its warm-up."""
        limit = pace.limit(self._rules.excess(kind == ERRORS))
        if pace.count <= self._eager * limit:
            return False
        tuning = self._tuning_of(entry.ship_id, entry.service, device_of(entry))
        warm = self._warm(device.clock.learned, tuning.warm_up)
        return warm and pace.count > tuning.scale * limit

    def _warm(self, windows: int, warm_up: timedelta | None = None) -> bool:
        return windows * self._rules.rate.window >= (warm_up or self._rules.rate.warm_up)

    def parts(self) -> Iterator[State]:
        """The state at this call, one device at a time: copied now, written when it is taken."""
        copies = [
            (key, copy(device.clock), [(kind, copy(pace)) for kind, pace in device.kinds.items()])
            for key, device in self._devices.items()
        ]
        return (_written(key, clock, kinds) for key, clock, kinds in copies)

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError for another kind of state."""
        for text, known in state.items():
            ship, name, *kind = json.loads(text)
            device = self._devices.get((ship, name)) or self._device((ship, name))
            if kind:
                device.kinds[kind[0]] = _PACE.validate_python(known)
            else:
                device.clock = _CLOCK.validate_python(known)
            self._measure((ship, name), device)

    def _close(self, device: DevicePaces, over: int, now: datetime) -> Iterator[PaceChange]:
        """Close the open window and *over* - 1 empty ones after it."""
        for kind, pace in list(device.kinds.items()):
            since = pace.since
            if what := self._judge(kind, pace, device.clock.learned, now):
                yield PaceChange(what, kind, pace, since or now)
            for n in range(1, over):
                self._silent(kind, pace, device.clock.learned + n)
            pace.count = 0
            if pace.forgotten:
                del device.kinds[kind]
        device.clock.learned += over

    def _judge(self, kind: str, pace: Pace, learned: int, now: datetime) -> What | None:
        """Judge the closed window; learn it unless it belongs to an alarm."""
        if pace.missing or self._missed(kind, pace, learned):
            return self._absent(pace, now)
        if pace.since is None:
            pace.learn(pace.count, learned, self._keep)
            return None
        if pace.count <= pace.limit(self._rules.excess(kind == ERRORS)):
            pace.since = None
            return What.SPIKE_OVER
        if now - pace.since > self._longest:  # this is how it is now
            pace.since, pace.highest = None, pace.count
        return None

    def _missed(self, kind: str, pace: Pace, learned: int) -> bool:
        """Whether an expected line is missing; the absence of errors is no anomaly."""
        judged = not pace.count and kind != ERRORS and self._warm(learned)
        return judged and pace.steady(self._rules.drop)

    def _absent(self, pace: Pace, now: datetime) -> What | None:
        """Add a window without a line of a steady pace, or end the alarm with the first line."""
        reported = pace.since is not None
        if pace.count or pace.missing > LONGEST:
            pace.missing, pace.since = 0, None
            return What.DROP_OVER if reported and pace.count else None
        pace.missing += 1
        if pace.missing == self._rules.drop.windows:
            pace.since = now
            return What.DROP
        return None

    def _silent(self, kind: str, pace: Pace, learned: int) -> None:
        """Learn a window in which the whole device was silent, except for steady paces."""
        alarm = pace.since is not None or pace.missing
        if not alarm and (kind == ERRORS or not pace.steady(self._rules.drop)):
            pace.learn(0, learned, self._keep)

    def _pace(self, device: DevicePaces, kind: str, text: str, service: str) -> Pace:
        """The pace of a *kind*; beyond ``KINDS`` of one device it is not stored."""
        pace = device.kinds.get(kind)
        if pace is None:
            pace = Pace(text, service)
            if len(device.kinds) < KINDS:
                device.kinds[kind] = pace
        return pace

    def _device(self, key: Key) -> DevicePaces:
        device = self._devices[key] = DevicePaces()
        self._measure(key, device)
        return device

    def _measure(self, key: Key, device: DevicePaces) -> None:
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


def _set_back(device: DevicePaces, now: datetime) -> None:
    """Alarms that began in the future begin now: the clock was set back."""
    for pace in device.kinds.values():
        if pace.since is not None and pace.since > now:
            pace.since = now


def _written(key: Key, clock: WindowClock, kinds: Sequence[tuple[str, Pace]]) -> State:
    state: State = {json.dumps(key): _CLOCK.dump_python(clock, mode="json")}
    for kind, pace in kinds:
        state[json.dumps((*key, kind))] = _PACE.dump_python(pace, mode="json")
    return state
