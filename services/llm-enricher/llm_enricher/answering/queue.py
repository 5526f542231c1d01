"""Incidents that wait for the model: the worst first, then whoever has waited longest. Pure.

A full queue has place for a worse one: of the least severe the newest leaves.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from aiops_core.models import Severity


class QueuedCall(NamedTuple):
    """*order* grows with each new one; *failures* are the calls that failed so far."""

    incident_id: str
    severity: Severity
    order: int
    failures: int = 0

    @property
    def urgency(self) -> tuple[int, int]:
        """The lower the sooner."""
        return -self.severity.rank, self.order


class Offer(NamedTuple):
    """What became of an offer: whether it has a place, and who had to leave for it."""

    placed: bool
    left: str | None = None


class CallQueue:
    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: dict[str, QueuedCall] = {}
        self._order = count()

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, incident_id: object) -> bool:
        return incident_id in self._calls

    def offer(
        self, incident_id: str, severity: Severity, before: QueuedCall | None = None
    ) -> Offer:
        """Whoever waits already, or was taken as *before*, keeps its place in the order, and its
        failures."""
        waiting = self._calls.get(incident_id)
        known = waiting or before
        order, failures = (known.order, known.failures) if known else (next(self._order), 0)
        call = QueuedCall(incident_id, severity, order, failures)
        left = None
        if waiting is None and len(self._calls) >= self._most:
            last = max(self._calls.values(), key=lambda one: one.urgency)
            if last.urgency < call.urgency:
                return Offer(placed=False)
            left = self._calls.pop(last.incident_id).incident_id
        self._calls[incident_id] = call
        return Offer(placed=True, left=left)

    def take(self) -> QueuedCall | None:
        """The most urgent, which then waits no more."""
        first = min(self._calls.values(), key=lambda one: one.urgency, default=None)
        return self._calls.pop(first.incident_id) if first else None

    def discard(self, incident_id: str) -> bool:
        """Whether it had waited."""
        return self._calls.pop(incident_id, None) is not None
