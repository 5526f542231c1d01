"""Updates of one incident in one batch become few facts: a storm costs a few messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiops_core.models import IncidentUpdated
from aiops_core.runtime.bus import Outgoing
from correlation_service.facts import JOINED, SCALARS


def merge(effects: Sequence[Outgoing]) -> Sequence[Outgoing]:
    """The joined fact stands where the first of its updates stood, so it still comes after the
    creation.

    A fact that moves members keeps its place: it must come after the fact that named them first. So
    does one that ends something or begins an occurrence: it was true of the members before it, not
    of later ones; and one that a person is told of.
    """
    joined: list[Outgoing | JoinedUpdate] = []
    newest: dict[str, JoinedUpdate] = {}
    for effect in effects:
        fact = effect.message
        if not isinstance(fact, IncidentUpdated):
            joined.append(effect)
        elif (update := newest.get(fact.incident_id)) and update.may_take(fact):
            update.take(fact)
        else:
            newest[fact.incident_id] = update = JoinedUpdate(effect.id, [fact], len(fact.members))
            joined.append(update)
    return [one.fact() if isinstance(one, JoinedUpdate) else one for one in joined]


@dataclass(slots=True)
class JoinedUpdate:
    """Updates of one incident that become one fact with the *id* of the first; *size* counts
    members."""

    id: str
    updates: list[IncidentUpdated]
    size: int

    def may_take(self, later: IncidentUpdated) -> bool:
        return self.size < JOINED and _only_joins(self.updates[0]) and _only_joins(later)

    def take(self, later: IncidentUpdated) -> None:
        self.updates.append(later)
        self.size += len(later.members)

    def fact(self) -> Outgoing:
        """A field that the last update leaves out stands as an earlier one said it."""
        last = self.updates[-1]
        if len(self.updates) == 1:
            return Outgoing(last, self.id)
        known: dict[str, object] = {}
        for update in self.updates:
            known |= {n: said for n in SCALARS if (said := getattr(update, n)) is not None}
        members = tuple(member for update in self.updates for member in update.members)
        joined = tuple(update.revision for update in self.updates[:-1])
        return Outgoing(last.but(members=members, joined=joined, **known), self.id)


def _only_joins(fact: IncidentUpdated) -> bool:
    """A fact without new members tells of a recovery or a departure, for its cause alone."""
    if fact.recurrence or fact.announce:
        return False
    return bool(fact.members) and not fact.moved_from
