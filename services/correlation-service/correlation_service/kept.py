"""Open incidents and problems apart from the stream: what is kept, and how it comes back. Pure.

An incident may stay open for weeks, longer than its facts are in the stream, and a problem comes
back after months. So incidents that have lasted for an hour and all problems are copied into a
bucket. A copy holds what all facts up to one place of the
stream say. When state is made anew, the facts are read in their order, and each copy is put in
force at its place: what the facts before it said of the incident is in it already, what follows
goes on from it. The members of a copy are not kept, so they move to no other incident any more.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Self

from pydantic import Field, NonNegativeInt

from aiops_core.models import (
    Evidence,
    Fraction,
    Record,
    RootCause,
    Severity,
    Text,
    UtcDatetime,
)
from aiops_core.runtime.bus import LARGEST
from correlation_service.alerts import Alert
from correlation_service.incident import OpenIncident
from correlation_service.policy import CorrelatePolicy
from correlation_service.problem import KnownProblem
from correlation_service.series import SeriesKey, SeriesState
from correlation_service.state import CorrelationState

BUCKET = "open-incidents"
AS_OF = "as_of"  # key of when everything that is to be kept was
KEPT_AFTER = timedelta(hours=1)  # of an incident, by arrival; younger ones are in the stream whole
FINGERPRINTS_KEPT = 100  # of an alert, the newest; beyond, a repetition is a member once more


class AsOf(Record):
    """Everything that was to be kept at that time was kept."""

    at: UtcDatetime


class Kept(Record):
    """An entry of the bucket; its key is the prefix of its kind and an id.

    *sequence* is the place in the stream up to which the facts are in it.
    """

    prefix: ClassVar[str]

    sequence: NonNegativeInt = 0

    @classmethod
    @abstractmethod
    def marks(cls, state: CorrelationState, now: datetime) -> Mapping[str, object]:
        """The ids of what is to be kept; the mark of one changes when it does."""

    @classmethod
    @abstractmethod
    def copied(cls, state: CorrelationState, id_: str) -> Self: ...

    @abstractmethod
    def restore(self, state: CorrelationState, policy: CorrelatePolicy) -> None:
        """Put it in force, in place of what the facts before it have made of it."""

    def encoded(self) -> bytes:
        return self.model_dump_json().encode()


class KeptSeries(Record):
    service: str
    metric: str = ""
    peer: str = ""
    component: str = ""
    last: UtcDatetime
    worst: int
    cleared: UtcDatetime | None = None
    anomalies: NonNegativeInt = 0
    raised: UtcDatetime | None = None
    confidence: Fraction = 1.0


class KeptAlert(Record):
    id: Text
    head: Evidence
    shown: Evidence
    last: UtcDatetime
    said: UtcDatetime
    began: UtcDatetime
    arrival: UtcDatetime
    believed: bool
    count: NonNegativeInt
    keys: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    probable: dict[str, float] = Field(default_factory=dict)
    fingerprints: dict[str, str] = Field(default_factory=dict)
    series: tuple[KeptSeries, ...] = ()
    flaps: tuple[UtcDatetime, ...] = ()

    @classmethod
    def of(cls, alert: Alert, flaps: tuple[datetime, ...]) -> KeptAlert:
        return cls(
            id=alert.id,
            head=alert.head,
            shown=alert.shown,
            last=alert.last,
            said=alert.said,
            began=alert.began,
            arrival=alert.arrival,
            believed=alert.believed,
            count=alert.count,
            keys=tuple(alert.keys),
            upstream=alert.upstream,
            probable=dict(alert.probable),
            fingerprints=dict(list(alert.fingerprints.items())[-FINGERPRINTS_KEPT:]),
            series=tuple(
                KeptSeries(**key._asdict(), **one._asdict()) for key, one in alert.series.items()
            ),
            flaps=flaps,
        )

    def alert(self, incident: OpenIncident, policy: CorrelatePolicy) -> Alert:
        alert = Alert.opened(incident.id, incident.ship_id, self.head, policy)
        alert.id, alert.shown = self.id, self.shown
        alert.last, alert.said = self.last, self.said
        alert.began, alert.arrival = self.began, self.arrival
        alert.believed, alert.count = self.believed, self.count
        alert.keys = dict.fromkeys(self.keys)
        alert.upstream, alert.probable = self.upstream, self.probable
        alert.fingerprints, alert.members = dict(self.fingerprints), None
        for one in self.series:
            key = SeriesKey(one.service, one.metric, one.peer, one.component)
            alert.series[key] = SeriesState(
                one.last, one.worst, one.cleared, one.anomalies, one.raised, one.confidence
            )
        return alert


class KeptIncident(Kept):
    prefix: ClassVar[str] = "incident."

    id: Text
    ship_id: Text
    revision: int = Field(ge=1)
    severity: Severity
    inferred: str = ""
    acknowledged: bool = False
    quiet_since: UtcDatetime | None = None
    guess: str = ""
    earlier: NonNegativeInt = 0
    since: UtcDatetime | None = None
    root: RootCause | None = None
    alerts: tuple[KeptAlert, ...] = Field(min_length=1)

    @classmethod
    def marks(cls, state: CorrelationState, now: datetime) -> Mapping[str, object]:
        return {
            incident.id: (incident.revision, incident.acknowledged)
            for incident in state.open.incidents.values()
            if incident.alerts and now - incident.began > KEPT_AFTER
        }

    @classmethod
    def copied(cls, state: CorrelationState, id_: str) -> KeptIncident:
        incident, flaps = state.open.incidents[id_], state.recoveries.flaps
        return cls(
            id=incident.id,
            ship_id=incident.ship_id,
            revision=incident.revision,
            severity=incident.severity,
            inferred=incident.inferred,
            acknowledged=incident.acknowledged,
            quiet_since=incident.quiet_since,
            guess=incident.guess,
            earlier=incident.earlier,
            since=incident.since,
            root=incident.root,
            alerts=tuple(KeptAlert.of(a, flaps(a.key)) for a in incident.alerts.values()),
        )

    def restore(self, state: CorrelationState, policy: CorrelatePolicy) -> None:
        incident = OpenIncident(
            id=self.id,
            ship_id=self.ship_id,
            revision=self.revision,
            severity=self.severity,
            acknowledged=self.acknowledged,
            quiet_since=self.quiet_since,
            guess=self.guess,
            earlier=self.earlier,
            since=self.since,
            root=self.root,
        )
        alerts = [(kept.alert(incident, policy), kept.flaps) for kept in self.alerts]
        state.restore(incident, self.inferred, alerts)

    def encoded(self) -> bytes:
        """Of alerts that are too many for one value, those that last go first."""
        data, alerts = super().encoded(), self.alerts
        while len(data) > LARGEST and len(alerts) > 1:
            alerts = tuple(sorted(alerts, key=_is_over))[: len(alerts) // 2]
            data = self.but(alerts=alerts).model_dump_json().encode()
        return data


class KeptProblem(Kept):
    prefix: ClassVar[str] = "problem."

    problem: KnownProblem

    @classmethod
    def marks(cls, state: CorrelationState, now: datetime) -> Mapping[str, object]:
        return state.problems.table.marks

    @classmethod
    def copied(cls, state: CorrelationState, id_: str) -> KeptProblem:
        problem = state.problems.table.get(id_)
        if problem is None:
            raise LookupError(f"there is no problem {id_}")
        return cls(problem=problem)

    def restore(self, state: CorrelationState, policy: CorrelatePolicy) -> None:
        table = state.problems.table
        for part in filter(None, map(table.get, self.problem.absorbed)):
            table.forget(part)
        table.put(self.problem)


KINDS: tuple[type[Kept], ...] = (KeptIncident, KeptProblem)


def _is_over(alert: KeptAlert) -> bool:
    return not any(
        one.raised and (one.cleared is None or one.raised > one.cleared) for one in alert.series
    )


def decode(
    values: Mapping[str, bytes],
) -> tuple[dict[str, Kept], datetime | None, dict[str, ValueError]]:
    """What the bucket has, by key, and of when; and what of it cannot be read, and why."""
    wrong: dict[str, ValueError] = {}
    kept: dict[str, Kept] = {}
    as_of: datetime | None = None
    for key, value in values.items():
        try:
            if len(value) > LARGEST:
                raise ValueError(f"{len(value)} bytes, the limit is {LARGEST}")
            if key == AS_OF:
                as_of = AsOf.model_validate_json(value).at
            else:
                kept[key] = _kind_of(key).model_validate_json(value)
        except ValueError as exc:  # ValidationError is one
            wrong[key] = exc
    return kept, as_of, wrong


def _kind_of(key: str) -> type[Kept]:
    for kind in KINDS:
        if key.startswith(kind.prefix):
            return kind
    raise ValueError("nothing of that name is kept")


class Restoring:
    """Puts what was *kept* in force, each at its place among the facts. *newest* is the place of
    the newest fact: a stream that was made anew counts from the beginning."""

    def __init__(self, kept: Iterable[Kept], newest: int) -> None:
        places = [(one.sequence if one.sequence <= newest else 0, one) for one in kept]
        self._waiting = sorted(places, key=lambda place: -place[0])

    def before(self, sequence: int) -> list[Kept]:
        """What is to be put in force before the fact of that *sequence*."""
        due = []
        while self._waiting and self._waiting[-1][0] < sequence:
            due.append(self._waiting.pop()[1])
        return due

    def rest(self) -> list[Kept]:
        return [kept for _, kept in reversed(self._waiting)]
