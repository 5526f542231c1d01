"""The parts of an alert that recover on their own. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Evidence

OTHERS = "*"  # component of the objects beyond those that are told apart; no single one clears it


class SeriesKey(NamedTuple):
    """The object of an alert that recovers on its own; an empty field does not matter."""

    service: str
    metric: str = ""
    peer: str = ""
    component: str = ""

    @classmethod
    def of(cls, member: Evidence) -> SeriesKey:
        return cls(member.service, member.metric, member.peer, member.component)


class SeriesState(NamedTuple):
    """*last* anomaly, *worst* severity rank since it opened, time of its newest recovery and how
    sure that is, and when a state (what lasts until it is cleared) was last *raised*."""

    last: datetime
    worst: int
    cleared: datetime | None = None
    anomalies: int = 0
    raised: datetime | None = None
    confidence: float = 1.0

    @property
    def is_open(self) -> bool:
        return self.cleared is None or self.last > self.cleared

    @property
    def lasts(self) -> bool:
        """Whether it is a state that nothing has cleared."""
        return self.raised is not None and (self.cleared is None or self.raised > self.cleared)

    def clear(self, at: datetime | None, confidence: float = 1.0) -> SeriesState:
        """Of two recoveries of the same time the surer one counts."""
        if at is None or (self.cleared and (at, confidence) <= (self.cleared, self.confidence)):
            return self
        return self._replace(cleared=at, confidence=confidence)

    def add(self, at: datetime, rank: int, state: bool = False) -> SeriesState:
        worst = max(self.worst, rank) if self.is_open else rank
        raised = _later(self.raised, at) if state else self.raised
        last, count = max(self.last, at), self.anomalies + 1
        return SeriesState(last, worst, self.cleared, count, raised, self.confidence)

    def unite(self, other: SeriesState) -> SeriesState:
        both = self._replace(
            last=max(self.last, other.last),
            worst=max(self.worst, other.worst),
            anomalies=self.anomalies + other.anomalies,
            raised=_later(self.raised, other.raised),
        )
        return both.clear(other.cleared, other.confidence)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other
