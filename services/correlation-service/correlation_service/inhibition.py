"""Inhibition: an open incident explains an anomaly, which is suppressed. Pure.

Sources are members of open incidents, never suppressed anomalies: whenever something is inhibited,
there is an incident to look at.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import NamedTuple

from aiops_core.models import AnomalyCleared, EnrichedAnomaly, Evidence
from aiops_core.suppression.policy import Inhibition
from correlation_service.matching import Matching

SOURCES_KEPT = 10_000  # of all open incidents; what comes beyond hides nothing
CLEARED_KEPT = 10_000  # newest recoveries
NEVER = datetime.max.replace(tzinfo=UTC)
SOME = "*"  # in place of a component: one recovered, whichever

Key = tuple[str, ...]  # rule, ship and the values of its equal labels


class SourceName(NamedTuple):
    """Distinguishes the sources of one incident."""

    device: str
    host: str
    service: str
    anomaly_type: str
    metric: str
    peer: str
    component: str


@dataclass
class InhibitionSource:
    """A problem that explains others, in the incident that shows it."""

    name: SourceName
    incident_id: str
    first: datetime
    last: datetime
    window: timedelta
    state: bool = False

    def end(self, cleared: datetime | None) -> datetime:
        """A recovery ends it, unless it has been seen again since; a state nothing else."""
        if cleared and cleared >= self.last:
            return cleared
        return NEVER if self.state else self.last + self.window


class Inhibitions:
    """*window_of* says how long a type of anomaly lasts without a sign; *early*: how much earlier
    than its source a consequence may have been noticed."""

    def __init__(
        self,
        rules: Sequence[Inhibition],
        window_of: Callable[[str], timedelta],
        early: timedelta,
    ) -> None:
        self._rules = [(r, Matching.of(r.source), Matching.of(r.target)) for r in rules]
        self._window_of, self._early = window_of, early
        self._sources: defaultdict[Key, dict[tuple[str, SourceName], InhibitionSource]] = (
            defaultdict(dict)
        )
        self._of_incident: defaultdict[str, set[Key]] = defaultdict(set)
        self._cleared: OrderedDict[tuple[str, ...], datetime] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._sources.values()))

    def hiding(self, anomaly: EnrichedAnomaly) -> tuple[Inhibition, InhibitionSource] | None:
        """The first rule that says that *anomaly* is a consequence, and of what."""
        for rule, source, target in self._rules:
            if target.fits(anomaly) and not source.fits(anomaly):
                key = _key(rule, anomaly.ship_id, anomaly)
                sources = self._sources.get(key, {}).values() if key else ()
                active = [s for s in sources if self._is_active(s, anomaly)]
                if active:
                    return rule, max(active, key=lambda s: (s.last, s.incident_id))
        return None

    def _is_active(self, source: InhibitionSource, anomaly: EnrichedAnomaly) -> bool:
        keys = _clearing(anomaly.ship_id, source.name)
        cleared = max((self._cleared[key] for key in keys if key in self._cleared), default=None)
        return source.first - self._early <= anomaly.ts <= source.end(cleared)

    # -- changing ---------------------------------------------------------------------------------

    def note(self, incident_id: str, ship: str, members: Sequence[Evidence]) -> None:
        """*members* are in the incident."""
        for member in members:
            for rule, source, _ in self._rules:
                key = _key(rule, ship, member) if source.fits(member) else None
                if key:
                    self._see(key, incident_id, member)

    def leave(self, incident_id: str, members: Sequence[Evidence]) -> None:
        """*members* are in another incident from now on."""
        names = {_name(member) for member in members}
        self._drop(incident_id, lambda name: name in names)

    def forget(self, incident_id: str) -> None:
        """The incident is over: it explains nothing any more."""
        self._drop(incident_id, lambda name: True)

    def clear(self, sign: AnomalyCleared) -> None:
        """Remember a recovery: it may overtake the fact about the anomaly that it ends."""
        for place in {sign.device, sign.host}:
            for kind in sign.anomaly_types:
                service = "" if sign.service == "unknown" else sign.service
                key = (sign.ship_id, place, kind, service, sign.metric or "", sign.peer or "")
                for component in {sign.component, SOME if sign.component else ""}:
                    self._remember((*key, component), sign.ts)

    def _remember(self, key: tuple[str, ...], at: datetime) -> None:
        self._cleared[key] = max(at, self._cleared.get(key, at))
        self._cleared.move_to_end(key)
        if len(self._cleared) > CLEARED_KEPT:
            self._cleared.popitem(last=False)

    def _see(self, key: Key, incident_id: str, member: Evidence) -> None:
        name = _name(member)
        source = self._sources.get(key, {}).get((incident_id, name))
        if source is None:
            if len(self) >= SOURCES_KEPT:
                return
            window = self._window_of(member.anomaly_type)
            source = InhibitionSource(name, incident_id, member.ts, member.ts, window)
            self._sources[key][incident_id, name] = source
            self._of_incident[incident_id].add(key)
        source.state = source.state or member.state
        source.first, source.last = min(source.first, member.ts), max(source.last, member.ts)

    def _drop(self, incident_id: str, gone: Callable[[SourceName], bool]) -> None:
        """Forget the sources of an incident whose names are *gone*."""
        for key in list(self._of_incident.get(incident_id, ())):
            sources = self._sources[key]
            for place in [p for p in sources if p[0] == incident_id and gone(p[1])]:
                del sources[place]
            if not any(place[0] == incident_id for place in sources):
                self._of_incident[incident_id].discard(key)
            if not sources:
                del self._sources[key]
        if not self._of_incident.get(incident_id):
            self._of_incident.pop(incident_id, None)


def _name(member: Evidence) -> SourceName:
    kind = (member.service, member.anomaly_type, member.metric, member.peer, member.component)
    return SourceName(member.device, member.host, *kind)


def _clearing(ship: str, name: SourceName) -> Iterator[tuple[str, ...]]:
    """Under which keys a sign of recovery of *name* may be remembered; empty stands for any."""
    parts = (name.service, name.metric, name.peer, name.component or SOME)
    abouts = product(*({"", part} for part in parts))
    for place, about in product({name.device, name.host}, list(abouts)):
        yield ship, place, name.anomaly_type, *about


def _key(rule: Inhibition, ship: str, anomaly: EnrichedAnomaly | Evidence) -> Key | None:
    """None when one of the values is missing: nothing equals nothing."""
    values = [
        anomaly.device if label == "device_id" else str(getattr(anomaly, label))
        for label in rule.equal
    ]
    if any(value in ("", "unknown") for value in values):
        return None
    return rule.id, ship, *values
