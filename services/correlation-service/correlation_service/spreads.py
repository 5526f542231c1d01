"""Spreads: problems of one kind on several devices, each near another one. Pure.

Which spread an occurrence is of is decided once, when it begins, and its fact says it: the id of a
spread is that of its first occurrence, and stays when that is forgotten or another device comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Severity
from aiops_core.policy.spread import SpreadRules
from correlation_service.problem import KnownProblem


class Place(NamedTuple):
    """Where something of *kind* happens, and when."""

    kind: str
    device: str
    at: datetime


class Spreads:
    """Problems by kind; those that are part of another incident are left out."""

    def __init__(self) -> None:
        self._of_kind: dict[str, dict[str, KnownProblem]] = {}

    def file(self, problem: KnownProblem) -> None:
        if problem.part.spread:
            self._of_kind.setdefault(problem.part.kind, {})[problem.id] = problem

    def unfile(self, problem: KnownProblem) -> None:
        """Nothing, if it is not known."""
        kin = self._of_kind.get(problem.part.kind, {})
        if kin.pop(problem.id, None) and not kin:
            del self._of_kind[problem.part.kind]

    def joined(self, place: Place, rules: SpreadRules) -> str:
        """The spread that takes what begins there and then; of several the newest, empty without
        any."""
        near = (one for one in self._kin(place.kind) if _is_near(one, place.at, rules))
        newest = max(near, key=lambda one: (one.latest.began, one.part.spread), default=None)
        return newest.part.spread if newest else ""

    def devices(self, problem: KnownProblem) -> int:
        """On how many devices the spread of *problem* is."""
        return len(self._devices(problem.part.kind, problem.part.spread))

    def is_known(self, place: Place, severity: Severity, rules: SpreadRules, grown: float) -> bool:
        """Whether who was told of the spread that takes it hears nothing new by another device.

        It is new while the spread is small, when it has *grown* times the devices of what was told,
        when it is worse, and when it is long ago that another one began.
        """
        spread = self.joined(place, rules)
        parts = [one for one in self._kin(place.kind) if one.part.spread == spread]
        devices = {one.part.device for one in parts}
        if place.device in devices or len(devices) + 1 < max(rules.devices, 3):
            return False
        told = max(one.part.told for one in parts)
        worst = max((one.part.severity for one in parts if one.part.told), default=Severity.LOW)
        recent = any(abs(place.at - one.latest.began) <= rules.within for one in parts)
        return recent and severity <= worst and len(devices) + 1 < grown * told

    def _kin(self, kind: str) -> Iterator[KnownProblem]:
        return iter(self._of_kind.get(kind, {}).values())

    def _devices(self, kind: str, spread: str) -> set[str]:
        return {one.part.device for one in self._kin(kind) if one.part.spread == spread}


def _is_near(problem: KnownProblem, at: datetime, rules: SpreadRules) -> bool:
    began = problem.latest.began
    return abs(at - began) <= rules.within or (problem.goes_on and began <= at)
