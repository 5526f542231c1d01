"""Spreads: problems of one kind on several devices, each near another one. Pure.

Which spread an occurrence is of is decided once, when it begins, and its fact says it: the id of a
spread is made of its first occurrence, and stays when that is forgotten or another device comes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Severity
from aiops_core.policy.spread import SpreadRules
from correlation_service.problem import MERGED, RESOLVED, KnownProblem

SPOKEN = 3  # devices: the first two are always told

Parts = dict[str, KnownProblem]  # of one spread, by their ids


class SpreadPlace(NamedTuple):
    """Where something of *kind* happens, and when; of an attack, who does it."""

    kind: str
    device: str
    at: datetime
    peer: str = ""


class Begin(NamedTuple):
    """When the newest occurrence of a problem of that spread began."""

    at: datetime
    spread: str
    problem: str


@dataclass(slots=True)
class _Kind:
    """Its problems in order of their beginnings; *lasting* are those that go on."""

    begins: list[Begin] = field(default_factory=list)
    lasting: list[Begin] = field(default_factory=list)
    spreads: dict[str, Parts] = field(default_factory=dict)

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
        kind.spreads.setdefault(problem.part.spread, {})[problem.id] = problem

    def unfile(self, problem: KnownProblem) -> None:
        """*problem* is as it was filed."""
        if not _is_part(problem):
            return
        kind, part = self._kinds[problem.part.kind], problem.part
        for begins in _lists(kind, problem):
            del begins[bisect_left(begins, _begin(problem))]
        del kind.spreads[part.spread][problem.id]
        if not kind.spreads[part.spread]:
            del kind.spreads[part.spread]
        if not kind.begins:
            del self._kinds[part.kind]

    def joined(self, place: SpreadPlace, rules: SpreadRules) -> str:
        """The spread that takes what begins there and then; empty: none."""
        kind = self._kinds.get(place.kind)
        newest = kind.near(place.at, rules) if kind else None
        return newest.spread if newest else ""

    def devices(self, problem: KnownProblem, rules: SpreadRules) -> int:
        """On how many devices the spread of *problem* was when that began."""
        kind = self._kinds.get(problem.part.kind, _Kind())
        parts = kind.spreads.get(problem.part.spread, {})
        return len(_devices(_present(parts, problem.latest.began, rules)))

    def is_known(
        self, place: SpreadPlace, severity: Severity, rules: SpreadRules, grown: float
    ) -> bool:
        """Whether who was told of the spread that takes it hears nothing new by another device.

        Only those count that go on or began near it. It is new while they are few, when all that
        was told of them is mended or is by another attacker, when they are *grown* times as many
        devices as was told, when it is worse, and when it is long ago that a device joined them.
        """
        kind = self._kinds.get(place.kind)
        newest = kind.near(place.at, rules) if kind else None
        if kind is None or newest is None:
            return False
        parts = kind.spreads[newest.spread]
        present = _present(parts, place.at, rules)
        told = [one for one in present if one.part.told and one.part.peer == place.peer]
        before = len(_devices(present))
        if all(map(_is_mended, told)) or before + 1 < max(rules.devices, SPOKEN):
            return False
        if place.device in _devices(parts.values()) or not _has_grown(present, place.at, rules):
            return False
        worst, most = max(one.part.severity for one in told), max(one.part.told for one in told)
        return severity <= worst and before + 1 < grown * min(most, before)


def _present(parts: Parts, at: datetime, rules: SpreadRules) -> list[KnownProblem]:
    """Those that go on, or began near that time: not what was mended weeks before."""
    return [one for one in parts.values() if one.goes_on or _began_near(one, at, rules)]


def _began_near(problem: KnownProblem, at: datetime, rules: SpreadRules) -> bool:
    return abs(problem.latest.began - at) <= rules.within


def _has_grown(present: Iterable[KnownProblem], at: datetime, rules: SpreadRules) -> bool:
    """Whether one began near that time that does not come again and again."""
    return any(_began_near(one, at, rules) and not one.is_chronic for one in present)


def _is_mended(problem: KnownProblem) -> bool:
    """Whether nobody reckons with it any more; an event does not say that it is over."""
    return not problem.is_open and (problem.part.lasts or problem.ending == RESOLVED)


def _devices(problems: Iterable[KnownProblem]) -> set[str]:
    return {one.part.device for one in problems}


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
