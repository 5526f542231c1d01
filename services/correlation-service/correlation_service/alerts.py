"""An alert: all anomalies of one type on one device that belong together. Pure.

Time is event time. Everything that an alert says (from when to when, how often, what of it is open)
follows from the anomalies in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from aiops_core.models import Evidence
from correlation_service.policy import CorrelatePolicy, GroupingRule
from correlation_service.series import OTHERS, SeriesKey, SeriesState

# Attackers invent peers and hosts. Series beyond these are told apart by service alone,
# fingerprints beyond are members each time they come, and further correlation keys are not indexed.
SERIES_KEPT = 64
STATES_KEPT = 256  # series of which some last until each is cleared: the ports of a large switch
FINGERPRINTS_KEPT = 1000
KEYS_KEPT = 64
SUSPECTS = ""  # the kin of all that may mean that a device upstream is dead


class AlertKey(NamedTuple):
    """Alerts of one key are distinct only in time."""

    ship: str
    device: str
    anomaly_type: str


Place = tuple[datetime, AlertKey, str]


@dataclass(slots=True, eq=False)
class Alert:
    """*id* is that of the anomaly that opened it, *head* its first anomaly by event time.

    *place* orders alerts: the same in every process, and no two have the same. *members* are its
    anomalies as JSON, None once there are too many to be moved. An alert is *believed* when enough
    of it came from one service (``min_evidence``). *probable* are those of *upstream* that are only
    suggested, with confidence.

    *last* is its end for what may belong to it. A state may be told of again long after that: then
    only *said*, its newest anomaly, grows. *began* is its earliest arrival, *arrival* its newest.
    """

    id: str
    key: AlertKey
    incident_id: str
    rule: GroupingRule
    family: str
    window: timedelta
    head: Evidence
    last: datetime
    arrival: datetime
    keys: dict[str, None]
    upstream: tuple[str, ...]
    probable: Mapping[str, float]
    believed: bool
    count: int = 0
    fingerprints: dict[str, str] = field(default_factory=dict)  # anomaly that showed it first
    series: dict[SeriesKey, SeriesState] = field(default_factory=dict)
    members: list[bytes] | None = field(default_factory=list)
    said: datetime = field(init=False)
    began: datetime = field(init=False)
    shown: Evidence = field(init=False)
    first: datetime = field(init=False)
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        self.said, self.began = self.last, self.arrival
        self.shown = self.head
        self._begin_with(self.head)

    @classmethod
    def opened(
        cls, incident_id: str, ship: str, member: Evidence, policy: CorrelatePolicy
    ) -> Alert:
        """A new alert that *member* opens; the member is not yet counted."""
        kind = member.anomaly_type
        rule = policy.grouping_of(kind)
        return cls(
            id=member.alerts[0] if member.alerts else member.anomaly_id,
            key=AlertKey(ship, member.device, kind),
            incident_id=incident_id,
            rule=rule,
            family=policy.family_of(kind),
            window=policy.window_of(kind),
            head=member,
            last=member.ts,
            arrival=arrival_of(member),
            keys=dict.fromkeys(member.keys),
            upstream=member.upstream,
            probable=member.probable,
            believed=rule.min_evidence <= 1,
        )

    def copy(self) -> Alert:
        twin = object.__new__(Alert)
        for name in Alert.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.keys, twin.series = self.keys.copy(), self.series.copy()
        twin.fingerprints = self.fingerprints.copy()
        return twin

    # -- reading ----------------------------------------------------------------------------------

    @property
    def kept(self) -> int:
        return len(self.members or ())

    @property
    def kin(self) -> tuple[str, ...]:
        """Names that it shares with alerts beside which it may have begun."""
        if self.rule.suspect_upstream:
            return (self.family, SUSPECTS)
        return (self.family,) if self.rule.spreads else ()

    @property
    def doubtful(self) -> bool:
        """Whether a single anomaly of this type means little."""
        return self.rule.min_evidence > 1

    @property
    def alike(self) -> int:
        """How many more addresses, or else parts of the device, it has than ``shown`` names."""
        if self.shown.peer:
            return len({key.peer for key in self.series if key.peer}) - 1
        if self.shown.component:
            return len({key.component for key in self.series if key.component}) - 1
        return 0

    def is_told_by(self, member: Evidence) -> bool:
        """Whether *member*, which comes in addition, says best what this alert is about."""
        return _telling(member) < _telling(self.shown)

    @property
    def recovered_at(self) -> datetime | None:
        """When the last series recovered; None while one is open."""
        newest: datetime | None = None
        for series in self.series.values():
            if series.cleared is None or series.is_open:
                return None
            newest = max(newest or series.cleared, series.cleared)
        return newest

    @property
    def lasts(self) -> bool:
        """Whether it has a state that nothing has cleared."""
        return any(series.lasts for series in self.series.values())

    @property
    def ended_at(self) -> datetime | None:
        """When the last of its states was cleared."""
        ends = (series.cleared for series in self.series.values() if series.raised)
        return max(filter(None, ends), default=None)

    @property
    def sureness(self) -> float:
        """How sure it is that what has recovered here has."""
        closed = (series.confidence for series in self.series.values() if not series.is_open)
        return min(closed, default=1.0)

    @property
    def worst(self) -> int:
        """Severity rank of the worst open series, -1 when none is open."""
        worst = -1
        for series in self.series.values():
            if series.worst > worst and series.is_open:
                worst = series.worst
        return worst

    @property
    def worst_ever(self) -> int:
        """Severity rank of the worst series, whether it has recovered or not."""
        return max((series.worst for series in self.series.values()), default=-1)

    def until(self, resolve_delay: timedelta) -> datetime:
        """The latest time of an anomaly that still belongs here."""
        quiet = self.last + self.window
        recovered = self.recovered_at
        return min(quiet, recovered + resolve_delay) if recovered else quiet

    def reaches(self, at: datetime, resolve_delay: timedelta) -> bool:
        return self.first - self.window <= at <= self.until(resolve_delay)

    def precedes(self, other: Alert) -> bool:
        return self.place < other.place

    def leads(self, other: Alert) -> bool:
        """Whether *other* follows this one when they share a key; a doubtful single never leads."""
        if self.believed != other.believed:
            return self.believed
        return self.precedes(other)

    def only_counts(self, member: Evidence) -> bool:
        """Whether *member* changes nothing here but the count and the time of the last anomaly."""
        series = self.series.get(SeriesKey.of(member))
        return (
            self.believed
            and series is not None
            and series.is_open
            and member.severity.rank <= series.worst
            and member.cleared_at is None
            and (self.head.ts, self.head.anomaly_id) <= (member.ts, member.anomaly_id)
            and not self.is_told_by(member)
            and all(key in self.keys for key in member.keys)
        )

    # -- changing ---------------------------------------------------------------------------------

    def absorb(self, member: Evidence) -> None:
        """Count *member* in."""
        if (member.ts, member.anomaly_id) < (self.head.ts, self.head.anomaly_id):
            self._begin_with(member)
        self.shown = min(self.shown, member, key=_telling)
        if not self._outlasts(member):
            self.last = max(self.last, member.ts)
        arrival = arrival_of(member)
        self.said, self.began = max(self.said, member.ts), min(self.began, arrival)
        self.arrival = max(self.arrival, arrival)
        if not self.upstream:
            self.upstream, self.probable = member.upstream, member.probable
        self.count += 1
        if len(self.fingerprints) < FINGERPRINTS_KEPT:
            repeated = member.duplicate_of or member.anomaly_id
            self.fingerprints.setdefault(member.fingerprint, repeated)
        rank, key = member.severity.rank, SeriesKey.of(member)
        if key not in self.series and len(self.series) >= _most(member):
            key = SeriesKey(member.service, component=OTHERS if member.component else "")
        series = self.series.get(key) or SeriesState(member.ts, rank)
        series = series.add(member.ts, rank, member.state)
        self.series[key] = series.clear(member.cleared_at, member.cleared_confidence)
        self._bridge()
        self._weigh()

    def keep(self, member: Evidence, most: int) -> None:
        """Remember *member* itself in case it must be moved."""
        if self.members is not None and len(self.members) < most:
            self.members.append(member.model_dump_json().encode())
        else:
            self.members = None

    def add_keys(self, keys: Iterable[str]) -> list[str]:
        """Add correlation keys, as far as there is space; those that are new."""
        space = max(KEYS_KEPT - len(self.keys), 0)
        new = [key for key in keys if key not in self.keys][:space]
        self.keys.update(dict.fromkeys(new))
        return new

    def unite(self, other: Alert, most: int) -> None:
        """Take over *other*, after an anomaly has closed the gap between them; but for its keys."""
        self._begin_with(min(self.head, other.head, key=lambda e: (e.ts, e.anomaly_id)))
        self.shown = min(self.shown, other.shown, key=_telling)
        self.last, self.arrival = max(self.last, other.last), max(self.arrival, other.arrival)
        self.said, self.began = max(self.said, other.said), min(self.began, other.began)
        self.count += other.count
        for fingerprint, anomaly_id in other.fingerprints.items():
            if fingerprint in self.fingerprints or len(self.fingerprints) < FINGERPRINTS_KEPT:
                known = self.fingerprints.get(fingerprint, anomaly_id)
                self.fingerprints[fingerprint] = min(known, anomaly_id)
        for key, series in other.series.items():
            mine = self.series.get(key)
            self.series[key] = mine.unite(series) if mine else series
        self._bridge()
        self._weigh()
        both = [*(self.members or ()), *(other.members or ())]
        fits = None not in (self.members, other.members) and len(both) <= most
        self.members = both if fits else None

    def _outlasts(self, member: Evidence) -> bool:
        """Whether *member* tells again, after the window, of a state that is open."""
        if member.ts - self.last <= self.window:
            return False
        series = self.series.get(SeriesKey.of(member))
        return series is not None and series.lasts

    def _bridge(self) -> None:
        """Reach what came too late for the window, now that an anomaly stands between."""
        while self.said > self.last:
            until = self.last + self.window
            near = [s.last for s in self.series.values() if self.last < s.last <= until]
            if not near:
                break
            self.last = max(near)

    def _begin_with(self, head: Evidence) -> None:
        self.head, self.first, self.place = head, head.ts, (head.ts, self.key, self.id)

    def _weigh(self) -> None:
        """Look whether there is enough evidence now; it never becomes less."""
        if self.believed:
            return
        counts: dict[str, int] = {}
        for key, series in self.series.items():
            counts[key.service] = counts.get(key.service, 0) + series.anomalies
        self.believed = max(counts.values(), default=0) >= self.rule.min_evidence


def _most(member: Evidence) -> int:
    return STATES_KEPT if member.state else SERIES_KEPT


def _telling(member: Evidence) -> tuple[bool, float, datetime, str]:
    """The lower, the more does *member* say: of a part, by the surest rule, and first."""
    return not member.component, -member.score, member.ts, member.anomaly_id


def arrival_of(member: Evidence) -> datetime:
    """When it reached correlation: the newest stage before that, or its own time without any."""
    stages = member.stages
    if "correlate" in stages:
        stages = {stage: at for stage, at in stages.items() if stage != "correlate"}
    return max(stages.values(), default=member.ts)


def unpacked(members: Sequence[bytes]) -> Iterator[Evidence]:
    """The members that an alert has kept, as new objects."""
    return map(Evidence.model_validate_json, members)


def place_of(alert: Alert) -> Place:
    return alert.place


def earliest(alerts: Iterable[Alert]) -> Alert:
    return min(alerts, key=place_of)


def recovered_of(alerts: Iterable[Alert]) -> datetime | None:
    """When the last of *alerts* recovered; None while one is open."""
    newest: datetime | None = None
    for alert in alerts:
        at = alert.recovered_at
        if at is None:
            return None
        newest = max(newest or at, at)
    return newest
