"""Spreads: problems of one kind on several devices, each near another one. Pure.

Which spread an occurrence is of is decided once, when it begins, and its fact says it: the id of a
spread is made of its first occurrence, and stays when that is forgotten or another device comes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

from aiops_core.models import Severity
from aiops_core.policy.spread import SpreadRules
from correlation_service.problem import MERGED, KnownProblem

T = TypeVar("T")

SPOKEN = 3  # devices: the first two are always told


class SpreadPlace(NamedTuple):
    """Where something of *kind* happens, and when."""

    kind: str
    device: str
    at: datetime


class Begin(NamedTuple):
    """When the newest occurrence of a problem of that spread began."""

    at: datetime
    spread: str
    problem: str


@dataclass(slots=True)
class _Spread:
    """How many of its problems are on each device, and what was told of them: on how many devices
    it was then, and how severe."""

    devices: Counter[str] = field(default_factory=Counter)
    told: Counter[int] = field(default_factory=Counter)
    severities: Counter[Severity] = field(default_factory=Counter)

    def count(self, problem: KnownProblem, by: int) -> None:
        part = problem.part
        _count(self.devices, part.device, by)
        if part.told:
            _count(self.told, part.told, by)
            _count(self.severities, part.severity, by)


@dataclass(slots=True)
class _Kind:
    """Its problems in order of their beginnings; *lasting* are those that go on."""

    begins: list[Begin] = field(default_factory=list)
    lasting: list[Begin] = field(default_factory=list)
    spreads: dict[str, _Spread] = field(default_factory=dict)

    def near(self, at: datetime, rules: SpreadRules) -> Begin | None:
        """The newest beginning that what begins *at* that time is near to."""
        newest = _newest(self.begins, at + rules.within)
        if newest and newest.at >= at - rules.within:
            return newest
        return _newest(self.lasting, at)


class Spreads:
    """Problems by kind. Those that are part of another incident are left out."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}

    def file(self, problem: KnownProblem) -> None:
        if not _is_part(problem):
            return
        kind = self._kinds.setdefault(problem.part.kind, _Kind())
        for begins in _lists(kind, problem):
            insort(begins, _begin(problem))
        kind.spreads.setdefault(problem.part.spread, _Spread()).count(problem, 1)

    def unfile(self, problem: KnownProblem) -> None:
        """*problem* is as it was filed."""
        if not _is_part(problem):
            return
        kind, part = self._kinds[problem.part.kind], problem.part
        for begins in _lists(kind, problem):
            del begins[bisect_left(begins, _begin(problem))]
        kind.spreads[part.spread].count(problem, -1)
        if not kind.spreads[part.spread].devices:
            del kind.spreads[part.spread]
        if not kind.begins:
            del self._kinds[part.kind]

    def joined(self, place: SpreadPlace, rules: SpreadRules) -> str:
        """The spread that takes what begins there and then; empty: none."""
        kind = self._kinds.get(place.kind)
        newest = kind.near(place.at, rules) if kind else None
        return newest.spread if newest else ""

    def devices(self, problem: KnownProblem) -> int:
        """On how many devices the spread of *problem* is."""
        kind = self._kinds.get(problem.part.kind, _Kind())
        return len(kind.spreads.get(problem.part.spread, _Spread()).devices)

    def is_known(
        self, place: SpreadPlace, severity: Severity, rules: SpreadRules, grown: float
    ) -> bool:
        """Whether who was told of the spread that takes it hears nothing new by another device.

        It is new while the spread is small, when it has *grown* times the devices of what was told,
        when it is worse, and when it is long ago that another one began.
        """
        kind = self._kinds.get(place.kind)
        newest = kind.near(place.at, rules) if kind else None
        if kind is None or newest is None or newest.at < place.at - rules.within:
            return False
        spread = kind.spreads[newest.spread]
        devices = len(spread.devices) + 1
        if place.device in spread.devices or devices < max(rules.devices, SPOKEN):
            return False
        told, worst = max(spread.told, default=0), max(spread.severities, default=Severity.LOW)
        return severity <= worst and devices < grown * told


def _count(counter: Counter[T], value: T, by: int) -> None:
    counter[value] += by
    if not counter[value]:
        del counter[value]


def _is_part(problem: KnownProblem) -> bool:
    return bool(problem.part.spread) and problem.ending != MERGED


def _lists(kind: _Kind, problem: KnownProblem) -> list[list[Begin]]:
    return [kind.begins, kind.lasting] if problem.goes_on else [kind.begins]


def _begin(problem: KnownProblem) -> Begin:
    return Begin(problem.latest.began, problem.part.spread, problem.id)


def _newest(begins: list[Begin], until: datetime) -> Begin | None:
    """The last that began until then."""
    place = bisect_right(begins, until, key=lambda begin: begin.at)
    return begins[place - 1] if place else None
