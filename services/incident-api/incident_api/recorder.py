"""From messages to rows: what arrives is folded, the API shows it from ``commit`` on, ``store_growth`` writes it to
the store, then it is acked (decision 15).

A repeated message queues its rows again: they replace themselves in the store, and whatever a kill cut
off is completed. Only the fold, and the metrics with it, counts each fact once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from aiops_core import metrics
from aiops_core.bus import Bus, Delivery
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
from aiops_core.unreadable import read_stored
from incident_api.flushing import GROWTH, moment_of
from incident_api.folding import StoredIncident
from incident_api.registry import Registry
from incident_api.rows import (
    Batch,
    Ended,
    EventRow,
    IncidentRow,
    MemberRow,
    event_row,
    fact_incident_id,
    incident_row,
    members_of,
    micros,
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
        self._sequence = 0  # of the fact that is being handled
        self._ended: list[Ended] = []
        self._events: list[EventRow] = []  # of the API's own facts: who acts reads them at once
        self._told: list[EventRow] = []  # of all others: written with the members
        self._arrivals: list[Stages] = []
        self._unsent: list[Batch] = []
        # That are not written yet, and since when: readers let them be written first.
        self._shown: list[tuple[Ended, int]] = []
        self._writing = asyncio.Lock()
        self._growing = asyncio.Lock()
        self._urgent: set[str] = set()
        self._cuts = 0  # of all changed incidents
        self._stored_cuts = 0
        self._progress = asyncio.Condition()

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
            change = read_stored(stored, "incident-api.transitions")
            if isinstance(change, IncidentTransitioned):
                await self._catch_up(change)
        await self.flush()
        self.recovered = True

    async def _catch_up(self, change: IncidentTransitioned) -> None:
        if await self.registry.get(change.incident_id):
            self.registry.fold(change.incident_id, change)

    def sees(self, delivery: Delivery) -> None:
        """A later fact says where an anomaly is, also when an earlier one comes again after it."""
        self._sequence = delivery.sequence

    async def suppressed(self, message: AnomalySuppressed) -> Sequence[Message]:
        stamped = message.stamped(STAGE, self._clock())
        self._ended.append(Ended(stamped, self._sequence))
        self._arrivals.append(stamped.stages)
        return NOTHING

    async def fact(self, message: Message) -> Sequence[Message]:
        await self._hear(message)
        self._fold(message)
        if not isinstance(message, IncidentUpdated):
            self._urgent.add(fact_incident_id(message))
        return NOTHING

    async def explanation(self, message: EnrichedIncident) -> Sequence[Message]:
        before = await self._hear(message)
        stored, is_new = self.registry.fold(message.id, message)
        if is_new and before and before.insights is None:
            metrics.INSIGHT_PATH_REQUESTS.inc()
            metrics.INSIGHT_PATH_LATENCY.observe((stored.insight_ms or 0) / 1000)
        return NOTHING

    async def _hear(self, fact: Message) -> StoredIncident | None:
        """Queue the event of *fact*, also when its incident never comes, and wait for the incident."""
        incident_id = fact_incident_id(fact)
        self._told.append(event_row(incident_id, fact))
        return await self.registry.expect(incident_id)

    def record(self, fact: Message) -> StoredIncident:
        """Fold a fact of the API's own and queue its rows, its event among them: a caller may read
        the timeline at once."""
        self._events.append(event_row(fact_incident_id(fact), fact))
        self._urgent.add(fact_incident_id(fact))
        return self._fold(fact)

    def _fold(self, fact: Message) -> StoredIncident:
        """Fold *fact* into the incident in memory and queue its rows."""
        incident_id = fact_incident_id(fact)
        stamped = fact.stamped(STAGE, self._clock())
        stored, is_new = self.registry.fold(incident_id, stamped)
        if members := members_of(stamped):
            self._ended.append(Ended(stamped, self._sequence))
        if is_new:
            self._arrivals += [one.stages for one in members if not one.moved_from]
        return stored

    async def commit(self) -> None:
        """Show where the anomalies ended, then write the incidents that began, ended or were changed by
        hand; mere growth waits for ``store_growth``, which makes one row of many versions.

        What fails stays queued, and the next call tries it again.
        """
        async with self._writing:
            self._show()
            self._cut()
            while self._unsent:
                await self._store.write(self._unsent[0])
                del self._unsent[0]
            metrics.STATE_SIZE.labels(SERVICE, "incidents").set(len(self.registry))

    def _show(self) -> None:
        """From now on every reader finds the new members: the anomalies have arrived."""
        now = self._clock()
        self._shown += [(ended, micros(now)) for ended in self._ended]
        self._observe(self._arrivals, now)
        self._ended, self._arrivals = [], []

    def _cut(self) -> None:
        """Close the batch: several versions of one incident have become one row, the last."""
        incidents = [incident_row(stored) for stored in self.registry.take_changed(self._urgent)]
        if batch := Batch.of(incidents=incidents, events=self._events):
            self._unsent.append(batch)
        self._events = []
        self._urgent.clear()

    async def flush(self) -> None:
        """Store everything that is queued or has changed."""
        await self.commit()
        await self.store_growth()

    async def store_growth(self) -> None:
        """Write the members that are shown until now, what was told, and the incidents that have changed and
        are not urgent, beside the commits. What fails is tried again with the next."""
        async with self._growing:
            changed = self.registry.take_changed()
            shown, self._shown = self._shown, []
            told, self._told = self._told, []
            self._cuts += 1
            cut = self._cuts
            try:
                members, incidents = await _member_rows(shown), await _rows(changed)
                if batch := Batch.of(members=members, incidents=incidents, events=told):
                    await self._store.write(batch)
            except BaseException:
                self.registry.mark_changed(changed)
                self._shown = shown + self._shown
                self._told = told + self._told
                raise
            await self._tell(cut)
            if not self._unsent:  # what a commit has taken is only in memory until it is written
                self.registry.forget_oldest()

    async def write_shown(self) -> None:
        """Return when all members that are shown and all that was told until now are written, and their
        incidents with them."""
        async with self._writing:
            pass  # a commit that is under way has an incident that began
        if self._shown or self._told or self._growing.locked():
            await self.store_growth()

    async def keep_flushing(self) -> None:
        while True:
            await moment_of(GROWTH)
            with suppress(Unavailable):  # /ready says so; nothing is acknowledged until it is back
                await self.store_growth()

    async def settled(self) -> None:
        """Return when every incident that has changed, every member and every event until now is written."""
        waiting = self.registry.changed or self._shown or self._told
        wanted = self._cuts + 1 if waiting else self._cuts
        async with self._progress:
            await self._progress.wait_for(lambda: self._stored_cuts >= wanted)

    async def _tell(self, cut: int) -> None:
        async with self._progress:
            self._stored_cuts = cut
            self._progress.notify_all()

    def _observe(self, arrivals: Sequence[Stages], now: datetime) -> None:
        """What took how long, for anomalies that are shown since *now*."""
        metrics.FAST_PATH_REQUESTS.inc(len(arrivals))
        stage_latency = metrics.STAGE_LATENCY.labels(STAGE)
        for stages in arrivals:
            if correlated := stages.get("correlate"):
                stage_latency.observe(_seconds(correlated, now))
            if ingested := stages.get("ingest"):
                metrics.FAST_PATH_LATENCY.observe(_seconds(ingested, now))


async def _member_rows(shown: Sequence[tuple[Ended, int]]) -> list[MemberRow]:
    """Those of a large fact take a millisecond as well."""
    rows: list[MemberRow] = []
    for ended, shown_at in shown:
        rows += ended.rows(shown_at)
        await asyncio.sleep(0)
    return rows


async def _rows(changed: Sequence[StoredIncident]) -> list[IncidentRow]:
    """A row takes a millisecond to write down; others of this process have a turn in between."""
    rows = []
    for stored in changed:
        rows.append(incident_row(stored))
        await asyncio.sleep(0)
    return rows


def _seconds(since: datetime, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)


def ensure_recovered(recorder: Recorder) -> None:
    """Raises Unavailable until the schema stands and the incidents are loaded."""
    if not recorder.recovered:
        raise Unavailable("incident-api is starting and waits for ClickHouse and NATS")
