"""When incidents are over, and why. Pure: the tick brings the time.

Time alone ends events: what is quiet for longer than its window. A state lasts until it is cleared,
and what a person has acknowledged until it has recovered. Those are told once to be quiet. What is
due is kept in a heap, so that ten thousand open incidents cost a tick nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import NamedTuple

from correlation_service.alerts import Alert, recovered_of
from correlation_service.incident import OpenIncident
from correlation_service.overlay import Overlay
from correlation_service.policy import CorrelatePolicy
from correlation_service.root_cause import root_cause
from correlation_service.state import CorrelationState

CLOCK = "%Y-%m-%d %H:%M:%S UTC"
LAST = datetime.max.replace(tzinfo=UTC)
ALERTS_OPEN = 20_000  # they take some 8 KB each
EXPIRED = "expired"
QUIETEST = "this was the longest without a new anomaly"


class IncidentEnd(NamedTuple):
    """*incident* is over: *why* in one word, *note* in a sentence, and how sure that is."""

    incident: OpenIncident
    why: str
    note: str
    confidence: float = 1.0


class StillOpen(NamedTuple):
    """*incident* is not over, but nothing was seen of it *since* its last anomaly."""

    incident: OpenIncident
    since: datetime
    note: str


class Closing:
    """Remembers when each incident is looked at next; the state does not depend on it."""

    def __init__(self, policy: CorrelatePolicy, state: CorrelationState) -> None:
        self._policy, self._state = policy, state
        self._due: list[tuple[datetime, str]] = []
        self._looked_at: dict[str, datetime] = {}

    def over(self, now: datetime) -> Iterator[IncidentEnd | StillOpen]:
        for incident_id in sorted(self._state.touched):
            self._watch(incident_id)
        self._state.touched.clear()
        yield from self._due_at(now)
        yield from self._too_many()

    def _watch(self, incident_id: str) -> None:
        """Plan to look at the incident when it may be over, or earlier than planned. One that has
        said that it stays open is looked at when something happens to it."""
        incident = self._state.open.incidents.get(incident_id)
        if incident is None or not incident.alerts:
            return
        if incident.quiet_since and self._stays(incident):
            return
        over_at = self._over_at(incident)
        if over_at < self._looked_at.get(incident_id, LAST):
            self._looked_at[incident_id] = over_at
            heappush(self._due, (over_at, incident_id))

    def _due_at(self, now: datetime) -> Iterator[IncidentEnd | StillOpen]:
        while self._due and self._due[0][0] < now:
            at, incident_id = heappop(self._due)
            if self._looked_at.get(incident_id) == at:
                del self._looked_at[incident_id]
            incident = self._state.open.incidents.get(incident_id)
            if incident is None or not incident.alerts:
                continue
            if self._over_at(incident) >= now:
                self._watch(incident_id)
            elif not self._stays(incident):
                yield self._end(incident)
            elif incident.quiet_since is None:
                yield _still_open(incident)

    def _stays(self, incident: OpenIncident) -> bool:
        """Whether it is not over by being quiet."""
        return incident.lasts or (incident.acknowledged and self._end(incident).why == EXPIRED)

    def _too_many(self) -> Iterator[IncidentEnd]:
        """The incidents that are quiet for longest, when more alerts are open than fit in memory;
        first those that time may end."""
        if len(self._state.open.alerts) <= ALERTS_OPEN:
            return
        for incident in sorted(self._state.open.incidents.values(), key=self._standing):
            note = f"more than {ALERTS_OPEN} alerts are open; {QUIETEST}"
            yield IncidentEnd(incident, EXPIRED, note)
            if len(self._state.open.alerts) <= ALERTS_OPEN:
                return

    def _standing(self, incident: OpenIncident) -> tuple[bool, datetime]:
        return self._stays(incident), incident.last_arrival

    def _over_at(self, incident: OpenIncident) -> datetime:
        """The quiet after the last anomaly, or the delay after a recovery; and old lines must
        settle.

        An anomaly of the future was seen when it arrived: it does not stay open until then.
        """
        alerts = incident.alerts.values()
        over = max(min(alert.said, alert.arrival) + alert.window for alert in alerts)
        over += self._policy.lateness
        if recovered := recovered_of(alerts):
            over = min(over, recovered + self._resolve_delay(incident))
        elif ended := max(filter(None, (alert.ended_at for alert in alerts)), default=None):
            over = max(over, ended + self._resolve_delay(incident))
        return max(over, incident.last_arrival + self._policy.settle)

    def _resolve_delay(self, incident: OpenIncident) -> timedelta:
        stored = Overlay(self._state, self._policy)
        return max(map(stored.resolve_delay, incident.alerts.values()))

    def _end(self, incident: OpenIncident) -> IncidentEnd:
        """How it ends when it is over now."""
        alerts = list(incident.alerts.values())
        if recovered := recovered_of(alerts):
            return _recovered(incident, alerts, f"all has recovered since {recovered:{CLOCK}}")
        quiet = max(alert.window for alert in alerts).total_seconds() / 60
        note = f"nothing more was seen for {quiet:g} minutes"
        root = root_cause(incident.firsts()).device
        at_root = [alert for alert in alerts if alert.key.device == root]
        if well := recovered_of(at_root) or _ended(at_root):
            note = f"{root} is well again since {well:{CLOCK}}; {note}"
            return _recovered(incident, at_root, note)
        return IncidentEnd(incident, EXPIRED, note)


def _ended(alerts: Sequence[Alert]) -> datetime | None:
    """When the last state of *alerts* was cleared; None while one is open, or without any."""
    if any(alert.lasts for alert in alerts):
        return None
    return max(filter(None, (alert.ended_at for alert in alerts)), default=None)


def _still_open(incident: OpenIncident) -> StillOpen:
    why = "it was not said to be over" if incident.lasts else "it is acknowledged"
    note = f"still open, as {why}: nothing more was seen since {incident.said:{CLOCK}}"
    return StillOpen(incident, incident.said, note)


def _recovered(incident: OpenIncident, alerts: Sequence[Alert], why: str) -> IncidentEnd:
    """*why* is probable when a recovery of *alerts* is."""
    sure = min(alert.sureness for alert in alerts)
    if sure < 1:
        why = f"probably: {why}" + (f" ({incident.guess})" if incident.guess else "")
    return IncidentEnd(incident, "recovered", why, sure)
