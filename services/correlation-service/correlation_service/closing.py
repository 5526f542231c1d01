"""When incidents are over, and why. Pure: the tick brings the time.

The incidents that are due are kept in a heap, so that ten thousand open ones cost a tick nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import NamedTuple

from correlation_service.alerts import recovered_of
from correlation_service.incident import OpenIncident
from correlation_service.overlay import Overlay
from correlation_service.policy import CorrelatePolicy
from correlation_service.root_cause import root_cause
from correlation_service.state import CorrelationState

SENDER_LOST = "sender_lost"
CLOCK = "%H:%M:%S UTC"
LAST = datetime.max.replace(tzinfo=UTC)
ALERTS_OPEN = 20_000  # they take some 8 KB each
QUIETEST = "this was the longest without a new anomaly"


class IncidentEnd(NamedTuple):
    """*incident* is over: *why* in one word, *note* in a sentence."""

    incident: OpenIncident
    why: str
    note: str


class Closing:
    """Remembers when each incident is looked at next; the state does not depend on it."""

    def __init__(self, policy: CorrelatePolicy, state: CorrelationState) -> None:
        self._policy, self._state = policy, state
        self._due: list[tuple[datetime, str]] = []
        self._looked_at: dict[str, datetime] = {}

    def over(self, now: datetime) -> Iterator[IncidentEnd]:
        for incident_id in sorted(self._state.touched):
            self._watch(incident_id)
        self._state.touched.clear()
        yield from self._due_at(now)
        yield from self._too_many()

    def _watch(self, incident_id: str) -> None:
        """Plan to look at the incident when it may be over, or earlier than planned."""
        incident = self._state.open.incidents.get(incident_id)
        if incident and incident.alerts:
            over_at = self._over_at(incident)
            if over_at < self._looked_at.get(incident_id, LAST):
                self._looked_at[incident_id] = over_at
                heappush(self._due, (over_at, incident_id))

    def _due_at(self, now: datetime) -> Iterator[IncidentEnd]:
        while self._due and self._due[0][0] < now:
            at, incident_id = heappop(self._due)
            if self._looked_at.get(incident_id) == at:
                del self._looked_at[incident_id]
            incident = self._state.open.incidents.get(incident_id)
            if incident and incident.alerts and self._over_at(incident) < now:
                yield self._end(incident)
            else:
                self._watch(incident_id)

    def _too_many(self) -> Iterator[IncidentEnd]:
        """The incidents that are quiet for longest, when more alerts are open than fit in
        memory."""
        if len(self._state.open.alerts) <= ALERTS_OPEN:
            return
        for incident in sorted(
            self._state.open.incidents.values(), key=lambda one: (one.last_arrival, one.id)
        ):
            note = f"more than {ALERTS_OPEN} alerts are open; {QUIETEST}"
            yield IncidentEnd(incident, "expired", note)
            if len(self._state.open.alerts) <= ALERTS_OPEN:
                return

    def _over_at(self, incident: OpenIncident) -> datetime:
        """The quiet after the last anomaly, or the delay after a recovery; and old lines must
        settle.

        An anomaly of the future was seen when it arrived: it does not stay open until then.
        """
        alerts = incident.alerts.values()
        over = max(min(alert.last, alert.arrival) + alert.window for alert in alerts)
        over += self._policy.lateness
        if recovered := recovered_of(alerts):
            over = min(over, recovered + self._resolve_delay(incident))
        return max(over, incident.last_arrival + self._policy.settle)

    def _resolve_delay(self, incident: OpenIncident) -> timedelta:
        stored = Overlay(self._state, self._policy)
        return max(map(stored.resolve_delay, incident.alerts.values()))

    def _end(self, incident: OpenIncident) -> IncidentEnd:
        alerts = incident.alerts.values()
        if recovered := recovered_of(alerts):
            note = f"all has recovered since {recovered:{CLOCK}}"
            return IncidentEnd(incident, "recovered", note)
        quiet = max(alert.window for alert in alerts).total_seconds() / 60
        note = f"nothing more was seen for {quiet:g} minutes"
        root = root_cause(incident.firsts()).device
        if recovered := recovered_of(alert for alert in alerts if alert.key.device == root):
            why = f"{root} is well again since {recovered:{CLOCK}}; {note}"
            return IncidentEnd(incident, "recovered", why)
        if {a.key.anomaly_type for a in alerts if a.worst >= 0} == {SENDER_LOST}:
            why = f"the silent sender has not returned; {note}"
            return IncidentEnd(incident, SENDER_LOST, why)
        return IncidentEnd(incident, "expired", note)
