"""A run of the ship: normal traffic and faults in one ordered stream of events, with truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import merge
from itertools import chain, takewhile
from operator import attrgetter
from random import Random

from aiops_core.models import Device
from aiops_lab.simulator import traffic
from aiops_lab.simulator.faults import (
    FAULTS,
    NOISE_DURATION,
    Unfolded,
    fault_named,
    root_of,
    stray_errors,
    unfold,
)
from aiops_lab.simulator.inventory import SHIP, SimulatedShip
from aiops_lab.simulator.templates import HARMLESS_SHARE
from aiops_lab.simulator.traffic import Draft, SimulatedLine, SimulatedReading
from aiops_lab.simulator.truth import InjectedFault, Truth

COMBINED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "two_at_once": (("switch_down", "sw-eng-01"), ("disk_full", "srv-file-01")),
}
STRAYS = "noise"
NAMES = (*FAULTS, *COMBINED, STRAYS)  # what an Injection may be called
FIRST_FAULT = 5.0  # s
AFTERMATH = 25.0  # s kept after a scenario's only fault


@dataclass(frozen=True, slots=True)
class Event:
    """One log line or reading *offset* s after the start; ``truth`` is None if normal."""

    sequence: int
    offset: float
    device: Device
    body: SimulatedLine | SimulatedReading
    truth: Truth | None = None


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault at an offset; the device and the duration (s) default to the fault's own.

    Of a combined fault *device* names all roots, joined by ``+``.
    """

    fault: str
    at: float
    device: str | None = None
    duration: float | None = None


def length_of(name: str) -> float:
    """How long a fault lasts, s."""
    if name == STRAYS:
        return NOISE_DURATION
    return max(fault_named(part).duration for part, _ in COMBINED.get(name, ((name, ""),)))


def split(injection: Injection, ship: SimulatedShip) -> tuple[Injection, ...]:
    """The single faults of a combined one; they must hit independent branches."""
    parts = COMBINED.get(injection.fault)
    if parts is None:
        return (injection,)
    roots = injection.device.split("+") if injection.device else [root for _, root in parts]
    if len(roots) != len(parts):
        raise ValueError(f"{injection.fault} needs {len(parts)} devices joined by +")
    if not ship.independent(*roots):
        raise ValueError(f"{' and '.join(roots)} are not independent of each other")
    return tuple(
        replace(injection, fault=name, device=root)
        for (name, _), root in zip(parts, roots, strict=True)
    )


@dataclass(frozen=True)
class Scenario:
    """What happens in *duration* seconds from *hour* o'clock on.

    *rate*: normal log lines per second, the faults' lines come on top. *interval*: s between two
    readings of one series (0: no readings). *harmless*: share of error lines that mean
    nothing. Iterating gives the events; the same fields, the same events.
    """

    duration: float
    injections: tuple[Injection, ...] = ()
    seed: int = 1
    rate: float = 50.0
    interval: float = 5.0
    hour: float = 10.0
    harmless: float = HARMLESS_SHARE
    name: str = "custom"
    ship: SimulatedShip = field(default_factory=lambda: SHIP)

    @cached_property
    def _unfolded(self) -> tuple[Unfolded, ...]:
        singles = [one for injection in self.injections for one in split(injection, self.ship)]
        faults = [one for one in singles if one.fault != STRAYS and one.at < self.duration]
        return tuple(self._unfold(number, one) for number, one in enumerate(faults, start=1))

    def _unfold(self, number: int, injection: Injection) -> Unfolded:
        fault = fault_named(injection.fault)
        root = root_of(fault, self.ship, injection.device)
        rng = Random(f"{self.seed}:fault:{number}:{fault.name}")
        id_ = f"{number:02d}-{fault.name}-{root.id}"
        return unfold(
            id_, fault, self.ship, root, injection.at, injection.duration, rng, self.duration
        )

    @property
    def episodes(self) -> tuple[InjectedFault, ...]:
        """Ground truth: the faults of this run, in the order of their definition."""
        return tuple(one.episode for one in self._unfolded)

    def _noise(self) -> Iterator[Draft]:
        """All unrelated errors that were asked for."""
        asked = [injection for injection in self.injections if injection.fault == STRAYS]
        rng = Random(f"{self.seed}:noise")
        return merge(
            *(stray_errors(self.ship, one.at, one.duration, rng) for one in asked),
            key=attrgetter("offset"),
        )

    def _drafts(self) -> Iterator[Draft]:
        faults = sorted(
            chain.from_iterable(one.drafts for one in self._unfolded), key=attrgetter("offset")
        )
        moved = [excursion for one in self._unfolded for excursion in one.excursions]
        lines = traffic.lines(self.ship, self.seed, self.rate, self.harmless)
        if dark := [one for one in self._unfolded if one.dark]:
            lines = (draft for draft in lines if not any(one.silences(draft) for one in dark))
        readings = traffic.readings(self.ship, self.seed, self.interval, self.hour, moved)
        return merge(faults, self._noise(), lines, readings, key=attrgetter("offset"))

    def __iter__(self) -> Iterator[Event]:
        inside = takewhile(lambda draft: draft.offset < self.duration, self._drafts())
        for sequence, draft in enumerate(inside):
            yield Event(sequence, *draft)


@dataclass(frozen=True, slots=True)
class Outline:
    """A scenario by name."""

    title: str
    duration: float
    injections: tuple[Injection, ...] = ()


_DEMO = (
    Injection("rain_fade", 5),
    Injection("credential_attack", 16),
    Injection("disk_full", 28),
    Injection("switch_down", 39),
    Injection("modem_reboot", 50, "lband-01"),
    Injection("database_overload", 60),
    Injection("two_at_once", 72, duration=14),
)
_OVERLAP = (
    Injection("rain_fade", 5, duration=60),
    Injection("switch_down", 15, "sw-core-02", 45),
    Injection("database_overload", 20, duration=45),
    Injection("flapping", 25, duration=60),
    Injection("credential_attack", 40, duration=30),
    Injection("disk_full", 45, "srv-file-01", 40),
    Injection("noise", 0, duration=120),
)


_TITLES = {
    "two_at_once": "An engine switch and a file server fail at the same moment",
    STRAYS: "Unrelated error lines that belong to no fault",
}


def _alone(name: str) -> Outline:
    title = FAULTS[name].title if name in FAULTS else _TITLES[name]
    return Outline(
        title, FIRST_FAULT + length_of(name) + AFTERMATH, (Injection(name, FIRST_FAULT),)
    )


SCENARIOS: Mapping[str, Outline] = {
    "demo": Outline("six faults one after the other, then two at once", 96, _DEMO),
    "quiet": Outline("a normal day, no fault", 300),
    "cascade": Outline(
        "the core switch fails and takes the hotel with it",
        75,
        (Injection("switch_down", FIRST_FAULT, "sw-core-01", 40),),
    ),
    "overlap": Outline("six faults on top of each other, with unrelated errors", 130, _OVERLAP),
    **{name: _alone(name) for name in NAMES},
}


def named(
    name: str, *, seed: int = 1, rate: float = 50.0, duration: float | None = None
) -> Scenario:
    """A scenario of ``SCENARIOS``; *duration* cuts or prolongs it."""
    try:
        outline = SCENARIOS[name]
    except KeyError:
        raise LookupError(f"no scenario {name!r}; there are {', '.join(SCENARIOS)}") from None
    return Scenario(
        duration or outline.duration, outline.injections, seed=seed, rate=rate, name=name
    )
