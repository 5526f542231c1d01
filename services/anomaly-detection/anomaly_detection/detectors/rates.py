"""Counts of lines per device and kind in windows of event time: the machine of the rate detector.

A window of a device closes when a later line of the same device comes: a device that is silent, or a
log that is read in years afterwards, closes none, and whether the whole device fell silent is not
judged here.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Key, Snapshot, device_of
from anomaly_detection.detectors.lines import Heard
from anomaly_detection.detectors.pace import LONGEST, Change, Clock, Pace, What, fading
from anomaly_detection.layers import SCALE, TuningOf
from anomaly_detection.template_policy import Excess, Templates

KINDS = 256  # of one device
ERRORS, ERRORS_TEXT = "errors", "a line of level error or critical"  # the kind that is no group


@dataclass(slots=True)
class Device:
    clock: Clock = field(default_factory=Clock)
    kinds: dict[str, Pace] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)  # of kinds, until the window closes


_CLOCK, _PACE = TypeAdapter(Clock), TypeAdapter(Pace)


class Rates:
    """At most *most* clocks and paces; the device that was heard longest ago is forgotten."""

    def __init__(self, rules: Templates, tuning_of: TuningOf, most: int) -> None:
        self._rules, self._tuning_of, self._most = rules, tuning_of, most
        window = rules.rate.window
        self._seconds = window.total_seconds()
        self._longest = LONGEST * window
        self._eager = min(SCALE.values())
        self._fewest = self._eager * rules.rate.least
        self._keep = fading(window)
        self._devices: OrderedDict[Key, Device] = OrderedDict()
        self._size = 0

    def hear(self, entry: LogEntry, heard: Heard, bad: bool) -> Sequence[Change]:
        """Count the line for its group, and if it is *bad* for the errors of its device."""
        device = self._devices.get(heard.device) or self._device(heard.device)
        self._devices.move_to_end(heard.device)
        if entry.tracking_id == device.clock.last:
            return ()
        device.clock.last = entry.tracking_id
        over = device.clock.passed(int(heard.at // self._seconds))
        if over < 0:
            return ()
        changes = list(self._close(device, over, entry.ts)) if over else []
        pace = device.kinds.get(heard.group)
        if pace is None:
            pace = self._begin(device, heard.group, heard.template.text, entry.service)
        pace.count += 1
        if pace.count > self._fewest and pace.since is None:
            changes += self._spike(device, heard.group, pace, entry)
        if bad:
            changes += self._bad(device, entry)
        return changes

    def _bad(self, device: Device, entry: LogEntry) -> Sequence[Change]:
        pace = device.kinds.get(ERRORS) or self._begin(device, ERRORS, ERRORS_TEXT, entry.service)
        pace.count += 1
        return self._spike(device, ERRORS, pace, entry) if pace.since is None else ()

    def _spike(self, device: Device, kind: str, pace: Pace, entry: LogEntry) -> Sequence[Change]:
        """Whether this line is one too many, for a device that is known well enough."""
        limit = self._limit(device, kind, pace)
        if pace.count <= self._eager * limit:
            return ()
        tuning = self._tuning_of(entry.ship_id, entry.service, device_of(entry))
        warm = self._warm(device.clock.learned, tuning.warm_up)
        if pace.count <= tuning.scale * limit or not warm:
            return ()
        pace.since = entry.ts
        return [Change(What.SPIKE, kind, pace, entry.ts)]

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
                self._size += 1
            else:
                device.clock = _CLOCK.validate_python(known)

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
                self._size -= 1
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

    def _begin(self, device: Device, kind: str, text: str, service: str) -> Pace:
        pace = Pace(text, service)
        if len(device.kinds) < KINDS:
            device.kinds[kind] = pace
            self._size += 1
            self._shrink()
        return pace

    def _device(self, key: Key) -> Device:
        device = self._devices[key] = Device()
        self._size += 1
        self._shrink()
        return device

    def _shrink(self) -> None:
        while self._size > self._most and len(self._devices) > 1:
            _, oldest = self._devices.popitem(last=False)
            self._size -= 1 + len(oldest.kinds)


def _written(key: Key, clock: Clock, kinds: Sequence[tuple[str, Pace]]) -> Snapshot:
    state: Snapshot = {json.dumps(key): _CLOCK.dump_python(clock, mode="json")}
    for kind, pace in kinds:
        state[json.dumps((*key, kind))] = _PACE.dump_python(pace, mode="json")
    return state
