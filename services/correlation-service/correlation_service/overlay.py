"""An overlay: the changes of a decision lie over the state, which stays as it is. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from aiops_core.models import Evidence, Severity, derived_id
from correlation_service.alerts import Alert, AlertKey
from correlation_service.incident import OpenIncident
from correlation_service.kinds import place_of
from correlation_service.open_incidents import AlertIndex
from correlation_service.policy import CorrelatePolicy
from correlation_service.problems import Return
from correlation_service.recoveries import Times
from correlation_service.series import SeriesKey
from correlation_service.signatures import signature_of
from correlation_service.state import CorrelationState

STRAYS_COMPARED = KIN_COMPARED = 64


class Move(NamedTuple):
    """*members* were published as part of *origin* (incident) and *alert*; *holder* is the alert
    that has them now, wherever that is."""

    members: list[bytes]
    origin: str
    alert: str
    holder: str
    reason: str


class Overlay:
    """*subject* is the alert of the anomaly that is decided about: a copy, or a new one."""

    def __init__(self, state: CorrelationState, policy: CorrelatePolicy) -> None:
        self.state, self.policy = state, policy
        self.subject: Alert | None = None
        self.moves: list[Move] = []
        self._alerts: dict[str, Alert | None] = {}  # changed ones; None: united with another
        self._homes: dict[str, str] = {}  # alert -> incident, of those that moved
        self._incidents: dict[str, OpenIncident] = {}
        self._inferred: dict[tuple[str, str], str] = {}
        self._flaps: dict[AlertKey, Times] = {}
        self._noted: set[str] = set()
        self.returns: dict[str, Return] = {}  # incidents that begin another occurrence

    # -- reading ----------------------------------------------------------------------------------

    def incident(self, incident_id: str) -> OpenIncident:
        return self._incidents.get(incident_id) or self.state.open.incidents[incident_id]

    def home_of(self, alert: Alert) -> str:
        """The incident that has *alert*."""
        return self._homes.get(alert.id, alert.incident_id)

    def alert(self, alert_id: str) -> Alert:
        return self._alerts.get(alert_id) or self.state.open.alerts[alert_id]

    def at(self, key: AlertKey, ts: datetime) -> list[Alert]:
        """The alerts of *key* that an anomaly of that time belongs to: two when it closes a gap."""
        near = self.state.open.of_key[key]
        longest = self.policy.max_length
        return [
            alert
            for alert in near
            if alert.reaches(ts, self.resolve_delay(alert))
            and self.incident(alert.incident_id).fits(ts, longest)
        ]

    def lasting(self, key: AlertKey, series: SeriesKey, ts: datetime) -> Alert | None:
        """The alert whose state of *series* is open: it lasts, however long nothing is said."""
        for alert in self.state.open.of_key[key]:
            known = alert.series.get(series)
            if known and known.lasts and alert.first <= ts:
                return alert
        return None

    def going_on(self, key: AlertKey, member: Evidence) -> list[Alert]:
        """The alert of *key* about the same as *member*, quiet for longer than its window, while
        its incident goes on."""
        for alert in self.state.open.of_key[key]:
            incident = self.incident(alert.incident_id)
            if (
                _is_about_the_same(key.ship, alert.head, member, self.policy)
                and self._is_going_on(incident, member.ts)
                and (incident.lasts or incident.fits(member.ts, self.policy.max_length))
            ):
                return [alert]
        return []

    def _is_going_on(self, incident: OpenIncident, ts: datetime) -> bool:
        """Whether something in it lasts or may still grow, however late it comes."""
        if incident.lasts:
            return True
        at = ts - self.policy.lateness
        return any(at <= one.until(self.resolve_delay(one)) for one in incident.alerts.values())

    def sharing(self, key: str) -> list[Alert]:
        """Alerts with a correlation key."""
        mine = self.subject is not None and key in self.subject.keys
        return self._read(self.state.open.sharing, key, mine)

    def on(self, ship: str, device: str) -> list[Alert]:
        mine = self.subject is not None and self.subject.key[:2] == (ship, device)
        return self._read(self.state.open.on, (ship, device), mine)

    def below(self, ship: str, device: str) -> list[Alert]:
        """Alerts on devices that depend on *device*."""
        new = self._new_on(ship)
        mine = new is not None and device in new.upstream
        return self._read(self.state.open.below, (ship, device), mine)

    def strays(self, near: Alert) -> list[Alert]:
        """Alerts with too little evidence to be believed, those that began shortly before or after
        *near*."""
        ship = near.key.ship
        found = self.state.open.strays.near(ship, near.place, STRAYS_COMPARED)
        strays = [alert for alert in self._now(found) if not alert.believed]
        if (new := self._new_on(ship)) and not new.believed:
            strays.append(new)
        return strays

    def beside(self, alert: Alert, within: timedelta) -> list[Alert]:
        """Of the alerts of its kin those on other devices that began at about its time."""
        ship, found = alert.key.ship, dict[str, Alert]()
        for name in alert.kin:
            near = self._now(self.state.open.kin.near((ship, name), alert.place, KIN_COMPARED))
            if (new := self._new_on(ship)) and name in new.kin:
                near.append(new)
            found |= {a.id: a for a in near if abs(a.first - alert.first) <= within}
        return [other for other in found.values() if other.key.device != alert.key.device]

    def inferring(self, ship: str, device: str) -> OpenIncident | None:
        """The incident for which *device*, which is silent, is held responsible."""
        key = ship, device
        found = (
            self._inferred.get(key) if key in self._inferred else self.state.open.inferred.get(key)
        )
        incident = self.incident(found) if found else None
        return incident if incident and incident.alerts else None

    def flaps(self, alert: Alert) -> Times:
        """The times at which *alert* has recovered."""
        times = self._flaps.get(alert.key) or self.state.recoveries.flaps(alert.key)
        if not times:
            return ()
        since = alert.first - self.policy.flapping.within
        return tuple(time for time in times if time >= since)

    def resolve_delay(self, alert: Alert) -> timedelta:
        """How long it must stay recovered: longer when it flaps."""
        flapping = self.policy.flapping
        is_flapping = len(self.flaps(alert)) >= flapping.times
        return flapping.resolve_delay if is_flapping else self.policy.resolve_delay

    def _read(self, index: AlertIndex, key: Hashable, mine: bool) -> list[Alert]:
        found = self._now(index[key])
        if mine and self.subject and self.subject not in found:
            found.append(self.subject)
        return found

    def _now(self, alerts: Iterable[Alert]) -> list[Alert]:
        if not self._alerts:
            return list(alerts)
        changed = self._alerts
        return [now for alert in alerts if (now := changed.get(alert.id, alert))]

    def _new_on(self, ship: str) -> Alert | None:
        """The subject, if it is a new alert on *ship*."""
        if self.subject and self.subject.key.ship == ship:
            return self.subject if self.subject.id not in self.state.open.alerts else None
        return None

    # -- changing ---------------------------------------------------------------------------------

    def edit(self, incident_id: str) -> OpenIncident:
        """A copy of the incident that may be changed."""
        if incident_id not in self._incidents:
            self._incidents[incident_id] = self.state.open.incidents[incident_id].copy()
        return self._incidents[incident_id]

    def new_incident(self, ship: str, *cause: str) -> OpenIncident:
        incident = OpenIncident(derived_id("incident", *cause), ship)
        self._incidents[incident.id] = incident
        return incident

    def again(self, member: Evidence, ship: str) -> OpenIncident | None:
        """The incident of the problem that *member* is another occurrence of, without its former
        alerts; None when it belongs to no incident that there was."""
        state = self.state
        problem = state.problems.table.with_signature(signature_of(ship, member, self.policy))
        if problem is None or not state.may_go_on(problem.incident):
            return None
        stored = state.open.incidents.get(problem.incident)
        if stored and stored.lasts:
            return None  # its alerts are not over
        goes_on = stored is not None and self._is_going_on(stored, member.ts)
        place = place_of(ship, member, self.policy)
        back = state.problems.again(problem, place, member.severity, goes_on)
        if back is None:
            return None
        self.returns[problem.incident] = back
        self._retire(stored)
        self._incidents[problem.incident] = incident = OpenIncident(
            problem.incident,
            ship,
            revision=stored.revision if stored else problem.revision,
            severity=Severity.LOW,
            earlier=stored.total if stored else problem.anomalies,
            since=problem.since,
        )
        return incident

    def _retire(self, incident: OpenIncident | None) -> None:
        """The alerts of *incident* are over: nothing follows them any more."""
        if incident:
            self._alerts |= dict.fromkeys(incident.alerts)
            self._inferred[incident.ship_id, incident.inferred] = ""

    def add(self, alert: Alert) -> None:
        """A new *alert*."""
        self.subject = self._alerts[alert.id] = alert
        self.edit(alert.incident_id).take(alert)

    def extend(self, alert: Alert) -> None:
        """*alert* is a copy with the anomaly that is decided about."""
        self.subject = alert
        self.replace(alert)

    def replace(self, alert: Alert) -> None:
        """*alert* is a changed copy of the one that the state has."""
        self._alerts[alert.id] = alert
        incident = self.edit(alert.incident_id)
        incident.count += alert.count - incident.alerts[alert.id].count
        incident.alerts[alert.id] = alert
        incident.widen(alert.first, alert.last)

    def drop(self, alert: Alert) -> None:
        """*alert* is united with another."""
        self._alerts[alert.id] = None
        self.edit(alert.incident_id).give(alert)

    def move(self, alert: Alert, to: str) -> None:
        self.edit(self.home_of(alert)).give(alert)
        self.edit(to).take(alert)
        self._homes[alert.id] = to

    def note(self, alert: Alert, reason: str, holder: Alert | None = None) -> None:
        """*alert* may leave the incident that it was published in, and *holder* have its members;
        only the first time counts."""
        if self.incident(self.home_of(alert)).revision and alert.id not in self._noted:
            stored = self.state.open.alerts[alert.id]
            move = Move(
                stored.members or [], stored.incident_id, alert.id, (holder or alert).id, reason
            )
            self.moves.append(move)
        self._noted.add(alert.id)

    def infer(self, incident_id: str, device: str) -> None:
        incident = self.edit(incident_id)
        former = self.inferring(incident.ship_id, incident.inferred)
        if former and former.id == incident_id:
            self._inferred[incident.ship_id, incident.inferred] = ""
        incident.inferred = device
        if device:
            self._inferred[incident.ship_id, device] = incident_id

    def flap(self, alert: Alert, at: datetime) -> None:
        within = self.policy.flapping.within
        self._flaps[alert.key] = self.state.recoveries.flaps_with(alert.key, at, within)


def _is_about_the_same(
    ship: str, head: Evidence, member: Evidence, policy: CorrelatePolicy
) -> bool:
    if head.fingerprint == member.fingerprint:
        return True
    return signature_of(ship, head, policy) == signature_of(ship, member, policy)
