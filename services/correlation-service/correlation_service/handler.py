"""What happens to one message, and how state comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
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
    ProblemEdited,
)
from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus, Outgoing, Stored
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import Background
from aiops_core.runtime.unreadable import read_stored, skip
from aiops_core.runtime.watched import (
    watched_inventory,
    watched_ship,
    watched_silences,
    watched_suggestions,
)
from correlation_service.bucket_writer import BucketWriter
from correlation_service.correlator import Correlator
from correlation_service.facts import SERVICE
from correlation_service.kept import BUCKET, Kept, Restoring, decode
from correlation_service.policy import CorrelatePolicy

FACTS = (
    Incident,
    IncidentUpdated,
    IncidentCleared,
    IncidentTransitioned,
    ProblemEdited,
    AnomalySuppressed,
    AnomalyCleared,
)
SUBJECTS = [kind.subject for kind in FACTS]
CLOCKS_APART = timedelta(minutes=1)  # those of this process and of the broker, at most
LOAD_WITHIN = 5.0  # seconds, for one bucket


class Correlation:
    """The correlator that is in force, and its sources.

    ``recover`` builds another one of all published facts, and puts it in force when it is complete.
    So it can be interrupted and repeated.
    """

    def __init__(self, policy: CorrelatePolicy, bus: Bus, sink: Publishing | None = None) -> None:
        """What is open for long is kept when *sink* says what is published."""
        self._policy = policy
        self._kept = bus.bucket(BUCKET)
        self.writer = BucketWriter(bus, sink) if sink else None
        self._silences = watched_silences(bus, lambda _: self._declare(self.correlator))
        self._ship = watched_ship(bus, lambda _: self._declare(self.correlator))
        self._inventory = watched_inventory(bus, lambda _: self._declare(self.correlator))
        self._suggestions = watched_suggestions(bus, lambda _: self._declare(self.correlator))
        self.correlator = Correlator(policy)

    @property
    def background(self) -> Sequence[Background]:
        """Loops that follow the declarations of people, and the one that keeps what is open."""
        watched = self._inventory, self._suggestions, self._silences, self._ship
        following = [one.keep for one in watched]
        return [*following, self.writer.run] if self.writer else following

    async def handle(self, received: Received[Any]) -> Sequence[Message]:
        facts = self.correlator.handle(received.message)
        for fact in facts:
            if isinstance(fact, AnomalySuppressed):
                metrics.SUPPRESSED.labels(_label(fact)).inc()
        return facts

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        if self.writer:
            self.writer.copy(self.correlator.state, now)
        told = list(self.correlator.expire(now))
        state, suppression = self.correlator.state, self.correlator.suppression
        sizes = {
            "open_incidents": len(state.open.incidents),
            "known_anomalies": len(state.seen),
            "problems": len(state.problems.table),
            "silences": len(suppression.silences),
            "outages": len(suppression.outages),
            "inhibition_sources": len(state.inhibitions),
        }
        for name, size in sizes.items():
            metrics.STATE_SIZE.labels(SERVICE, name).set(size)
        return [Outgoing(c, f"{SERVICE}/{c.incident_id}/{c.revision}") for c in told]

    async def recover(self, bus: Bus) -> None:
        """Read the declarations, then what was kept, and the facts of the longest time that can
        still matter before the newest of them."""
        await self._inventory.load(LOAD_WITHIN)
        await self._suggestions.load(LOAD_WITHIN)
        for declared in (self._silences, self._ship):
            await declared.load(LOAD_WITHIN)
            if not declared.known:
                raise Unavailable("nats: silences and outages cannot be read")
        correlator = Correlator(self._policy)
        self._declare(correlator)
        values = await self._kept.all()
        kept, as_of, wrong = decode(values)
        for key, reason in wrong.items():
            skip("correlation.kept", key, reason)
        await self._evolve(correlator, bus, kept.values(), as_of)
        self._declare(correlator)  # again: they may have changed meanwhile
        if self.writer:
            self.writer.begin({key: len(values[key]) for key in kept})
        self.correlator = correlator

    def _declare(self, correlator: Correlator) -> None:
        """Let *correlator* know the declarations of people."""
        correlator.use(self._inventory.value, self._suggestions.value)
        correlator.suppression.silences.replace(self._silences.value)
        correlator.suppression.outages.replace(self._ship.value.outages)

    async def _evolve(
        self, correlator: Correlator, bus: Bus, kept: Iterable[Kept], as_of: datetime | None
    ) -> None:
        newest = [stored for s in SUBJECTS if (stored := await bus.newest(s))]
        restoring = Restoring(kept, max((stored.sequence for stored in newest), default=0))
        async for stored in self._published(bus, newest, as_of):
            for one in restoring.before(stored.sequence):
                one.restore(correlator.state, self._policy)
            if fact := read_stored(stored, "correlation.facts"):
                correlator.evolve(fact)
        for one in restoring.rest():
            one.restore(correlator.state, self._policy)

    async def _published(
        self, bus: Bus, newest: Sequence[Stored], as_of: datetime | None
    ) -> AsyncIterator[Stored]:
        """The facts that may not be in what was kept."""
        if not newest:
            return
        since = max(stored.at for stored in newest) - self._policy.longest_memory
        if as_of:
            since = min(since, as_of - CLOCKS_APART)
        async for stored in bus.history(SUBJECTS, since=since):
            yield stored


def _label(fact: AnomalySuppressed) -> str:
    """Rules of the policy by their id; silences and outages, which come and go, by their kind."""
    return fact.kind if fact.kind in ("silence", "outage") else fact.by
