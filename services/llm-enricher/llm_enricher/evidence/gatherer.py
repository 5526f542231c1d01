"""Gathers what is known around an incident, from ClickHouse and from memory, within a budget.

What it finds is kept for each of the newest incidents: while ClickHouse is away, an incident that
is explained anew still has the facts of its first explanation. After a kill that memory is empty;
the members of an incident, and what people declared about the ship, are always there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from aiops_core.adapters.clickhouse import DEPENDENCY, QueryFailed
from aiops_core.bounded import BoundedDict
from aiops_core.errors import Unavailable
from aiops_core.models import Evidence, Incident
from aiops_core.suppression.ship import Ship
from llm_enricher.evidence.declared import declared
from llm_enricher.evidence.lines import Around, StoredLine, facts_of, signal_words
from llm_enricher.evidence.neighbours import Neighbours
from llm_enricher.evidence.objects import objects_of
from llm_enricher.evidence.policy import EvidencePolicy
from llm_enricher.evidence.queries import LineQueries
from llm_enricher.question import ContextFact, MemberKind

INCIDENTS_KEPT = 200
DEVICES_MOST = 24
LATER = timedelta(seconds=10)  # what follows at once still says something


@dataclass(frozen=True, slots=True)
class Gathered:
    """The facts, and what could not be asked."""

    facts: tuple[ContextFact, ...]
    missing: tuple[str, ...] = ()


class ContextGatherer:
    """*ship* gives what people declared; *clock* is monotonic, in seconds."""

    def __init__(
        self,
        queries: LineQueries,
        policy: EvidencePolicy,
        ship: Callable[[], Ship] = Ship,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queries = queries
        self._policy = policy
        self._ship = ship
        self._clock = clock
        self._away_until = float("-inf")
        self._found: BoundedDict[str, tuple[ContextFact, ...]] = BoundedDict(INCIDENTS_KEPT)
        self._neighbours = Neighbours()
        self._reader = ThreadPoolExecutor(1, "evidence")  # one: more would not read any faster

    async def gathered(
        self, incident: Incident, kinds: Sequence[MemberKind] = (), budget: float | None = None
    ) -> Gathered:
        """All facts, in the order of their time; never raises for a store that is away."""
        members = _members(incident, kinds)
        self._neighbours.note(incident)
        lines = await self._lines(incident, members, budget)
        missing = () if lines is not None else (DEPENDENCY,)
        if lines is None:
            lines = self._found.get(incident.id, ())
        else:
            self._found.put(incident.id, lines)
        facts = {fact.id: fact for fact in (*lines, *self._from_memory(incident, members))}
        ordered = sorted(facts.values(), key=lambda fact: (fact.ts, fact.id))
        return Gathered(tuple(ordered), missing)

    async def _lines(
        self, incident: Incident, members: Sequence[Evidence], budget: float | None
    ) -> tuple[ContextFact, ...] | None:
        """The facts of lines; None when ClickHouse is away, or *budget* does not suffice."""
        usual = self._policy.budget.total_seconds()
        within = usual if budget is None else budget
        if within <= usual and self._clock() < self._away_until:
            return None
        around, lines = self._around(incident, members), None
        try:
            async with asyncio.timeout(within):
                lines = await self._asked(incident, members, around, within)
                return await self._read(lines, around)
        except (Unavailable, QueryFailed, TimeoutError):
            if lines is None:
                self._away_until = self._clock() + self._policy.pause.total_seconds()
            return None

    async def _read(self, lines: Sequence[StoredLine], around: Around) -> tuple[ContextFact, ...]:
        """Hundreds of new lines take up to 100 ms, in which the service does other things too."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, facts_of, lines, around, self._policy)

    def _around(self, incident: Incident, members: Sequence[Evidence]) -> Around:
        root = incident.root_cause.device if incident.root_cause else None
        own = dict.fromkeys((*([root] if root else ()), *incident.affected_devices))
        own |= dict.fromkeys(member.device for member in members)
        upstream = (up for one in members for up in one.upstream[: self._policy.upstream])
        devices = list(dict.fromkeys((*own, *upstream)))[:DEVICES_MOST]
        return Around(frozenset(devices), objects_of(members), incident.first_seen)

    async def _asked(
        self, incident: Incident, members: Sequence[Evidence], around: Around, within: float
    ) -> list[StoredLine]:
        policy = self._policy
        return await self._queries.around(
            ship=incident.ship_id,
            devices=sorted(around.devices),
            objects=around.objects,
            signals=signal_words(policy),
            members=[member.tracking_id for member in members],
            since=incident.first_seen - policy.changes_before,
            near=incident.first_seen - policy.before,
            until=min(incident.last_seen + LATER, incident.first_seen + policy.during),
            most=policy.rows,
            within=within,
        )

    def _from_memory(
        self, incident: Incident, members: Iterable[Evidence]
    ) -> Iterable[ContextFact]:
        upstream = {member.device: member.upstream for member in members}
        yield from declared(self._ship(), incident, upstream)
        devices = dict.fromkeys((*upstream, *(up for ups in upstream.values() for up in ups)))
        since, until = incident.first_seen - self._policy.before, incident.last_seen
        yield from self._neighbours.around(incident, devices, since, until)


def _members(incident: Incident, kinds: Sequence[MemberKind]) -> list[Evidence]:
    """The evidence that is at hand, the newest of each kind among it, each once."""
    everything = (*incident.evidence, *(kind.newest for kind in kinds))
    return list({member.anomaly_id: member for member in everything}.values())
