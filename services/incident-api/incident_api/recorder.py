"""From messages to rows: what arrives is folded and queued, ``commit`` stores it, then it is acked.

A repeated message queues its rows again: they replace themselves in the store, and whatever a kill cut
off is completed. Only the fold, and the metrics with it, counts each fact once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from pydantic import ValidationError

from aiops_core import metrics
from aiops_core.bus import Bus
from aiops_core.errors import Unavailable
from aiops_core.models import (
    AnomalySuppressed,
    EnrichedIncident,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Stages,
)
from aiops_core.runtime import Handler, utc_now
from incident_api.folding import StoredIncident
from incident_api.registry import Registry
from incident_api.rows import (
    Batch,
    EventRow,
    MemberRow,
    event_row,
    fact_incident_id,
    incident_row,
    member_rows,
    suppressed_row,
)
from incident_api.store import IncidentStore

SERVICE = "incident-api"
STAGE = "store"
PRELOADED = 1000  # open incidents
RECENT = timedelta(minutes=10)  # in which a transition may have been published but not yet stored
NOTHING: Sequence[Message] = ()


class Recorder:
    """The message side of incident-api, and the only writer of its incidents."""

    def __init__(self, store: IncidentStore, clock: Callable[[], datetime] = utc_now) -> None:
        self.registry = Registry(store)
        self.recovered = False
        self._store, self._clock = store, clock
        self._members: list[MemberRow] = []
        self._events: list[EventRow] = []
        self._arrivals: list[Stages] = []
        self._unsent: list[tuple[Batch, list[Stages]]] = []
        self._writing = asyncio.Lock()

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        return {
            AnomalySuppressed: self.suppressed,
            Incident: self.fact,
            IncidentUpdated: self.fact,
            IncidentCleared: self.fact,
            IncidentTransitioned: self.fact,
            EnrichedIncident: self.explanation,
        }

    async def recover(self, bus: Bus) -> None:
        """Load the newest open incidents, and fold transitions that a kill kept from being stored."""
        self.registry.preload(await self._store.newest_open(PRELOADED))
        subjects = [IncidentTransitioned.subject]
        async for stored in bus.history(subjects, since=self._clock() - RECENT):
            with suppress(ValidationError):  # the consumer will bury it
                await self._catch_up(IncidentTransitioned.model_validate_json(stored.data))
        await self.commit()
        self.recovered = True

    async def _catch_up(self, change: IncidentTransitioned) -> None:
        if await self.registry.get(change.incident_id):
            self.registry.fold(change.incident_id, change)

    async def suppressed(self, message: AnomalySuppressed) -> Sequence[Message]:
        stamped = message.stamped(STAGE, self._clock())
        self._members.append(suppressed_row(stamped))
        self._arrivals.append(stamped.stages)
        return NOTHING

    async def fact(self, message: Message) -> Sequence[Message]:
        await self.registry.expect(fact_incident_id(message))
        self._fold(message)
        return NOTHING

    async def explanation(self, message: EnrichedIncident) -> Sequence[Message]:
        before = await self.registry.expect(message.id)
        stored, is_new = self.registry.fold(message.id, message)
        if is_new and before and before.insights is None:
            metrics.INSIGHT_PATH_REQUESTS.inc()
            metrics.INSIGHT_PATH_LATENCY.observe((stored.insight_ms or 0) / 1000)
        return NOTHING

    def record(self, fact: Message) -> StoredIncident:
        """Fold a fact of the API's own and queue its rows, its event among them: a caller may read
        the timeline at once. The events of all others are written by ``History``."""
        self._events.append(event_row(fact_incident_id(fact), fact))
        return self._fold(fact)

    def _fold(self, fact: Message) -> StoredIncident:
        """Fold *fact* into the incident in memory and queue its rows."""
        incident_id = fact_incident_id(fact)
        stamped = fact.stamped(STAGE, self._clock())
        stored, is_new = self.registry.fold(incident_id, stamped)
        members = getattr(stamped, "members", getattr(stamped, "evidence", ()))
        self._members += member_rows(incident_id, fact.ship_id, members)
        if is_new:
            self._arrivals += [member.stages for member in members]
        return stored

    async def commit(self) -> None:
        """Store what is queued. When that fails it stays queued, and the next call tries it again."""
        async with self._writing:
            self._cut()
            while self._unsent:
                batch, arrivals = self._unsent[0]
                await self._store.write(batch)
                del self._unsent[0]
                self._observe(arrivals)
            self.registry.forget_oldest()
            metrics.STATE_SIZE.labels(SERVICE, "incidents").set(len(self.registry))

    def _cut(self) -> None:
        """Close the batch: several versions of one incident have become one row, the last."""
        incidents = [incident_row(stored) for stored in self.registry.take_changed()]
        batch = Batch.of(members=self._members, incidents=incidents, events=self._events)
        if batch:
            self._unsent.append((batch, self._arrivals))
        self._members, self._events, self._arrivals = [], [], []

    def _observe(self, arrivals: Sequence[Stages]) -> None:
        """What took how long, for anomalies that are in the store now."""
        now = self._clock()
        metrics.FAST_PATH_REQUESTS.inc(len(arrivals))
        for stages in arrivals:
            with suppress(KeyError):
                metrics.STAGE_LATENCY.labels(STAGE).observe(_seconds(stages["correlate"], now))
            with suppress(KeyError):
                metrics.FAST_PATH_LATENCY.observe(_seconds(stages["ingest"], now))


def _seconds(since: datetime, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)


def ensure_recovered(recorder: Recorder) -> None:
    """Raises Unavailable until the schema stands and the incidents are loaded."""
    if not recorder.recovered:
        raise Unavailable("incident-api is starting and waits for ClickHouse and NATS")
