"""A normal day on board: log lines at a given rate and readings at a given interval.

Thresholds that normal readings respect and faults break: ``readings.LIMITS`` (metric, op, value,
unit, domain, severity), to be held for two readings in a row.

A *draft* is an event before it has its place in the order of all events: (offset, device, body,
truth).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from math import pi, sin
from random import Random
from typing import NamedTuple

from aiops_core.models import Device, Level
from aiops_lab.simulator.inventory import SimulatedShip
from aiops_lab.simulator.readings import COUNTED, GAUGES, LIMITS, Gauge
from aiops_lab.simulator.templates import (
    CHATTY,
    HARMLESS_ERRORS,
    HARMLESS_SHARE,
    NORMAL,
    LineTemplate,
    render,
)
from aiops_lab.simulator.truth import NOISE, Truth, TruthRole

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    service: str
    level: Level
    text: str
    pid: int


@dataclass(frozen=True, slots=True)
class SimulatedReading:
    metric: str
    value: float
    unit: str


class Draft(NamedTuple):
    """Something that happens at *offset* seconds; ``truth`` is None for what is normal."""

    offset: float
    device: Device
    body: SimulatedLine | SimulatedReading
    truth: Truth | None = None


@dataclass(frozen=True, slots=True)
class Excursion:
    """A fault moves one series to *peak* in *ramp* s, and back in *release* s after *end*."""

    device_id: str
    metric: str
    peak: float
    start: float
    end: float
    ramp: float
    release: float
    truth: Truth

    def weight(self, offset: float) -> float:
        """How far the series is on its way to the peak, 0..1."""
        if offset <= self.start or offset >= self.end + self.release:
            return 0.0
        rising = min(1.0, (offset - self.start) / self.ramp)
        falling = min(1.0, (self.end + self.release - offset) / self.release)
        return min(rising, falling)


def say(template: LineTemplate, rng: Random) -> SimulatedLine:
    """A line of this template; a program keeps its pid over a run (the kernel has none)."""
    pid = 0 if template.service == "kernel" else 300 + 7 * sum(template.service.encode())
    return SimulatedLine(template.service, template.level, render(template.text, rng), pid)


class _Talker(NamedTuple):
    """One device with what it may say and the running sum of how often it says each."""

    device: Device
    lines: tuple[LineTemplate, ...]
    sums: tuple[float, ...]


def _talkers(
    ship: SimulatedShip, wording: Mapping[str, tuple[LineTemplate, ...]]
) -> tuple[_Talker, ...]:
    return tuple(
        _Talker(device, lines, tuple(accumulate(line.weight for line in lines)))
        for device in ship.devices
        if (lines := wording.get(device.type, ()))
    )


def lines(
    ship: SimulatedShip, seed: int, rate: float, errors: float = HARMLESS_SHARE
) -> Iterator[Draft]:
    """Normal log lines for ever, *rate* per second in total, arriving at random (Poisson).

    *errors* is the share of harmless error lines among them.
    """
    if rate <= 0:
        return
    rng = Random(f"{seed}:lines")
    usual, harmless = _talkers(ship, NORMAL), _talkers(ship, HARMLESS_ERRORS)
    shares = tuple(accumulate(CHATTY.get(talker.device.type, 1.0) for talker in usual))
    offset = 0.0
    while True:
        offset += rng.expovariate(rate)
        if harmless and rng.random() < errors:
            yield _utter(offset, rng.choice(harmless), rng, NOISE)
        else:
            yield _utter(offset, rng.choices(usual, cum_weights=shares)[0], rng, None)


def _utter(offset: float, talker: _Talker, rng: Random, truth: Truth | None) -> Draft:
    template = rng.choices(talker.lines, cum_weights=talker.sums)[0]
    return Draft(offset, talker.device, say(template, rng), truth)


@dataclass(frozen=True, slots=True)
class _Series:
    """One metric of one device; *bias* is how this device differs from its sisters."""

    device: Device
    gauge: Gauge
    bias: float
    phase: float
    excursions: tuple[Excursion, ...]

    def normal(self, second_of_day: float, rng: Random) -> float:
        gauge = self.gauge
        noise = max(-3.0, min(3.0, rng.gauss(0.0, 1.0))) * gauge.noise
        # Least at 04:00, most at 16:00.
        swing = sin(2 * pi * (second_of_day / DAY - 10 / 24)) * gauge.swing
        return gauge.mean + self.bias + swing + noise

    def at(self, offset: float, normal: float) -> tuple[float, Truth | None]:
        """The reading, moved by the strongest excursion if there is one."""
        strongest = max(self.excursions, key=lambda e: e.weight(offset), default=None)
        weight = strongest.weight(offset) if strongest else 0.0
        if strongest is None or weight == 0.0:
            return normal, None
        value = normal + weight * (strongest.peak - normal)
        return value, _judged(self.gauge.metric, value, strongest.truth)


def _judged(metric: str, value: float, truth: Truth) -> Truth:
    """Inside its limit, a moved reading is only a drift."""
    broken = LIMITS[metric].broken_by(value)
    return truth if broken else Truth(TruthRole.DRIFT, truth.episode, truth.root)


def readings(
    ship: SimulatedShip,
    seed: int,
    interval: float,
    hour: float,
    excursions: Sequence[Excursion] = (),
) -> Iterator[Draft]:
    """Readings for ever: each series every *interval* s, from *hour* o'clock on."""
    if interval <= 0:
        return
    series = _all_series(ship, seed, interval, excursions)
    rng = Random(f"{seed}:readings")
    for tick in count():
        for one in series:
            offset = tick * interval + one.phase
            normal = one.normal(hour * 3600 + offset, rng)
            value, truth = one.at(offset, normal)
            yield Draft(offset, one.device, _reading(one.gauge.metric, value), truth)


def _reading(metric: str, value: float) -> SimulatedReading:
    unit = LIMITS[metric].unit
    return SimulatedReading(
        metric, float(round(value)) if unit in COUNTED else round(value, 3), unit
    )


def _all_series(
    ship: SimulatedShip, seed: int, interval: float, excursions: Sequence[Excursion]
) -> list[_Series]:
    """Every series of the ship in the order in which they are read within one interval."""
    found = [
        _series(device, gauge, Random(f"{seed}:{device.id}:{gauge.metric}"), interval, excursions)
        for device in ship.devices
        for gauge in GAUGES.get(device.type, ())
    ]
    return sorted(found, key=lambda one: one.phase)


def _series(
    device: Device, gauge: Gauge, rng: Random, interval: float, excursions: Sequence[Excursion]
) -> _Series:
    mine = tuple(e for e in excursions if (e.device_id, e.metric) == (device.id, gauge.metric))
    bias = rng.uniform(-gauge.spread, gauge.spread)
    return _Series(device, gauge, bias, rng.uniform(0, interval), mine)
