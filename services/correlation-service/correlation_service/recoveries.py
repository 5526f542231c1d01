"""The newest recoveries, and how often an alert has come and gone. Pure.

A recovery skips enrichment and may overtake the anomaly that it ends. So it is remembered, and both
are compared by their own times: anomalies up to the recovery are cleared, later ones are not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from aiops_core.components import UNNAMED
from aiops_core.models import AlertsCleared, AnomalyCleared
from correlation_service.alerts import Alert, AlertKey
from correlation_service.series import SeriesKey

V = TypeVar("V")
Times = tuple[datetime, ...]

KEYS_KEPT = 10_000  # alert keys with recoveries that are remembered
SCOPES_KEPT = 64  # of each key; the newest: all ports of a switch come back within seconds
SCOPES_IN_ALL = 100_000
FLAPS_KEPT = 50
GUESSED = 0.6  # how sure it is that a part's recovery is that of a part nobody named


class SeriesEnd(NamedTuple):
    """When a series recovered, and how sure that is."""

    at: datetime
    confidence: float = 1.0


class RecoveryScope(NamedTuple):
    """The series that a recovery is about; an empty field restricts nothing.

    The recovery of a component may be that of a series without one, as nobody knows which one that
    was; it is not when the component has a series of its own. ``UNNAMED`` are those without one.
    """

    service: str
    metric: str
    peer: str
    component: str = ""

    @classmethod
    def of(cls, cleared: AnomalyCleared | AlertsCleared) -> RecoveryScope:
        service = "" if cleared.service == "unknown" else cleared.service
        return cls(service, cleared.metric or "", cleared.peer or "", cleared.component)

    def covers(self, series: SeriesKey) -> bool:
        if self.component and series.component not in ("", self.component):
            return False
        return all(name in ("", is_) for name, is_ in zip(self[:3], series, strict=False))

    def covered(self, alert: Alert) -> list[SeriesKey]:
        found = [series for series in alert.series if self.covers(series)]
        named = [series for series in found if self.component and series.component]
        return named or found

    def names(self, alert: Alert) -> bool:
        """Whether *alert* has a series of the very component."""
        return any(self.component and series.component for series in self.covered(alert))

    def ends(self, alert: Alert, at: datetime) -> bool:
        """Whether a recovery at that time clears a series of *alert* that is open."""
        series = (alert.series[key] for key in self.covered(alert))
        return any(one.is_open and one.last <= at for one in series)

    def ended(self, alerts: Iterable[Alert], at: datetime) -> list[Alert]:
        """Those of *alerts*, all of one key, of which a recovery at that time ends something."""
        found = list(alerts)
        named = [alert for alert in found if self.names(alert)]
        return [alert for alert in named or found if self.ends(alert, at)]

    def clear(self, alert: Alert, recovery: SeriesEnd) -> None:
        for key in self.covered(alert):
            sure = self.sureness(key, recovery.confidence)
            alert.series[key] = alert.series[key].clear(recovery.at, sure)

    def sureness(self, series: SeriesKey, confidence: float) -> float:
        """How sure it is that a recovery of this *confidence* is that of *series*."""
        guessed = self.component not in ("", UNNAMED) and not series.component
        return min(confidence, GUESSED) if guessed else confidence


class Recoveries:
    """The newest recoveries of each alert key, and the times at which its alerts recovered."""

    def __init__(self) -> None:
        self._known: OrderedDict[AlertKey, dict[RecoveryScope, SeriesEnd]] = OrderedDict()
        self._flaps: OrderedDict[AlertKey, Times] = OrderedDict()
        self._scopes = 0

    def __len__(self) -> int:
        return len(self._known)

    def before(self, key: AlertKey, series: SeriesKey, alerts: Iterable[Alert]) -> SeriesEnd | None:
        """The newest recovery of *series*, if that is none of a component that *alerts* know."""
        known = self._known.get(key)
        if not known:
            return None
        named = set() if series.component else {s.component for a in alerts for s in a.series}
        found = (
            SeriesEnd(ended.at, scope.sureness(series, ended.confidence))
            for scope, ended in known.items()
            if scope.covers(series) and not (scope.component and scope.component in named)
        )
        return max(found, default=None)

    def flaps(self, key: AlertKey) -> Times:
        return self._flaps.get(key, ())

    def flaps_with(self, key: AlertKey, at: datetime, within: timedelta) -> Times:
        """The flaps of *key* with another recovery at that time."""
        times = sorted({*self.flaps(key), at})
        return tuple(time for time in times if at - within <= time)[-FLAPS_KEPT:]

    # -- changing ---------------------------------------------------------------------------------

    def remember(self, key: AlertKey, cleared: AnomalyCleared) -> None:
        scopes, scope = self._known.setdefault(key, {}), RecoveryScope.of(cleared)
        before = len(scopes)
        recovery = SeriesEnd(cleared.ts, cleared.confidence)
        scopes[scope] = max(recovery, scopes.pop(scope, recovery))
        if len(scopes) > SCOPES_KEPT:
            del scopes[next(iter(scopes))]
        self._scopes += len(scopes) - before
        self._known.move_to_end(key)
        while len(self._known) > KEYS_KEPT or self._scopes > SCOPES_IN_ALL:
            self._scopes -= len(self._known.popitem(last=False)[1])

    def flap(self, key: AlertKey, at: datetime, within: timedelta) -> None:
        """An alert of *key* has recovered once more."""
        self._flaps[key] = self.flaps_with(key, at, within)
        _touch(self._flaps, key)


def _touch(table: OrderedDict[AlertKey, V], key: AlertKey) -> None:
    """*key* is the last to be forgotten; the longest unused is forgotten."""
    table.move_to_end(key)
    if len(table) > KEYS_KEPT:
        table.popitem(last=False)
