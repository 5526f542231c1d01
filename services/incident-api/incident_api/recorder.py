"""The incidents of incident-api: facts are folded, shown from memory, and written (decision 15).

Readers see a fact from the moment when it is handled. ``flush`` writes its rows once a second, and
then its message is acknowledged. A repeated message queues its rows again: they replace themselves
in the store, and complete what a kill cut off. Only the fold, and the metrics with it, counts each
fact once. While the store is away, or refuses everything, facts are folded and shown as before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from aiops_core.errors import Unavailable
from aiops_core.models import (
    AnomalySuppressed,
    EnrichedIncident,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    ProblemEdited,
    Stages,
)
from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.received import MessageKey, Received
from aiops_core.runtime.service import LINGER, Handler, utc_now
from aiops_core.runtime.unreadable import read_stored
from incident_api.batch_writer import RefusedRow, write_batch
from incident_api.folding import StoredIncident
from incident_api.outage import Outage, persistently
from incident_api.problem_homes import ProblemEdits
from incident_api.registry import Registry
from incident_api.rows import (
    IncidentRow,
    event_row,
    fact_incident_id,
    members_of,
    micros,
)
from incident_api.store import IncidentStore
from incident_api.waiting import MemberFact, Waiting

SERVICE = "incident-api"
STAGE = "store"
RECENT = timedelta(minutes=10)  # in which a transition may have been published but not yet stored
WAITING = 20_000  # rows; when so many wait, so do further messages and requests
READERS_EVERY = 0.1  # seconds between two writes that readers ask for
NOTHING: Sequence[Message] = ()


class Recorder:
    """The message side of incident-api, and the only writer of its incidents."""

    def __init__(
        self,
        store: IncidentStore,
        clock: Callable[[], datetime] = utc_now,
        outage: Outage | None = None,
    ) -> None:
        self.registry = Registry(store)
        self.outage = outage or Outage()
        self.recovered = False
        self.edits = ProblemEdits()
        self.waiting = Waiting()
        self._store, self._clock = store, clock
        self._writing = asyncio.Lock()
        self._written_until = 0.0  # everything shown before is stored; monotonic
        self._urgent: asyncio.Queue[str] = asyncio.Queue()  # incidents to be written at once
        self._room = asyncio.Event()
        self._refused: dict[MessageKey, str] = {}

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        return {
            AnomalySuppressed: self.suppressed,
            Incident: self.fact,
            IncidentUpdated: self.fact,
            IncidentCleared: self.fact,
            IncidentTransitioned: self.fact,
            EnrichedIncident: self.explanation,
            ProblemEdited: self.edited,
        }

    async def recover(self, bus: Bus) -> None:
        """Load the newest open incidents and the edits of problems, and fold what persons have
        changed and a kill kept from storage."""
        await self.registry.preload()
        self.edits.add(await self._store.edits())
        subjects = [IncidentTransitioned.subject, ProblemEdited.subject]
        async for stored in bus.history(subjects, since=self._clock() - RECENT):
            change = read_stored(stored, "incident-api.transitions")
            if isinstance(change, ProblemEdited):
                self.edit(change)
            elif isinstance(change, IncidentTransitioned) and await self.registry.get(
                change.incident_id
            ):
                self._evolve(change.incident_id, change, None)
        with suppress(Unavailable):  # a store that takes nothing is read from all the same
            await self.write()
        self.recovered = True

    async def suppressed(self, received: Received[AnomalySuppressed]) -> Sequence[Message]:
        await self._until_room()
        now = self._clock()
        stamped = received.message.stamped(STAGE, now)
        self._place(f"{stamped.anomaly_id} {stamped.by}", stamped, received, now)
        _observe([stamped.stages], now)
        return NOTHING

    async def fact(self, received: Received[Message]) -> Sequence[Message]:
        await self._expect(received)
        self._fold(received.message, received)
        if _changes_state(received.message):
            self._urgent.put_nowait(fact_incident_id(received.message))
        return NOTHING

    async def edited(self, received: Received[ProblemEdited]) -> Sequence[Message]:
        await self._until_room()
        self.edit(received.message, received.key)
        return NOTHING

    def edit(self, edit: ProblemEdited, cause: MessageKey | None = None) -> None:
        """Learn which occurrences belong together, and queue the row of *edit*."""
        self.edits.add([edit])
        self.waiting.add_edit(edit, cause)

    async def explanation(self, received: Received[EnrichedIncident]) -> Sequence[Message]:
        before = await self._expect(received)
        stored, is_new = self._evolve(received.message.id, received.message, received.key)
        if is_new and before and before.insights is None:
            metrics.INSIGHT_PATH_REQUESTS.inc()
            metrics.INSIGHT_PATH_LATENCY.observe((stored.insight_ms or 0) / 1000)
        return NOTHING

    async def _expect(self, received: Received[Message]) -> StoredIncident | None:
        """The incident that a fact is about. Its event is queued also when that never comes."""
        await self._until_room()
        fact = received.message
        incident_id = fact_incident_id(fact)
        self.waiting.add_event(event_row(incident_id, fact), received.key)
        begins = isinstance(fact, Incident) and not isinstance(fact, EnrichedIncident)
        return await self.registry.expect(incident_id, begins=begins)

    def record(self, fact: Message) -> StoredIncident:
        """Fold a fact of the API's own and queue its rows."""
        self.waiting.add_event(event_row(fact_incident_id(fact), fact), None)
        return self._fold(fact, None)

    def _fold(self, fact: Message, cause: Received[Message] | None) -> StoredIncident:
        """Fold *fact* into the incident in memory and queue its rows."""
        incident_id, now = fact_incident_id(fact), self._clock()
        stamped = fact.stamped(STAGE, now)
        stored, is_new = self._evolve(incident_id, stamped, cause.key if cause else None)
        if members := members_of(stamped):
            self._place(f"{incident_id} {getattr(fact, 'revision', 1)}", stamped, cause, now)
        if is_new:
            _observe([one.stages for one in members if not one.moved_from], now)
        return stored

    def _evolve(
        self, incident_id: str, fact: Message, cause: MessageKey | None
    ) -> tuple[StoredIncident, bool]:
        before = self.registry.known(incident_id)
        stored, is_new = self.registry.fold(incident_id, fact)
        if is_new:
            self.waiting.add_incident(stored, cause, before)
        return stored, is_new

    def _place(
        self, fact_id: str, stamped: Message, cause: Received[Message] | None, now: datetime
    ) -> None:
        """A later fact says where an anomaly is, also when an earlier one comes again after it."""
        sequence, key = (cause.sequence, cause.key) if cause else (0, None)
        self.waiting.add_fact(fact_id, MemberFact(stamped, sequence, micros(now), key))

    @property
    def is_full(self) -> bool:
        return self.waiting.size > WAITING

    async def _until_room(self) -> None:
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    async def flush(self) -> Mapping[MessageKey, str]:
        """Return when everything that was handled before the call is stored, with the messages
        whose rows the store can never take, and why."""
        await persistently(self.write, self.outage)
        refused, self._refused = self._refused, {}
        return refused

    async def write_urgent(self) -> None:
        """The background loop: incidents that began, ended or changed their state are written at
        once. Mere growth waits for ``flush``, which makes one row of many versions."""
        while True:
            urgent = {await self._urgent.get()}
            await asyncio.sleep(LINGER)
            while not self._urgent.empty():
                urgent.add(self._urgent.get_nowait())
            await self.try_write(urgent)

    async def try_write(self, only: Collection[str] | None = None) -> None:
        """``write``, but nothing while the store takes nothing: ``flush`` tries again."""
        if not self.outage.problem:
            with suppress(Unavailable):
                await self.write(only)

    async def write(self, only: Collection[str] | None = None) -> None:
        """Store everything that waits; with *only*, these incidents. Raises Unavailable."""
        async with self._writing:
            await self._write(only)

    async def _write(self, only: Collection[str] | None = None) -> None:
        with self.outage.noticed():
            for stored in await self.registry.ensure_known():
                self.waiting.add_incident(stored)
            began, taken = time.monotonic(), self.waiting.taken(only)
            for refused in await write_batch(self._store, await taken.batch()):
                self._refuse(refused, taken)
            self.waiting.remove(taken)
        self._room.set()
        metrics.STATE_SIZE.labels(SERVICE, "incidents").set(len(self.registry))
        if only is None:
            self._written_until = began
            self.registry.forget_oldest(self.waiting.incidents)

    def _refuse(self, refused: RefusedRow, taken: Waiting) -> None:
        """The messages that the row comes from are buried. An incident goes on from the last
        version of it that could be stored."""
        causes = {*taken.causes_of(refused.row)}
        if isinstance(refused.row, IncidentRow):
            causes |= self.waiting.causes_of(refused.row)
            self.waiting.incidents.pop(refused.row.id, None)
            self.registry.forget(refused.row.id)
        self._refused |= dict.fromkeys(causes, refused.reason)

    async def write_shown(self) -> None:
        """Return when everything that is shown now is stored. Readers share one write."""
        asked = time.monotonic()
        if not self.waiting or self.outage.delay:
            return
        await asyncio.sleep(self._written_until + READERS_EVERY - asked)
        async with self._writing:
            if self._written_until < asked and not self.outage.delay:
                await self._write()

    def unwritten(self) -> Waiting:
        """What is shown and not stored, while the store takes nothing."""
        return self.waiting if self.outage.problem else Waiting()


def _changes_state(fact: Message) -> bool:
    """Whether an incident began, ended or changed its state; mere growth waits for ``flush``."""
    return not isinstance(fact, IncidentUpdated) or fact.reopens or fact.quiet_since is not None


STORE_LATENCY = metrics.STAGE_LATENCY.labels(STAGE)


def _observe(arrivals: Sequence[Stages], now: datetime) -> None:
    """Measure how long anomalies took that are shown since *now*."""
    metrics.FAST_PATH_REQUESTS.inc(len(arrivals))
    for stages in arrivals:
        if correlated := stages.get("correlate"):
            STORE_LATENCY.observe(_seconds(correlated, now))
        if ingested := stages.get("ingest"):
            metrics.FAST_PATH_LATENCY.observe(_seconds(ingested, now))


def _seconds(since: datetime, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)


def ensure_recovered(recorder: Recorder) -> None:
    """Raises Unavailable until the schema stands and the incidents are loaded."""
    if not recorder.recovered:
        raise Unavailable("incident-api is starting and waits for ClickHouse and NATS")
