"""What happens to one message, how state comes back, and how the facts of one batch are joined."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_core.errors import Unavailable
from aiops_core.models import (
    AnomalyCleared,
    AnomalySuppressed,
    EnrichedAnomaly,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Status,
)
from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus, Outgoing
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import Background
from aiops_core.runtime.unreadable import read_stored
from aiops_core.runtime.watched import watched_inventory, watched_ship, watched_silences
from correlation_service.correlator import Correlator
from correlation_service.facts import JOINED, SCALARS, SERVICE
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
    """The correlator that is in force, and what it is built from.

    ``recover`` builds another one of all that is published, and puts it in force when it is complete. So
    it can be interrupted and repeated, and what was half changed when something failed is gone.
    """

    def __init__(self, policy: CorrelatePolicy, bus: Bus) -> None:
        self._policy = policy
        self._silences = watched_silences(bus, lambda _: self._declare(self.correlator))
        self._ship = watched_ship(bus, lambda _: self._declare(self.correlator))
        self._inventory = watched_inventory(bus, lambda _: self._declare(self.correlator))
        self.correlator = Correlator(policy)

    @property
    def background(self) -> Sequence[Background]:
        """Loops that follow what people declare."""
        return [one.keep for one in (self._inventory, self._silences, self._ship)]

    def _declare(self, correlator: Correlator) -> None:
        """Let *correlator* know what people have declared."""
        correlator.use(self._inventory.value)
        correlator.suppression.silences.replace(self._silences.value)
        correlator.suppression.outages.replace(self._ship.value.outages)

    async def correlate(self, received: Received[EnrichedAnomaly]) -> Sequence[Message]:
        facts = self.correlator.handle(received.message)
        for fact in facts:
            if isinstance(fact, AnomalySuppressed):
                metrics.SUPPRESSED.labels(_label(fact)).inc()
        return facts

    async def recovered(self, received: Received[AnomalyCleared]) -> Sequence[Message]:
        return self.correlator.recover(received.message)

    async def transition(self, received: Received[IncidentTransitioned]) -> Sequence[Message]:
        change = received.message
        if change.kind == "merge":
            return self.correlator.merge(change)
        if change.to_status == Status.RESOLVED:
            self.correlator.end(change.incident_id)
        return []

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        cleared = list(self.correlator.expire(now))
        metrics.STATE_SIZE.labels(SERVICE, "open_incidents").set(len(self.correlator.windows))
        metrics.STATE_SIZE.labels(SERVICE, "known_anomalies").set(len(self.correlator.seen))
        hides = self.correlator.suppression
        metrics.STATE_SIZE.labels(SERVICE, "silences").set(len(hides.silences))
        metrics.STATE_SIZE.labels(SERVICE, "outages").set(len(hides.outages))
        metrics.STATE_SIZE.labels(SERVICE, "inhibition_sources").set(len(hides.inhibitions))
        return [Outgoing(c, f"{SERVICE}/{c.incident_id}/{c.revision}") for c in cleared]

    async def recover(self, bus: Bus) -> None:
        """Learn what people have declared, and fold the facts of the longest time that can still matter
        before the newest of them."""
        await self._inventory.load(LOAD_WITHIN)
        for declared in (self._silences, self._ship):
            await declared.load(LOAD_WITHIN)
            if not declared.known:
                raise Unavailable("nats: silences and outages cannot be read")
        correlator = Correlator(self._policy)
        self._declare(correlator)
        async for fact in self._published(bus):
            correlator.restore(fact)
        self._declare(correlator)  # what changed meanwhile
        self.correlator = correlator

    async def _published(self, bus: Bus) -> AsyncIterator[Message]:
        subjects = [kind.subject for kind in FACTS]
        newest = [stored.at for s in subjects if (stored := await bus.newest(s))]
        if not newest:
            return
        since = max(newest) - self._policy.longest_memory
        async for stored in bus.history(subjects, since=since):
            if fact := read_stored(stored, "correlation.facts"):
                yield fact


def merge(effects: Sequence[Outgoing]) -> Sequence[Outgoing]:
    """Join the updates of one incident in one batch into few facts: a storm costs a few messages.

    The joined fact stands where the first of them stood, so it still comes after the creation. What
    moves members keeps its place: it must come after the fact that told of them first. So does what ends
    something: it was true of those before it, not of those after.
    """
    joined: list[Outgoing | _Run] = []
    newest: dict[str, _Run] = {}
    for effect in effects:
        fact = effect.message
        if not isinstance(fact, IncidentUpdated):
            joined.append(effect)
        elif (run := newest.get(fact.incident_id)) and run.may_take(fact):
            run.take(fact)
        else:
            newest[fact.incident_id] = run = _Run(effect.id, [fact], len(fact.members))
            joined.append(run)
    return [one.joined() if isinstance(one, _Run) else one for one in joined]


@dataclass(slots=True)
class _Run:
    """Updates of one incident that become one fact with the *id* of the first; *size* counts their members."""

    id: str
    facts: list[IncidentUpdated]
    size: int

    def may_take(self, later: IncidentUpdated) -> bool:
        return self.size < JOINED and _only_joins(self.facts[0]) and _only_joins(later)

    def take(self, later: IncidentUpdated) -> None:
        self.facts.append(later)
        self.size += len(later.members)

    def joined(self) -> Outgoing:
        """What the last one does not say stands as an earlier one said it."""
        last = self.facts[-1]
        if len(self.facts) == 1:
            return Outgoing(last, self.id)
        known: dict[str, object] = {}
        for fact in self.facts:
            known |= {n: said for n in SCALARS if (said := getattr(fact, n)) is not None}
        members = tuple(member for fact in self.facts for member in fact.members)
        joined = tuple(fact.revision for fact in self.facts[:-1])
        return Outgoing(last.but(members=members, joined=joined, **known), self.id)


def _only_joins(fact: IncidentUpdated) -> bool:
    """What tells of no new members, but of a recovery or a departure, is what it says for its cause alone."""
    return bool(fact.members) and not fact.moved_from


def _label(fact: AnomalySuppressed) -> str:
    """Rules of the policy by their id; silences and outages, which come and go, by what they are."""
    return fact.kind if fact.kind in ("silence", "outage") else fact.by
