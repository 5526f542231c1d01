"""Pure: recorded anomalies through one correlator, and the incidents that come of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiops_core.models import (
    AnomalyCleared,
    AnomalySuppressed,
    EnrichedAnomaly,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentUpdated,
    Message,
    Severity,
)
from correlation_service.correlator import Correlator

TICK = timedelta(seconds=1)  # of arrival, between two looks at what has expired


@dataclass
class Group:
    """One incident as it stood in the end."""

    id: str
    title: str
    severity: Severity
    category: str
    first_seen: datetime
    root: str | None = None  # the newest device named as root cause
    members: set[str] = field(default_factory=set)  # anomaly ids


@dataclass
class Outcome:
    """Where every anomaly ended: in one of *incidents*, or *suppressed* by a rule."""

    incidents: dict[str, Group] = field(default_factory=dict)
    place: dict[str, str] = field(default_factory=dict)  # anomaly id -> incident id
    suppressed: dict[str, str] = field(default_factory=dict)  # anomaly id -> rule

    def learn(self, fact: Message) -> None:
        match fact:
            case Incident():
                self._open(fact)
            case IncidentUpdated():
                self._update(fact)
            case AnomalySuppressed():
                self.suppressed[fact.anomaly_id] = fact.by
            case IncidentCleared() if not self.incidents[fact.incident_id].members:
                del self.incidents[fact.incident_id]  # it was merged: all its members have moved

    def _open(self, fact: Incident) -> None:
        root = fact.root_cause.device if fact.root_cause else None
        group = self.incidents[fact.id] = Group(
            fact.id, fact.title, fact.severity, fact.category, fact.first_seen, root
        )
        self._move(fact.evidence, group)

    def _update(self, fact: IncidentUpdated) -> None:
        group = self.incidents[fact.incident_id]
        group.title = fact.title or group.title
        group.severity = fact.severity or group.severity
        group.category = fact.category or group.category
        group.root = fact.root_cause.device if fact.root_cause else group.root
        self._move(fact.members, group)

    def _move(self, members: Iterable[Evidence], group: Group) -> None:
        for member in members:
            before = self.place.get(member.anomaly_id)
            if before is not None:
                self.incidents[before].members.discard(member.anomaly_id)
            self.place[member.anomaly_id] = group.id
            group.members.add(member.anomaly_id)
            group.first_seen = min(group.first_seen, member.ts)


class PolicyReplay:
    """Time passes with the arrival of the anomalies, as it did when they were recorded."""

    def __init__(self, correlator: Correlator) -> None:
        self.outcome = Outcome()
        self._correlator = correlator
        self._ticked: datetime | None = None

    def feed(self, message: EnrichedAnomaly | AnomalyCleared) -> None:
        now, facts = arrival(message), list[Message]()
        if self._ticked is None or now - self._ticked >= TICK:
            facts += self._correlator.expire(now)
            self._ticked = now
        for fact in [*facts, *self._correlator.handle(message)]:
            self.outcome.learn(fact)


def arrival(message: Message) -> datetime:
    """When *message* reached correlation: its newest stage."""
    return max(message.stages.values(), default=message.ts)


def in_order(
    page: Iterable[EnrichedAnomaly], recoveries: deque[AnomalyCleared]
) -> Iterator[EnrichedAnomaly | AnomalyCleared]:
    """*page*, and of *recoveries* those that came before its last, each where it came."""
    for anomaly in page:
        while recoveries and arrival(recoveries[0]) <= arrival(anomaly):
            yield recoveries.popleft()
        yield anomaly
