"""Anomalies on a small ship, and what facts say about where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyCleared,
    AnomalyContext,
    AnomalySuppressed,
    Device,
    EnrichedAnomaly,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
)
from aiops_core.runtime.bus import Bus, Outgoing
from correlation_service.alerts import Alert
from correlation_service.correlator import Correlator
from correlation_service.handler import Correlation
from correlation_service.incident import OpenIncident
from correlation_service.joining import merge
from correlation_service.policy import CorrelatePolicy
from correlation_service.state import CorrelationState
from tests.conftest import NOON, ROOT

POLICY = CorrelatePolicy.load(ROOT / "policies")

UPSTREAM = {
    "core-1": (),
    "dir-1": (),
    "sw-1": ("core-1",),
    "sw-2": ("core-1",),
    "srv-1": ("sw-1",),
    "srv-2": ("sw-1", "sw-2"),
    "srv-3": ("sw-2", "dir-1"),
}
SHIP = Inventory([Device(id=id_, upstream=above) for id_, above in UPSTREAM.items()])


def anomaly(n, device="srv-1", kind="service_error", *, upstream=None, at=None, **fields):
    """The *n*th anomaly, *at* (default *n*) seconds after noon."""
    ts = NOON + timedelta(seconds=n if at is None else at)
    above = SHIP.upstream_of(device) if upstream is None else upstream
    base = {
        "tracking_id": f"t{n}",
        "ship_id": "s1",
        "ts": ts,
        "domain": "app",
        "anomaly_type": kind,
        "service": "app",
        "host": device,
        "detector": "pattern",
        "score": 0.7,
        "severity": "medium",
        "msg": f"error on {device}",
        "stages": {"enrich": ts},
        "context": AnomalyContext(upstream=tuple(Device(id=u) for u in above)),
    }
    return EnrichedAnomaly.model_validate(base | fields, extra="forbid")


def cleared(at, device="srv-1", *kinds, **fields):
    """What was wrong is over *at* seconds after noon."""
    ts = NOON + timedelta(seconds=at)
    base = {
        "tracking_id": f"c{device}{at}",
        "ship_id": "s1",
        "ts": ts,
        "host": device,
        "anomaly_types": kinds or ("service_error",),
        "detector": "recovery",
        "reason": f"{device} works again",
        "stages": {"detect": ts},
    }
    return AnomalyCleared.model_validate(base | fields, extra="forbid")


def order(gone, into, change=1):
    """An operator lets incident *into* go on for *gone*."""
    return IncidentTransitioned(
        tracking_id=f"x{gone}",
        ship_id="s1",
        ts=NOON,
        incident_id=gone,
        change=change,
        kind="merge",
        from_status="open",
        to_status="resolved",
        merged_into=into,
        actor="mate",
    )


class Merging(NamedTuple):
    """An operator merges incidents, whichever are open then: the one of these places into the
    other."""

    gone: int
    into: int

    def among(self, correlator: Correlator) -> list[IncidentTransitioned]:
        open_ = sorted(incident.id for incident in correlator.state.open.incidents.values())
        pair = [open_[place % len(open_)] for place in self] if open_ else ["", ""]
        return [order(*pair)] if len(set(pair)) == 2 else []


def lived(history: Iterable[Message | Merging], correlator: Correlator) -> list[Message]:
    """What is in the stream after *history*, but for the anomalies."""
    stream: list[Message] = []
    for event in history:
        causes = event.among(correlator) if isinstance(event, Merging) else [event]
        for cause in causes:
            known = [] if isinstance(cause, EnrichedAnomaly) else [cause]
            stream += [*known, *correlator.handle(cause)]
    return stream


def joined(facts: Iterable[Message], size: int) -> Iterator[Message]:
    """*facts* as they are published in batches of *size*."""
    effects = [Outgoing(fact, str(n)) for n, fact in enumerate(facts)]
    for start in range(0, len(effects), size):
        yield from (effect.message for effect in merge(effects[start : start + size]))


@dataclass
class Book:
    """Where every anomaly is, as whoever reads the facts in their order sees it."""

    place: dict[str, str] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)  # facts that are not moves
    over: dict[str, str] = field(default_factory=dict)
    ts: dict[str, datetime] = field(default_factory=dict)
    facts: list[Message] = field(default_factory=list)
    occurrence: dict[str, int] = field(default_factory=dict)  # newest one of each incident
    came_with: dict[str, tuple[str, int]] = field(default_factory=dict)

    def read(self, facts: Iterable[Message]) -> Book:
        for fact in facts:
            self.facts.append(fact)
            self._read(fact)
        return self

    def _read(self, fact: Message) -> None:
        match fact:
            case Incident():
                self._begins(fact.id, fact.recurrence)
                self._members(fact.id, fact.evidence, fact.evidence[0].anomaly_id in self.place)
            case IncidentUpdated():
                if fact.reopens:
                    del self.over[fact.incident_id]
                assert fact.incident_id not in self.over, "a closed incident absorbs nothing"
                if fact.members:
                    self._begins(fact.incident_id, fact.recurrence)
                self._members(fact.incident_id, fact.members, bool(fact.moved_from))
                assert all(self.place[id_] != fact.incident_id for id_ in fact.departed)
            case IncidentCleared():
                assert fact.incident_id not in self.over
                self.over[fact.incident_id] = fact.resolve_reason
            case AnomalySuppressed():
                self.place[fact.anomaly_id] = fact.by
                self.told[fact.anomaly_id] += 1

    def _begins(self, incident, recurrence):
        if recurrence:
            self.occurrence[incident] = recurrence.occurrence

    def _members(self, incident, members, moved):
        for member in members:
            assert (member.anomaly_id in self.place) == moved
            self.place[member.anomaly_id] = incident
            self.came_with[member.anomaly_id] = incident, self.occurrence.get(incident, 1)
            self.ts[member.anomaly_id] = member.ts
            self.told[member.anomaly_id] += not moved

    @property
    def groups(self) -> set[frozenset[str]]:
        """What is in one incident."""
        return _together(self.place)

    @property
    def occurrences(self) -> set[frozenset[str]]:
        """What came together: an incident that was opened again has several."""
        return _together(self.came_with)

    @property
    def open(self) -> set[str]:
        return set(self.place.values()) - set(self.over)


def _together(places: Mapping[str, object]) -> set[frozenset[str]]:
    groups: dict[object, set[str]] = {}
    for anomaly_id, place in places.items():
        groups.setdefault(place, set()).add(anomaly_id)
    return {frozenset(group) for group in groups.values()}


async def reborn(bus: Bus, policy: CorrelatePolicy = POLICY) -> Correlator:
    """The correlator of a process that starts on *bus*."""
    correlation = Correlation(policy, bus)
    await correlation.recover(bus)
    return correlation.correlator


def told(
    history: Iterable[Message], correlator: Correlator | None = None, book: Book | None = None
) -> Book:
    """What a correlator tells about *history*, added to *book*."""
    correlator, book = correlator or Correlator(POLICY), book or Book()
    for message in history:
        book.read(correlator.handle(message))
    return book


def snapshot(state: CorrelationState) -> dict[str, object]:
    """All that *state* knows, to be compared; but for the order in which alerts came into
    their incidents."""
    open_, memory, inhibitions = state.open, state.recoveries, state.inhibitions
    return {
        "alerts": {id_: _values(alert) for id_, alert in open_.alerts.items()},
        "incidents": {
            id_: _values(incident) | {"alerts": set(incident.alerts)}
            for id_, incident in open_.incidents.items()
        },
        "indexes": [
            {key: [alert.id for alert in alerts] for key, alerts in index.filed.items()}
            for index in (open_.of_key, open_.sharing, open_.on, open_.below, open_.strays)
        ],
        "open": (dict(open_.inferred), open_.members, dict(state.emptied)),
        "memory": deepcopy((dict(memory._known), dict(memory._flaps))),
        "inhibitions": deepcopy((dict(inhibitions._sources), dict(inhibitions._cleared))),
        "known": (set(state.seen), dict(state.latest)),
        "problems": {problem.id: problem.model_dump() for problem in state.problems.table},
    }


def _values(one: Alert | OpenIncident) -> dict[str, object]:
    return {name: copy(getattr(one, name)) for name in one.__slots__}
