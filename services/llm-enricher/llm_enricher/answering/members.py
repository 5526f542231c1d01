"""The members of an incident by kind, out of the facts that name them, in any order. Pure.

A member that left is counted no more, also when the fact that brought it comes after that. A
recovery ends the series (a part of the device) that it names; a kind is over when all of its series
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, TypeVar

from aiops_core.models import AlertsCleared, Evidence, Severity
from llm_enricher.question import MemberKind

K = TypeVar("K")
V = TypeVar("V")

KINDS_KEPT = 200  # of one incident; senders choose names. Of more the newest
PLACES_KEPT = 2000  # members whose kind is remembered in case they leave
SERIES_KEPT = 256  # of one kind, whose ends are told apart
ALERTS_KEPT = 256  # of one kind, the newest: a recovery names those that it ends
ENDS_KEPT = 64  # recoveries that members may still come behind
CITED_KEPT = 3  # newest members of a kind: some may leave


class KindKey(NamedTuple):
    device: str
    service: str
    anomaly_type: str

    @classmethod
    def of(cls, member: Evidence) -> KindKey:
        return cls(member.device, member.service, member.anomaly_type)


class SeriesName(NamedTuple):
    """What of a kind recovers on its own; an empty field does not matter."""

    metric: str
    peer: str
    component: str


class SeriesTimes(NamedTuple):
    """Its newest anomaly, and its newest recovery."""

    last: datetime
    ended: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.ended is not None and self.last <= self.ended

    def having(self, last: datetime, ended: datetime | None) -> SeriesTimes:
        return SeriesTimes(max(self.last, last), _later(self.ended, ended))


class SeriesEnded(NamedTuple):
    """A recovery, and when it was."""

    scope: AlertsCleared
    at: datetime

    def concerns(self, key: KindKey, kind: KindState) -> bool:
        named = self.scope.service in ("", "unknown", key.service)
        return named and not set(kind.alerts).isdisjoint(self.scope.alerts)

    def covers(self, series: SeriesName) -> bool:
        """A part that recovers may be the one that nobody named."""
        if self.scope.component and series.component not in ("", self.scope.component):
            return False
        return self.scope.metric in ("", series.metric) and self.scope.peer in ("", series.peer)


@dataclass(frozen=True)
class KindState:
    """The members of one kind."""

    count: int
    first: datetime
    last: datetime
    severity: Severity
    newest: tuple[Evidence, ...]  # the newest first
    alerts: tuple[str, ...]  # the newest first
    series: Mapping[SeriesName, SeriesTimes]
    revision: int  # newest that brought one of them

    @classmethod
    def of(cls, one: Evidence, revision: int) -> KindState:
        name = SeriesName(one.metric, one.peer, one.component)
        return cls(
            count=1,
            first=one.ts,
            last=one.ts,
            severity=one.severity,
            newest=(one,),
            alerts=one.alerts[:ALERTS_KEPT],
            series={name: SeriesTimes(one.ts, one.cleared_at)},
            revision=revision,
        )

    @property
    def is_over(self) -> bool:
        return all(one.is_over for one in self.series.values())

    def united(self, other: KindState) -> KindState:
        series = dict(self.series)
        for name, times in other.series.items():
            known = series.get(name, times)
            if name in series or len(series) < SERIES_KEPT:
                series[name] = known.having(*times)
        newest = sorted((*self.newest, *other.newest), key=_place, reverse=True)
        return KindState(
            count=self.count + other.count,
            first=min(self.first, other.first),
            last=max(self.last, other.last),
            severity=max(self.severity, other.severity, key=lambda one: one.rank),
            newest=tuple(newest[:CITED_KEPT]),
            alerts=tuple(dict.fromkeys((*other.alerts, *self.alerts)))[:ALERTS_KEPT],
            series=series,
            revision=max(self.revision, other.revision),
        )

    def without(self, gone: frozenset[str]) -> KindState:
        """*gone* are members of this kind."""
        newest = tuple(one for one in self.newest if one.anomaly_id not in gone)
        return replace(self, count=self.count - len(gone), newest=newest)

    def after(self, recovery: SeriesEnded) -> KindState:
        covered = [name for name in self.series if recovery.covers(name)]
        named = [name for name in covered if recovery.scope.component and name.component]
        ended = {
            name: self.series[name].having(self.series[name].last, recovery.at)
            for name in named or covered
        }
        return replace(self, series={**self.series, **ended})


class MemberPlace(NamedTuple):
    """The kind of a member, and the newest revision that brought it."""

    key: KindKey
    revision: int


@dataclass(frozen=True)
class MemberTable:
    """Members by kind. *places*: of the members that are remembered; *left*: the revision in which
    a member left."""

    kinds: Mapping[KindKey, KindState] = field(default_factory=dict)
    places: Mapping[str, MemberPlace] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    ends: tuple[SeriesEnded, ...] = ()

    def joined(self, members: Sequence[Evidence], revision: int) -> MemberTable:
        here = [one for one in members if self.left.get(one.anomaly_id, 0) < revision]
        if not here:
            return self
        kinds, places = dict(self.kinds), dict(self.places)
        for one in here:
            key, known = KindKey.of(one), places.get(one.anomaly_id)
            places[one.anomaly_id] = MemberPlace(key, max(known.revision if known else 0, revision))
            if known is None:
                state = self._ended(key, KindState.of(one, revision))
                kinds[key] = kinds.pop(key).united(state) if key in kinds else state
        back = {one.anomaly_id for one in here}
        left = {id: at for id, at in self.left.items() if id not in back}
        return replace(
            self, kinds=_newest(kinds, KINDS_KEPT), places=_newest(places, PLACES_KEPT), left=left
        )

    def departed(
        self, gone: Iterable[str], revision: int, devices: Sequence[str] | None
    ) -> MemberTable:
        """*devices*: those that are affected after that, where the fact names them."""
        kinds, places, left = dict(self.kinds), dict(self.places), dict(self.left)
        by_kind: dict[KindKey, set[str]] = {}
        for anomaly_id in gone:
            place = places.get(anomaly_id)
            if place and place.revision > revision:  # it has come back since
                continue
            left[anomaly_id] = max(left.get(anomaly_id, 0), revision)
            if place:
                del places[anomaly_id]
                by_kind.setdefault(place.key, set()).add(anomaly_id)
        for key, ids in by_kind.items():
            if key in kinds:
                kinds[key] = kinds[key].without(frozenset(ids))
        rest = {
            key: kind
            for key, kind in kinds.items()
            if kind.count > 0 and (not devices or key.device in devices or kind.revision > revision)
        }
        return replace(self, kinds=rest, places=places, left=_newest(left, PLACES_KEPT))

    def cleared(self, scope: AlertsCleared, at: datetime) -> MemberTable:
        recovery = SeriesEnded(scope, at)
        kinds = {
            key: kind.after(recovery) if recovery.concerns(key, kind) else kind
            for key, kind in self.kinds.items()
        }
        return replace(self, kinds=kinds, ends=(*self.ends, recovery)[-ENDS_KEPT:])

    def _ended(self, key: KindKey, kind: KindState) -> KindState:
        """*kind*, which comes now, after the recoveries that came before it."""
        for recovery in self.ends:
            if recovery.concerns(key, kind):
                kind = kind.after(recovery)
        return kind

    def listed(self) -> Iterator[MemberKind]:
        """The worst first, then the earliest. One of which no member is known any more is none."""
        places = {key: (-kind.severity.rank, kind.first, key) for key, kind in self.kinds.items()}
        for key in sorted(self.kinds, key=places.__getitem__):
            kind = self.kinds[key]
            if kind.newest:
                yield MemberKind(
                    **key._asdict(),
                    domain=kind.newest[0].domain,
                    count=kind.count,
                    first=kind.first,
                    last=kind.last,
                    severity=kind.severity,
                    newest=kind.newest[0],
                    cleared=kind.is_over,
                )


def _place(member: Evidence) -> tuple[datetime, str]:
    return member.ts, member.anomaly_id


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


def _newest(table: dict[K, V], most: int) -> dict[K, V]:
    """*table* without the oldest beyond *most*."""
    for key in list(table)[: max(len(table) - most, 0)]:
        del table[key]
    return table
