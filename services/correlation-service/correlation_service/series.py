"""The parts of an alert that recover on their own. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Evidence


class SeriesKey(NamedTuple):
    """The part of an alert that recovers on its own; an empty field does not matter."""

    service: str
    metric: str = ""
    peer: str = ""
    component: str = ""

    @classmethod
    def of(cls, member: Evidence) -> SeriesKey:
        return cls(member.service, member.metric, member.peer, member.component)


class SeriesState(NamedTuple):
    """*last* anomaly, *worst* severity rank since it opened, time of its newest recovery."""

    last: datetime
    worst: int
    cleared: datetime | None = None
    anomalies: int = 0

    @property
    def is_open(self) -> bool:
        return self.cleared is None or self.last > self.cleared

    def clear(self, at: datetime | None) -> SeriesState:
        if at is None or (self.cleared and at <= self.cleared):
            return self
        return SeriesState(self.last, self.worst, at, self.anomalies)

    def add(self, at: datetime, rank: int) -> SeriesState:
        worst = max(self.worst, rank) if self.is_open else rank
        return SeriesState(max(self.last, at), worst, self.cleared, self.anomalies + 1)

    def unite(self, other: SeriesState) -> SeriesState:
        last, worst = max(self.last, other.last), max(self.worst, other.worst)
        anomalies = self.anomalies + other.anomalies
        return SeriesState(last, worst, self.cleared, anomalies).clear(other.cleared)
