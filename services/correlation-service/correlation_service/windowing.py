"""Open episodes, and which of them an anomaly may join. Pure: time comes with the anomalies.

Two clocks matter. *Event time* (``ts`` of the line) decides what belongs together, so that a replay of
old logs gives the incidents that they would have given then. *Arrival* (the newest stage time) decides
when an episode of old lines has been quiet long enough to be closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiops_core.models import EnrichedAnomaly, Evidence, Severity


@dataclass(frozen=True, slots=True)
class First:
    """The first anomaly of one device in an episode."""

    anomaly_id: str
    ts: datetime
    anomaly_type: str
    service: str
    label: str
    msg: str
    upstream: frozenset[str]


@dataclass
class Episode:
    """One open incident, as far as correlation needs to know it."""

    id: str
    ship_id: str
    tracking_id: str
    window: timedelta
    first_seen: datetime
    last_seen: datetime
    last_arrival: datetime
    severity: Severity = Severity.LOW
    revision: int = 1
    count: int = 0
    fingerprints: dict[str, str] = field(default_factory=dict)  # -> the first anomaly of each
    firsts: dict[str, First] = field(default_factory=dict)
    services: dict[str, None] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)
    spreads: bool = False  # something in it explains symptoms of other families
    follows: bool = False  # something in it may be a symptom of other families
    keys: dict[str, None] = field(default_factory=dict)

    def reaches(self, ts: datetime, max_length: timedelta) -> bool:
        """Whether something at *ts* is near enough in event time."""
        if not self.first_seen - self.window <= ts <= self.last_seen + self.window:
            return False
        return max(ts, self.last_seen) - min(ts, self.first_seen) <= max_length

    def absorb(self, member: Evidence, arrival: datetime) -> None:
        self.first_seen = min(self.first_seen, member.ts)
        self.last_seen = max(self.last_seen, member.ts)
        self.last_arrival = max(self.last_arrival, arrival)
        self.count += 1
        self.severity = max(self.severity, member.severity)
        self.fingerprints.setdefault(member.fingerprint, member.anomaly_id)
        self.services.setdefault(member.service)
        known = self.firsts.get(member.device)
        if known is None or member.ts < known.ts:
            self.firsts[member.device] = _first(member)

    def is_over(self, now: datetime, settle: timedelta) -> bool:
        return now - self.last_seen > self.window and now - self.last_arrival > settle


def _first(member: Evidence) -> First:
    return First(
        anomaly_id=member.anomaly_id,
        ts=member.ts,
        anomaly_type=member.anomaly_type,
        service=member.service,
        label=member.label,
        msg=member.msg,
        upstream=frozenset(member.upstream),
    )


def arrival_of(message: EnrichedAnomaly | Evidence) -> datetime:
    """When a message last moved: its newest stage, or its own time when it carries none."""
    return max(message.stages.values(), default=message.ts)


def affected_key(ship: str, device: str) -> str:
    """Index key of the episodes in which *device* is affected."""
    return f"{ship}|affected|{device}"


def below_key(ship: str, device: str) -> str:
    """Index key of the episodes in which something depends on *device*."""
    return f"{ship}|below|{device}"


class Windows:
    """All open episodes, indexed by the keys under which an anomaly may find them."""

    def __init__(self, max_length: timedelta) -> None:
        self._max_length = max_length
        self._open: dict[str, Episode] = {}
        self._index: defaultdict[str, dict[str, Episode]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._open)

    def get(self, incident_id: str) -> Episode | None:
        return self._open.get(incident_id)

    def add(self, episode: Episode) -> None:
        self._open[episode.id] = episode

    def under(self, key: str, ts: datetime) -> Iterator[Episode]:
        """Episodes under *key* that reach *ts*, the one with the newest activity first."""
        found = (e for e in self._index.get(key, {}).values() if e.reaches(ts, self._max_length))
        yield from sorted(found, key=lambda e: (e.last_seen, e.id), reverse=True)

    def file(self, episode: Episode, keys: Iterable[str]) -> None:
        """Make *episode* findable under *keys*."""
        for key in keys:
            if key not in episode.keys:
                episode.keys[key] = None
                self._index[key][episode.id] = episode

    def close(self, episode: Episode) -> None:
        """Nothing joins *episode* any more."""
        del self._open[episode.id]
        for key in episode.keys:
            self._index[key].pop(episode.id, None)
            if not self._index[key]:
                del self._index[key]

    def over(self, now: datetime, settle: timedelta) -> list[Episode]:
        """Episodes that have been quiet for their window."""
        return [e for e in self._open.values() if e.is_over(now, settle)]


def graph_keys(member: Evidence, ship: str) -> Iterator[str]:
    """Where a later anomaly finds this one along the dependency graph."""
    yield affected_key(ship, member.device)
    yield from (below_key(ship, device) for device in member.upstream)
