"""Counts of lines per device and kind in windows of event time: the machine of the rate detector.

A window of a device closes when a later line of the same device comes: a device that is silent, or a
log that is read in years afterwards, closes none, and whether the whole device fell silent is not
judged here.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Key, Snapshot, device_of
from anomaly_detection.detectors.lines import Heard
from anomaly_detection.detectors.pace import LONGEST, Change, Clock, Pace, What, fading
from anomaly_detection.layers import SCALE, TuningOf
from anomaly_detection.template_policy import Excess, Templates

F = TypeVar("F")

KINDS = 256  # of one device
ERRORS, ERRORS_TEXT = "errors", "a line of level error or critical"  # the kind that is no group


@dataclass(slots=True)
class Device:
    clock: Clock = field(default_factory=Clock)
    kinds: dict[str, Pace] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)  # of kinds, until the window closes
    size: int = 0  # as ``Rates`` counts it

    def copy(self) -> Device:
        clock = replace(self.clock, late=copy(self.clock.late))
        kinds = {kind: copy(pace) for kind, pace in self.kinds.items()}
        return Device(clock, kinds, size=self.size)


_CLOCK, _PACE = TypeAdapter(Clock), TypeAdapter(Pace)


class Rates(Generic[F]):
    """At most *most* clocks and paces; the device that was heard longest ago is forgotten, first of
    those of which no window was learned: under ever new names a stranger pushes out only such."""

    def __init__(
        self,
        rules: Templates,
        tuning_of: TuningOf,
        most: int,
        tell: Callable[[Change, LogEntry], F],
    ) -> None:
        self._rules, self._tuning_of, self._most = rules, tuning_of, most
        window = rules.rate.window
        self._seconds = window.total_seconds()
        self._longest = LONGEST * window
        self._eager = min(SCALE.values())
        self._fewest = self._eager * rules.rate.least
        self._keep = fading(window)
        self._tell = tell
        self._devices: OrderedDict[Key, Device] = OrderedDict()
        self._unlearned: OrderedDict[Key, None] = OrderedDict()
        self._size = 0

    def hear(self, entry: LogEntry, heard: Heard, bad: bool) -> Sequence[F]:
        """Count the line for its group, and if it is *bad* for the errors of its device: wholly, or,
        when anything raises, not at all."""
        device = self._devices.get(heard.device) or self._device(heard.device)
        self._devices.move_to_end(heard.device)
        if entry.tracking_id == device.clock.last:
            return ()
        window = int(heard.at // self._seconds)
        if device.clock.window is None:
            device.clock.window = window
        if window != device.clock.window:
            return self._in_other_window(window, entry, heard, bad)
        pace = device.kinds.get(heard.group)
        if pace is None or bad or pace.count >= self._fewest:
            return self._count_and_tell(device, entry, heard, bad)
        pace.count += 1
        device.clock.last = entry.tracking_id
        return ()

    def _in_other_window(
        self, window: int, entry: LogEntry, heard: Heard, bad: bool
    ) -> Sequence[F]:
        """Close the open window on a copy of the device, which counts when all is done."""
        before = self._devices[heard.device]
        device = before.copy()
        over = device.clock.passed(window, heard.at)
        if over < 0:
            before.clock.late, before.clock.last = device.clock.late, entry.tracking_id
            return ()
        if before.clock.window is not None and window < before.clock.window:
            _set_back(device, entry.ts)
        changes = list(self._close(device, over, entry.ts)) if over else []
        told = self._count_and_tell(device, entry, heard, bad, changes)
        self._devices[heard.device] = device
        return told

    def _count_and_tell(
        self,
        device: Device,
        entry: LogEntry,
        heard: Heard,
        bad: bool,
        before: Sequence[Change] = (),
    ) -> Sequence[F]:
        kinds = [(heard.group, self._pace(device, heard.group, heard.template.text, entry.service))]
        if bad:
            kinds.append((ERRORS, self._pace(device, ERRORS, ERRORS_TEXT, entry.service)))
        for _, pace in kinds:
            pace.count += 1
        try:
            spikes = [
                Change(What.SPIKE, kind, pace, entry.ts)
                for kind, pace in kinds
                if pace.since is None and self._too_many(device, kind, pace, entry)
            ]
            told = [self._tell(change, entry) for change in (*before, *spikes)]
            self._measure(heard.device, device)
        except BaseException:
            for _, pace in kinds:
                pace.count -= 1
            raise
        for spike in spikes:
            spike.pace.since = entry.ts
        device.clock.last = entry.tracking_id
        return told

    def _too_many(self, device: Device, kind: str, pace: Pace, entry: LogEntry) -> bool:
        """Whether this line is one too many, for a device that is known well enough."""
        limit = self._limit(device, kind, pace)
        if pace.count <= self._eager * limit:
            return False
        tuning = self._tuning_of(entry.ship_id, entry.service, device_of(entry))
        warm = self._warm(device.clock.learned, tuning.warm_up)
        return warm and pace.count > tuning.scale * limit

    def _limit(self, device: Device, kind: str, pace: Pace) -> float:
        """What the open window may hold; it follows from the closed ones."""
        if kind not in device.limits:
            device.limits[kind] = pace.limit(self._rule(kind))
        return device.limits[kind]

    def _warm(self, windows: int, warm_up: timedelta | None = None) -> bool:
        return windows * self._rules.rate.window >= (warm_up or self._rules.rate.warm_up)

    def _rule(self, kind: str) -> Excess:
        return self._rules.errors if kind == ERRORS else self._rules.rate

    def image(self) -> Iterator[Snapshot]:
        """What is known now, one device at a time: copied at once, written out when it is taken."""
        held = [
            (key, copy(device.clock), [(kind, copy(pace)) for kind, pace in device.kinds.items()])
            for key, device in self._devices.items()
        ]
        return (_written(key, clock, kinds) for key, clock, kinds in held)

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Raises pydantic's ValidationError when *state* is of another kind."""
        for text, known in state.items():
            ship, name, *kind = json.loads(text)
            device = self._devices.get((ship, name)) or self._device((ship, name))
            device.limits.clear()
            if kind:
                device.kinds[kind[0]] = _PACE.validate_python(known)
            else:
                device.clock = _CLOCK.validate_python(known)
            self._measure((ship, name), device)

    def _close(self, device: Device, over: int, now: datetime) -> Iterator[Change]:
        """The open window is over, and *over* - 1 more in which the device said nothing."""
        for kind, pace in list(device.kinds.items()):
            since = pace.since
            if what := self._judge(kind, pace, device.clock.learned, now):
                yield Change(what, kind, pace, since or now)
            for n in range(1, over):
                self._silent(kind, pace, device.clock.learned + n)
            pace.count = 0
            if pace.forgotten:
                del device.kinds[kind]
        device.clock.learned += over
        device.limits.clear()

    def _judge(self, kind: str, pace: Pace, learned: int, now: datetime) -> What | None:
        """What the closed window shows; it is learned unless it belongs to an episode."""
        if pace.missing or self._missed(kind, pace, learned):
            return self._absent(pace, now)
        if pace.since is None:
            pace.learn(pace.count, learned, self._keep)
            return None
        if pace.count <= pace.limit(self._rule(kind)):
            pace.since = None
            return What.SPIKE_OVER
        if now - pace.since > self._longest:  # this is how it is now
            pace.since, pace.highest = None, pace.count
        return None

    def _missed(self, kind: str, pace: Pace, learned: int) -> bool:
        """No line in a window where one was sure to come; that errors stay away is no loss."""
        judged = not pace.count and kind != ERRORS and self._warm(learned)
        return judged and pace.steady(self._rules.drop)

    def _absent(self, pace: Pace, now: datetime) -> What | None:
        """One more window without a line of a steady pace, or the first one with some again."""
        told = pace.since is not None
        if pace.count or pace.missing > LONGEST:
            pace.missing, pace.since = 0, None
            return What.DROP_OVER if told and pace.count else None
        pace.missing += 1
        if pace.missing == self._rules.drop.windows:
            pace.since = now
            return What.DROP
        return None

    def _silent(self, kind: str, pace: Pace, learned: int) -> None:
        """A window in which the whole device said nothing tells nothing about what is steady."""
        episode = pace.since is not None or pace.missing
        if not episode and (kind == ERRORS or not pace.steady(self._rules.drop)):
            pace.learn(0, learned, self._keep)

    def _pace(self, device: Device, kind: str, text: str, service: str) -> Pace:
        """The pace of a *kind*; of more than ``KINDS`` of one device the newest are not remembered."""
        pace = device.kinds.get(kind)
        if pace is None:
            pace = Pace(text, service)
            if len(device.kinds) < KINDS:
                device.kinds[kind] = pace
        return pace

    def _device(self, key: Key) -> Device:
        device = self._devices[key] = Device()
        self._measure(key, device)
        return device

    def _measure(self, key: Key, device: Device) -> None:
        """Count what *device* holds now, and forget others when all together is too much."""
        size = 1 + len(device.kinds)
        grown = size - device.size
        while self._size + grown > self._most and len(self._devices) > 1:
            self._forget_other_than(key)
        self._size += grown
        device.size = size
        if device.clock.learned:
            self._unlearned.pop(key, None)
        else:
            self._unlearned[key] = None

    def _forget_other_than(self, key: Key) -> None:
        strangers = (k for k in self._unlearned if k != key)
        oldest = next(strangers, None) or next(k for k in self._devices if k != key)
        self._unlearned.pop(oldest, None)
        self._size -= self._devices.pop(oldest).size


def _set_back(device: Device, now: datetime) -> None:
    """What went on before the clock was set back goes on since then."""
    for pace in device.kinds.values():
        if pace.since is not None and pace.since > now:
            pace.since = now


def _written(key: Key, clock: Clock, kinds: Sequence[tuple[str, Pace]]) -> Snapshot:
    state: Snapshot = {json.dumps(key): _CLOCK.dump_python(clock, mode="json")}
    for kind, pace in kinds:
        state[json.dumps((*key, kind))] = _PACE.dump_python(pace, mode="json")
    return state
