"""From a fault of ``faults.yaml``, which explains its keys, to its events on one ship.

A fault shows first on its root device, then on the dependants that notice it, 0.5 to 2.5 s later
for each hop (10 s at most), and goes away in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as validated

from aiops_core.models import Device, Domain, Severity
from aiops_lab.simulator.inventory import SimulatedShip
from aiops_lab.simulator.templates import STRAY, LineTemplate, data_file, templates
from aiops_lab.simulator.traffic import Draft, Excursion, SimulatedLine, say
from aiops_lab.simulator.truth import NOISE, InjectedFault, Truth, TruthRole

LONGEST_DELAY = 10.0  # s until the last dependant notices
RELEASE = 3.0  # s until readings are normal again after a fault
STRAYS_PER_SECOND = 0.5
NOISE_DURATION = 120.0  # s
ANY = "*"  # types of dependants that are not named

Number = int | float  # as written: 16 stays 16
Lines = Annotated[tuple[LineTemplate, ...], BeforeValidator(templates)]
_STRICT = ConfigDict(extra="forbid")


@validated(frozen=True, slots=True, config=_STRICT)
class Effect:
    """What a fault does to one device."""

    opening: Lines = ()
    worse: Lines = ()
    ongoing: Lines = ()
    recovery: Lines = ()
    peaks: Mapping[str, Number] = field(default_factory=dict)
    every: Number = 2.5
    worse_at: Number = 0.5


@validated(frozen=True, slots=True, config=_STRICT)
class FaultSpec:
    """A fault by name; *device* is its root by default, *roots* are the types that can have it."""

    name: str
    title: str
    domain: Domain
    severity: Severity
    device: str
    roots: frozenset[str]
    duration: Number
    root: Effect
    downstream: Mapping[str, Effect] = field(default_factory=dict)
    ramp: Number = 0.1
    dark: bool = False
    cycles: int = 1


def _load(faults: Mapping[str, Mapping[str, Any]]) -> dict[str, FaultSpec]:
    parse = TypeAdapter(FaultSpec).validate_python
    return {name: parse({"name": name, **fields}) for name, fields in faults.items()}


FAULTS: Mapping[str, FaultSpec] = _load(data_file("faults.yaml")["faults"])


@dataclass(frozen=True, slots=True)
class Unfolded:
    """One episode with everything that it causes."""

    episode: InjectedFault
    drafts: tuple[Draft, ...]
    excursions: tuple[Excursion, ...]
    dark: bool

    def silences(self, draft: Draft) -> bool:
        """Whether the device of a normal *draft* says nothing at that time."""
        episode = self.episode
        return (
            self.dark
            and draft.device.id == episode.root_device
            and episode.start <= draft.offset < episode.healed
        )


def fault_named(name: str) -> FaultSpec:
    try:
        return FAULTS[name]
    except KeyError:
        raise LookupError(f"no fault {name!r}; there are {', '.join(FAULTS)}") from None


def root_of(fault: FaultSpec, ship: SimulatedShip, device_id: str | None) -> Device:
    """The device that the fault hits; refuses one of a type that cannot have it."""
    device = ship[device_id or fault.device]
    if device.type not in fault.roots:
        kinds = ", ".join(sorted(fault.roots))
        raise ValueError(
            f"{fault.name} cannot happen to {device.id} ({device.type}), only to {kinds}"
        )
    return device


@dataclass(frozen=True, slots=True)
class _Happening:
    """One fault at one time on one root: what the helpers below share."""

    id: str
    fault: FaultSpec
    root: Device
    at: float
    duration: float

    @property
    def healed(self) -> float:
        return self.at + self.duration

    def truth(self, role: TruthRole) -> Truth:
        return Truth(role, self.id, self.root.id)

    def role_of(self, device: Device) -> TruthRole:
        return TruthRole.CAUSE if device.id == self.root.id else TruthRole.SYMPTOM

    def bouts(self) -> Iterator[tuple[float, float]]:
        """From when to when it is bad: once, or in several bouts with pauses as long as these."""
        length = self.duration / (2 * self.fault.cycles - 1)
        for cycle in range(self.fault.cycles):
            start = self.at + 2 * cycle * length
            yield start, start + length


def unfold(
    id_: str,
    fault: FaultSpec,
    ship: SimulatedShip,
    root: Device,
    at: float,
    duration: float | None,
    rng: Random,
    until: float = inf,
) -> Unfolded:
    """What *fault* causes before *until* when it hits *root* at offset *at*."""
    happening = _Happening(id_, fault, root, at, duration or fault.duration)
    drafts: list[Draft] = []
    excursions: list[Excursion] = []
    for device, hops, effect in _touched(happening, ship):
        told = list(_tell(happening, device, hops, effect, rng))
        drafts += told
        excursions += _excursions(happening, device, effect, min(d.offset for d in told))
    drafts.sort(key=lambda draft: draft.offset)
    last = max(*(d.offset for d in drafts), *(e.end + e.release for e in excursions))
    kept = tuple(draft for draft in drafts if draft.offset < until)
    affected = dict.fromkeys((root.id, *(draft.device.id for draft in kept)))
    episode = InjectedFault(
        id=id_,
        fault=fault.name,
        title=f"{fault.title} ({root.id})",
        root_device=root.id,
        affected=tuple(affected),
        start=at,
        healed=min(happening.healed, until),
        end=min(last, until),
        domain=fault.domain,
        severity=fault.severity,
        lines=len(kept),
    )
    return Unfolded(episode, kept, tuple(excursions), fault.dark)


def _touched(happening: _Happening, ship: SimulatedShip) -> Iterator[tuple[Device, int, Effect]]:
    yield happening.root, 0, happening.fault.root
    for device_id, hops in ship.below(happening.root.id).items():
        effect = _effect_on(ship[device_id], happening.fault)
        if effect:
            yield ship[device_id], hops, effect


def _effect_on(device: Device, fault: FaultSpec) -> Effect | None:
    return fault.downstream.get(device.type) or fault.downstream.get(ANY)


def _delay(hops: int, rng: Random, longest: float) -> float:
    return min(sum(rng.uniform(0.5, 2.5) for _ in range(hops)), longest)


def _tell(
    happening: _Happening, device: Device, hops: int, effect: Effect, rng: Random
) -> Iterator[Draft]:
    """All lines of one device, bout by bout."""
    bad, good = happening.truth(happening.role_of(device)), happening.truth(TruthRole.RECOVERY)
    for start, end in happening.bouts():
        longest = min(LONGEST_DELAY, 0.6 * (end - start))
        onset = start + _delay(hops, rng, longest)
        for offset, line in _complaints(effect, onset, start, end, rng):
            yield Draft(offset, device, line, bad)
        back = end + rng.uniform(0.3, 1.2) + _delay(hops, rng, longest)
        for offset, line in _in_turn(effect.recovery, back, rng):
            yield Draft(offset, device, line, good)


def _complaints(
    effect: Effect, onset: float, start: float, end: float, rng: Random
) -> Iterator[tuple[float, SimulatedLine]]:
    yield from _in_turn(effect.opening, onset, rng)
    yield from _in_turn(effect.worse, max(onset, start + effect.worse_at * (end - start)), rng)
    if not effect.ongoing:
        return
    if not effect.opening:
        yield onset, say(effect.ongoing[0], rng)
    offset = onset + rng.expovariate(1 / effect.every)
    while offset < end:
        yield offset, say(rng.choice(effect.ongoing), rng)
        offset += rng.expovariate(1 / effect.every)


def _in_turn(
    wording: tuple[LineTemplate, ...], offset: float, rng: Random
) -> Iterator[tuple[float, SimulatedLine]]:
    """Each line once, a moment after the one before."""
    for template in wording:
        yield offset, say(template, rng)
        offset += rng.uniform(0.2, 0.8)


def _excursions(
    happening: _Happening, device: Device, effect: Effect, onset: float
) -> Iterator[Excursion]:
    ramp = happening.fault.ramp * happening.duration
    truth = happening.truth(happening.role_of(device))
    for metric, peak in effect.peaks.items():
        yield Excursion(device.id, metric, peak, onset, happening.healed, ramp, RELEASE, truth)


def stray_errors(
    ship: SimulatedShip, at: float, duration: float | None, rng: Random
) -> Iterator[Draft]:
    """The pseudo fault ``noise``: error lines here and there, each of them alone."""
    offset, end = at, at + (duration or NOISE_DURATION)
    while (offset := offset + rng.expovariate(STRAYS_PER_SECOND)) < end:
        yield Draft(offset, rng.choice(ship.devices), say(rng.choice(STRAY), rng), NOISE)
