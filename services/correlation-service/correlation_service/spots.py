"""The trouble of one anomaly type on one device: what incidents are made of. Pure.

Time is event time. Whatever a spot tells (from when to when, how often, what of it is open) follows from
the anomalies in it, not from the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from aiops_core.models import Evidence, Severity
from correlation_service.kept import Kept
from correlation_service.policy import Grouping

if TYPE_CHECKING:
    from correlation_service.episodes import Episode

# Attackers invent peers and hosts. Parts beyond these are told apart by service alone, fingerprints beyond
# are members each time they come, and by further keys nothing is found.
PARTS_KEPT = 64
FINGERPRINTS_KEPT = 1000
KEYS_KEPT = 64
RANKED = tuple(Severity)


class Kind(NamedTuple):
    """What makes a spot: there is one at a time."""

    ship: str
    device: str
    anomaly_type: str


class Part(NamedTuple):
    """What recovers on its own within a spot; empty where it does not matter."""

    service: str
    metric: str = ""
    peer: str = ""


@dataclass(slots=True)
class Course:
    """When a part was last wrong, how bad (rank), and until when it is known to be well again."""

    last: datetime
    worst: int
    cleared: datetime | None = None
    count: int = 0

    @property
    def is_open(self) -> bool:
        return self.cleared is None or self.last > self.cleared

    def worsen(self, at: datetime, rank: int) -> None:
        was_open = self.is_open
        self.count += 1
        self.last = max(self.last, at)
        self.worst = max(self.worst, rank) if was_open else rank


@dataclass(slots=True, eq=False)
class Spot:
    """*id* is the anomaly that opened it, *head* the first one. *members* is None once there are too many to be moved.

    *place* is the order of spots: which one came first, the same in every process. One is *doubtful*
    when one of its type means little, and *believed* when enough of it came from one service: singles of
    many are chance.
    """

    id: str
    kind: Kind
    rule: Grouping
    family: str
    window: timedelta
    head: Evidence
    last: datetime
    arrival: datetime
    keys: dict[str, None]
    episode: Episode
    upstream: tuple[str, ...] = ()
    count: int = 0
    swings: tuple[datetime, ...] = ()  # recoveries, the newest last
    fingerprints: dict[str, str] = field(
        default_factory=dict
    )  # and the anomaly that showed it first
    parts: dict[Part, Course] = field(default_factory=dict)
    members: Kept | None = field(default_factory=Kept)
    first: datetime = field(init=False)
    place: tuple[datetime, Kind] = field(init=False)
    doubtful: bool = field(init=False)
    believed: bool = field(init=False)

    def __post_init__(self) -> None:
        self._begin_with(self.head)
        self.doubtful = self.rule.min_evidence > 1
        self.believed = not self.doubtful

    def _begin_with(self, head: Evidence) -> None:
        self.head, self.first, self.place = head, head.ts, (head.ts, self.kind)

    def _weigh(self) -> None:
        """Look whether there is enough evidence now; it never becomes less."""
        if self.believed:
            return
        counts: dict[str, int] = {}
        for part, course in self.parts.items():
            counts[part.service] = counts.get(part.service, 0) + course.count
        self.believed = max(counts.values(), default=0) >= self.rule.min_evidence

    @property
    def recovered_at(self) -> datetime | None:
        """Since when all of it is well again; None while something is not."""
        healed: datetime | None = None
        for course in self.parts.values():
            if course.cleared is None or course.is_open:
                return None
            healed = max(healed or course.cleared, course.cleared)
        return healed

    @property
    def worst(self) -> int:
        """Rank of the worst that is open, -1 when nothing is."""
        worst = -1
        for course in self.parts.values():
            if course.worst > worst and course.is_open:
                worst = course.worst
        return worst

    def until(self, calm: timedelta) -> datetime:
        """To when an anomaly must come to belong here: after a recovery it need not be waited for long."""
        quiet = self.last + self.window
        recovered = self.recovered_at
        return min(quiet, recovered + calm) if recovered else quiet

    def reaches(self, at: datetime, calm: timedelta) -> bool:
        return self.first - self.window <= at <= self.until(calm)

    def precedes(self, other: Spot) -> bool:
        return self.place < other.place

    def leads(self, other: Spot) -> bool:
        """Whether of two with a common key *other* follows: a single error never leads."""
        if self.believed != other.believed:
            return self.believed
        return self.precedes(other)

    def absorb(self, member: Evidence, arrival: datetime, part: Part) -> Course:
        """Count *member* in; the course of its part."""
        if (member.ts, member.anomaly_id) < (self.head.ts, self.head.anomaly_id):
            self._begin_with(member)
        self.last = max(self.last, member.ts)
        self.arrival = max(self.arrival, arrival)
        self.upstream = self.upstream or member.upstream
        self.count += 1
        repeated = member.duplicate_of or member.anomaly_id  # a restored one may come before it
        if len(self.fingerprints) < FINGERPRINTS_KEPT:
            self.fingerprints.setdefault(member.fingerprint, repeated)
        return self._worsen(part, member)

    def _worsen(self, part: Part, member: Evidence) -> Course:
        rank = member.severity.rank
        course = self.parts.get(part) or self._new_course(part, member.ts, rank)
        course.worsen(member.ts, rank)
        self._weigh()
        return course

    def _new_course(self, part: Part, at: datetime, rank: int) -> Course:
        if len(self.parts) >= PARTS_KEPT:
            part = Part(part.service)
        return self.parts.setdefault(part, Course(at, rank))

    def keep(self, member: Evidence, most: int) -> None:
        """Remember *member* itself, in case it must be moved."""
        if self.members is not None and len(self.members) < most:
            self.members.append(member)
        else:
            self.members = None

    def unite(self, other: Spot, most: int) -> None:
        """Take over all of *other*, which a late anomaly has connected with this one."""
        self._begin_with(min(self.head, other.head, key=lambda e: (e.ts, e.anomaly_id)))
        self.last, self.arrival = max(self.last, other.last), max(self.arrival, other.arrival)
        self.count += other.count
        self.swings = tuple(sorted({*self.swings, *other.swings}))
        for fingerprint, anomaly_id in other.fingerprints.items():
            self.show(fingerprint, anomaly_id)
        for part, course in other.parts.items():
            mine = self.parts.get(part)
            if mine is None:
                self.parts[part] = course
                continue
            mine.count += course.count
            mine.worst = max(mine.worst, course.worst)
            mine.last = max(mine.last, course.last)
            mine.cleared = max(filter(None, (mine.cleared, course.cleared)), default=None)
        self._weigh()
        self.members = self._kept_with(other, most)

    def show(self, fingerprint: str, anomaly_id: str) -> None:
        """Of two members with one fingerprint the lesser is the one that others repeat, whoever of them
        came first."""
        if fingerprint not in self.fingerprints and len(self.fingerprints) >= FINGERPRINTS_KEPT:
            return
        known = self.fingerprints.get(fingerprint, anomaly_id)
        self.fingerprints[fingerprint] = min(known, anomaly_id)

    def _kept_with(self, other: Spot, most: int) -> Kept | None:
        if self.members is None or other.members is None:
            return None
        fits = len(self.members) + len(other.members) <= most
        return Kept([*self.members, *other.members]) if fits else None


def earliest(spots: Iterable[Spot]) -> Spot:
    return min(spots, key=lambda spot: spot.place)
