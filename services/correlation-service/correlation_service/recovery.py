"""What is known to be well again, and since when. Pure.

A recovery skips enrichment and may overtake the anomaly that it ends. So it is remembered, and both are
compared by their own times: what happened up to the recovery is over, what came after it is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from aiops_core.models import AnomalyCleared, Evidence
from correlation_service.spots import Course, Kind, Part, Spot

V = TypeVar("V")

KINDS_KEPT = 10_000  # device and type with recoveries that are remembered
PER_KIND = 8  # of them, by what they are about; the newest of each
SWINGS_KEPT = 50


def part_of(member: Evidence) -> Part:
    """What of its spot must recover for *member* to be over."""
    return Part(member.service, member.metric, member.peer)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which parts a recovery is about; an empty field restricts nothing."""

    service: str
    metric: str
    peer: str

    @classmethod
    def of(cls, cleared: AnomalyCleared) -> Scope:
        service = "" if cleared.service == "unknown" else cleared.service
        return cls(service, cleared.metric or "", cleared.peer or "")

    def covers(self, part: Part) -> bool:
        return all(
            wanted in ("", is_)
            for wanted, is_ in zip((self.service, self.metric, self.peer), part, strict=True)
        )


class Recoveries:
    """The newest recoveries of each kind of spot, and how often its spots have recovered."""

    def __init__(self) -> None:
        self._known: OrderedDict[Kind, dict[Scope, datetime]] = OrderedDict()
        self._swings: OrderedDict[Kind, tuple[datetime, ...]] = OrderedDict()

    def remember(self, kind: Kind, cleared: AnomalyCleared) -> None:
        scopes = self._known.setdefault(kind, {})
        scope = Scope.of(cleared)
        scopes[scope] = max(cleared.ts, scopes.pop(scope, cleared.ts))
        if len(scopes) > PER_KIND:
            del scopes[next(iter(scopes))]
        _touch(self._known, kind)

    def apply(self, spot: Spot, part: Part, course: Course) -> None:
        """Tell the course of a part about the newest recovery that covers it."""
        for scope, at in self._known.get(spot.kind, {}).items():
            if scope.covers(part):
                course.cleared = max(at, course.cleared or at)

    def ended(self, spot: Spot, cleared: AnomalyCleared) -> bool:
        """Whether *cleared* ends parts of *spot* that were open."""
        scope = Scope.of(cleared)
        before = {part for part, course in spot.parts.items() if course.is_open}
        for part, course in spot.parts.items():
            if scope.covers(part):
                course.cleared = max(cleared.ts, course.cleared or cleared.ts)
        return any(not spot.parts[part].is_open for part in before)

    def swing(self, spot: Spot, at: datetime, within: timedelta) -> None:
        """*spot* has recovered once more."""
        times = {*self._swings.get(spot.kind, ()), *spot.swings, at}
        recent = sorted(time for time in times if at - within <= time)
        spot.swings = self._swings[spot.kind] = tuple(recent[-SWINGS_KEPT:])
        _touch(self._swings, spot.kind)

    def before(self, kind: Kind, at: datetime, within: timedelta) -> tuple[datetime, ...]:
        """Recoveries of *kind* shortly before *at*: a spot that opens then is not the first."""
        return tuple(time for time in self._swings.get(kind, ()) if at - within <= time <= at)


def _touch(table: OrderedDict[Kind, V], kind: Kind) -> None:
    """*kind* is the last to be forgotten; the longest unused is forgotten."""
    table.move_to_end(kind)
    if len(table) > KINDS_KEPT:
        table.popitem(last=False)


def kinds_of(cleared: AnomalyCleared, device: str) -> Iterator[Kind]:
    for anomaly_type in cleared.anomaly_types:
        yield Kind(cleared.ship_id, device, anomaly_type)
