"""An open incident, as far as correlation needs to know it: its alerts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import nsmallest
from itertools import islice

from aiops_core.models import Evidence, RootCause, Severity
from correlation_service.alerts import Alert, place_of, recovered_of

# Anybody who can send a line can invent hosts and peers, so what a fact says is bounded.
KEYS_TOLD = 50
NAMES_TOLD = 500  # devices, and services
RANKED = tuple(Severity)
MOVABLE_FOR = timedelta(minutes=55)  # shortly before the members of an incident may be forgotten


@dataclass(slots=True, eq=False)
class OpenIncident:
    """*revision* is 0 until its creation is published, *severity* as it was published last.

    *inferred* is a silent device that is probably the root. All of it lies within *bounds*, which
    may be too wide after an alert has moved away. *earlier* anomalies, *since* the first of them,
    are in occurrences that are over; *root* is as it was published last. An *acknowledged* incident
    does not expire; one that is open though quiet has said so, *quiet_since* its last anomaly.
    *guess* is the newest reason why something in it is probably over.
    """

    id: str
    ship_id: str
    revision: int = 0
    severity: Severity = Severity.LOW
    inferred: str = ""
    alerts: dict[str, Alert] = field(default_factory=dict)
    count: int = 0  # anomalies in all alerts
    bounds: tuple[datetime, datetime] | None = None
    acknowledged: bool = False
    quiet_since: datetime | None = None
    guess: str = ""
    earlier: int = 0
    since: datetime | None = None
    root: RootCause | None = None

    def copy(self) -> OpenIncident:
        return replace(self, alerts=self.alerts.copy())

    @property
    def total(self) -> int:
        """Anomalies of all its occurrences."""
        return self.earlier + self.count

    @property
    def first_seen(self) -> datetime:
        return min(alert.first for alert in self.alerts.values())

    @property
    def last_seen(self) -> datetime:
        return max(alert.last for alert in self.alerts.values())

    @property
    def last_arrival(self) -> datetime:
        return max(alert.arrival for alert in self.alerts.values())

    @property
    def said(self) -> datetime:
        """Its newest anomaly, which did not happen after it arrived."""
        return max(min(alert.said, alert.arrival) for alert in self.alerts.values())

    @property
    def began(self) -> datetime:
        """The earliest arrival of what is in it."""
        return min(alert.began for alert in self.alerts.values())

    @property
    def lasts(self) -> bool:
        """Whether a state in it is open."""
        return any(alert.lasts for alert in self.alerts.values())

    def is_old(self, now: datetime) -> bool:
        """Whether it has lasted so long that it is not taken apart any more."""
        return bool(self.alerts) and now - self.began > MOVABLE_FOR

    @property
    def over_since(self) -> datetime:
        """When it was over by its own times: it had recovered, or was quiet for its windows."""
        alerts = self.alerts.values()
        if recovered := recovered_of(alerts):
            return max(recovered, self.last_seen)
        ends = (series.cleared for alert in alerts for series in alert.series.values())
        return max([*(alert.last + alert.window for alert in alerts), *filter(None, ends)])

    @property
    def movable(self) -> bool:
        """Whether it may go over to another: what is in its earlier occurrences would not."""
        return not self.earlier and not any(a.members is None for a in self.alerts.values())

    @property
    def weight(self) -> tuple[bool, int]:
        """Of two incidents that become one the heavier remains."""
        return self.revision > 0, self.total

    @property
    def is_list(self) -> bool:
        """Whether it only keeps single errors together that nothing connects."""
        return len(self.alerts) > 1 and not any(a.believed for a in self.alerts.values())

    @property
    def devices(self) -> tuple[str, ...]:
        """The affected devices, in the order in which they were affected."""
        return _first(alert.key.device for alert in self.in_order())

    @property
    def width(self) -> int:
        """How many devices are affected."""
        return len({alert.key.device for alert in self.alerts.values()})

    @property
    def services(self) -> tuple[str, ...]:
        return _first(key.service for alert in self.in_order() for key in alert.series)

    @property
    def keys(self) -> tuple[str, ...]:
        """Correlation keys of the earliest alerts."""
        first = nsmallest(KEYS_TOLD, self.alerts.values(), key=place_of)
        return tuple(dict.fromkeys(key for alert in first for key in alert.keys))[:KEYS_TOLD]

    def in_order(self) -> list[Alert]:
        """Its alerts in an order that does not depend on how they came into it."""
        return sorted(self.alerts.values(), key=place_of)

    def take(self, alert: Alert) -> None:
        self.alerts[alert.id] = alert
        self.count += alert.count
        self.widen(alert.first, alert.last)

    def give(self, alert: Alert) -> None:
        self.count -= self.alerts.pop(alert.id).count

    def widen(self, first: datetime, last: datetime) -> None:
        low, high = self.bounds or (first, last)
        self.bounds = (min(low, first), max(high, last))

    def fits(self, at: datetime, longest: timedelta) -> bool:
        """Whether it is no longer than *longest* with an anomaly at that time; looks at every alert
        only when the bounds leave it open."""
        if self.bounds and max(at, self.bounds[1]) - min(at, self.bounds[0]) <= longest:
            return True
        return max(at, self.last_seen) - min(at, self.first_seen) <= longest

    def worst(self, escalate_devices: int) -> Severity:
        """The worst open severity, one step more when many devices are affected; low when all has
        recovered, and of a mere list of single errors. An attack that is over stays as severe as
        it was until somebody acknowledges it."""
        if self.is_list:
            return Severity.LOW
        bad = [(rank, alert) for alert in self.alerts.values() if (rank := self._rank(alert)) >= 0]
        if not bad:
            return Severity.LOW
        rank = max(rank for rank, _ in bad)
        devices = {alert.key.device for _, alert in bad if alert.believed}
        return RANKED[min(rank + (len(devices) >= escalate_devices), len(RANKED) - 1)]

    def _rank(self, alert: Alert) -> int:
        keeps = alert.rule.keeps_severity and not self.acknowledged
        return alert.worst_ever if keeps else alert.worst

    def telling(self, generic: Callable[[str], bool]) -> dict[str, Alert]:
        """Of each affected device the alert that says best what is wrong there: of a type that is
        not *generic*, and of those the first."""
        best: dict[str, Alert] = {}

        def rank(alert: Alert) -> tuple[bool, bool, object]:
            return alert.doubtful, generic(alert.key.anomaly_type), alert.place

        for alert in self.alerts.values():
            known = best.setdefault(alert.key.device, alert)
            if rank(alert) < rank(known):
                best[alert.key.device] = alert
        return best

    def firsts(self) -> dict[str, Evidence]:
        """The first anomaly of each affected device, preferably of a type that means something."""
        firsts: dict[str, Alert] = {}
        for alert in self.alerts.values():
            known = firsts.setdefault(alert.key.device, alert)
            if _standing(alert) < _standing(known):
                firsts[alert.key.device] = alert
        return {a.key.device: a.head for a in sorted(firsts.values(), key=_standing)}


def _standing(alert: Alert) -> tuple[bool, object]:
    return alert.doubtful, alert.place


def _first(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(names), NAMES_TOLD))
