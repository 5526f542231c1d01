"""What happens to one message, and how state comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from aiops_core.errors import Unavailable
from aiops_core.models import (
    AnomalyCleared,
    AnomalySuppressed,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
)
from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus, Outgoing
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import Background
from aiops_core.runtime.unreadable import read_stored
from aiops_core.runtime.watched import (
    watched_inventory,
    watched_ship,
    watched_silences,
    watched_suggestions,
)
from correlation_service.correlator import Correlator
from correlation_service.facts import SERVICE
from correlation_service.policy import CorrelatePolicy

FACTS = (
    Incident,
    IncidentUpdated,
    IncidentCleared,
    IncidentTransitioned,
    AnomalySuppressed,
    AnomalyCleared,
)
LOAD_WITHIN = 5.0  # seconds, for one bucket


class Correlation:
    """The correlator that is in force, and its sources.

    ``recover`` builds another one of all published facts, and puts it in force when it is complete.
    So it can be interrupted and repeated.
    """

    def __init__(self, policy: CorrelatePolicy, bus: Bus) -> None:
        self._policy = policy
        self._silences = watched_silences(bus, lambda _: self._declare(self.correlator))
        self._ship = watched_ship(bus, lambda _: self._declare(self.correlator))
        self._inventory = watched_inventory(bus, lambda _: self._declare(self.correlator))
        self._suggestions = watched_suggestions(bus, lambda _: self._declare(self.correlator))
        self.correlator = Correlator(policy)

    @property
    def background(self) -> Sequence[Background]:
        """Loops that follow the declarations of people."""
        watched = self._inventory, self._suggestions, self._silences, self._ship
        return [one.keep for one in watched]

    async def handle(self, received: Received[Any]) -> Sequence[Message]:
        facts = self.correlator.handle(received.message)
        for fact in facts:
            if isinstance(fact, AnomalySuppressed):
                metrics.SUPPRESSED.labels(_label(fact)).inc()
        return facts

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        cleared = list(self.correlator.expire(now))
        state, suppression = self.correlator.state, self.correlator.suppression
        sizes = {
            "open_incidents": len(state.open.incidents),
            "known_anomalies": len(state.seen),
            "silences": len(suppression.silences),
            "outages": len(suppression.outages),
            "inhibition_sources": len(state.inhibitions),
        }
        for name, size in sizes.items():
            metrics.STATE_SIZE.labels(SERVICE, name).set(size)
        return [Outgoing(c, f"{SERVICE}/{c.incident_id}/{c.revision}") for c in cleared]

    async def recover(self, bus: Bus) -> None:
        """Read the declarations, then the facts of the longest time that can still matter before
        the newest of them."""
        await self._inventory.load(LOAD_WITHIN)
        await self._suggestions.load(LOAD_WITHIN)
        for declared in (self._silences, self._ship):
            await declared.load(LOAD_WITHIN)
            if not declared.known:
                raise Unavailable("nats: silences and outages cannot be read")
        correlator = Correlator(self._policy)
        self._declare(correlator)
        async for fact in self._published(bus):
            correlator.evolve(fact)
        self._declare(correlator)  # again: they may have changed meanwhile
        self.correlator = correlator

    def _declare(self, correlator: Correlator) -> None:
        """Let *correlator* know the declarations of people."""
        correlator.use(self._inventory.value, self._suggestions.value)
        correlator.suppression.silences.replace(self._silences.value)
        correlator.suppression.outages.replace(self._ship.value.outages)

    async def _published(self, bus: Bus) -> AsyncIterator[Message]:
        subjects = [kind.subject for kind in FACTS]
        newest = [stored.at for s in subjects if (stored := await bus.newest(s))]
        if not newest:
            return
        since = max(newest) - self._policy.longest_memory
        async for stored in bus.history(subjects, since=since):
            if fact := read_stored(stored, "correlation.facts"):
                yield fact


def _label(fact: AnomalySuppressed) -> str:
    """Rules of the policy by their id; silences and outages, which come and go, by their kind."""
    return fact.kind if fact.kind in ("silence", "outage") else fact.by
