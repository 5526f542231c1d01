"""What happens to one message, how state comes back, and how the facts of one batch are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiops_core import metrics
from aiops_core.bus import Bus, Outgoing
from aiops_core.errors import Unavailable
from aiops_core.inventory import Inventory
from aiops_core.models import (
    BY_SUBJECT,
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
from aiops_core.watched import Watched
from correlation_service.correlator import Correlator
from correlation_service.facts import JOINED, SCALARS, SERVICE

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
    """*followed* is what people declare, which must be known before the first anomaly; *inventory* as well,
    if there is one."""

    def __init__(
        self,
        correlator: Correlator,
        followed: Sequence[Watched[Any]] = (),
        inventory: Watched[Inventory] | None = None,
    ) -> None:
        self._correlator, self._followed, self._inventory = correlator, followed, inventory

    async def correlate(self, anomaly: EnrichedAnomaly) -> Sequence[Message]:
        facts = self._correlator.handle(anomaly)
        for fact in facts:
            if isinstance(fact, AnomalySuppressed):
                metrics.SUPPRESSED.labels(_label(fact)).inc()
        return facts

    async def recovered(self, cleared: AnomalyCleared) -> Sequence[Message]:
        return self._correlator.recover(cleared)

    async def transition(self, change: IncidentTransitioned) -> Sequence[Message]:
        if change.kind == "merge":
            return self._correlator.merge(change)
        if change.to_status == Status.RESOLVED:
            self._correlator.end(change.incident_id)
        return []

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        cleared = list(self._correlator.expire(now))
        metrics.STATE_SIZE.labels(SERVICE, "open_incidents").set(len(self._correlator.windows))
        metrics.STATE_SIZE.labels(SERVICE, "known_anomalies").set(len(self._correlator.seen))
        hides = self._correlator.suppression
        metrics.STATE_SIZE.labels(SERVICE, "silences").set(len(hides.silences))
        metrics.STATE_SIZE.labels(SERVICE, "outages").set(len(hides.outages))
        metrics.STATE_SIZE.labels(SERVICE, "inhibition_sources").set(len(hides.inhibitions))
        return [Outgoing(c, f"{SERVICE}/{c.incident_id}/{c.revision}") for c in cleared]

    async def recover(self, bus: Bus) -> None:
        """Learn what people have declared, and fold the facts of the longest time that can still matter
        before the newest of them."""
        if self._inventory:
            await self._inventory.load(LOAD_WITHIN)
        for one in self._followed:
            await one.load(LOAD_WITHIN)
            if not one.known:
                raise Unavailable("nats: silences and outages cannot be read")
        subjects = [kind.subject for kind in FACTS]
        newest = [stored.at for s in subjects if (stored := await bus.newest(s))]
        if not newest:
            return
        since = max(newest) - self._correlator.policy.longest_memory
        async for stored in bus.history(subjects, since=since):
            self._correlator.restore(BY_SUBJECT[stored.subject].model_validate_json(stored.data))


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
        return Outgoing(last.but(members=members, **known), self.id)


def _only_joins(fact: IncidentUpdated) -> bool:
    """What tells of no new members, but of a recovery or a departure, is what it says for its cause alone."""
    return bool(fact.members) and not fact.moved_from


def _label(fact: AnomalySuppressed) -> str:
    """Rules of the policy by their id; silences and outages, which come and go, by what they are."""
    return fact.kind if fact.kind in ("silence", "outage") else fact.by
