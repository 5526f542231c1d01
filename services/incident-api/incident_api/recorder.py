"""From messages to rows: what arrives is folded, the API shows it from ``commit`` on, ``store_growth`` writes it to
the store, then it is acked (decision 15).

A repeated message queues its rows again: they replace themselves in the store, and whatever a kill cut
off is completed. Only the fold, and the metrics with it, counts each fact once. While the store is away, or refuses
everything, facts are folded and shown as before; their rows wait, and so do the acknowledgements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
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
    Stages,
)
from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus, Delivery
from aiops_core.runtime.service import Handler, utc_now
from aiops_core.runtime.unreadable import read_stored
from incident_api.flushing import GROWTH, moment_of
from incident_api.folding import StoredIncident
from incident_api.outage import Outage, keep_doing
from incident_api.registry import Registry
from incident_api.rows import (
    Ended,
    IncidentRow,
    event_row,
    fact_incident_id,
    members_of,
    micros,
)
from incident_api.sink import Refused, Sink, bury
from incident_api.store import IncidentStore
from incident_api.waiting import Shown, Told, Waiting

SERVICE = "incident-api"
STAGE = "store"
PRELOADED = 1000  # open incidents
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
        self.recovered = False
        self.outage = outage or Outage()
        self._store, self._sink, self._clock = store, Sink(store), clock
        self._cause: Delivery | None = None  # the message that is being handled
        self._ended: dict[str, Shown] = {}  # what the next commit shows
        self._arrivals: list[Stages] = []
        self._waiting = Waiting()
        self._under_way: list[Waiting] = []
        self._writing = asyncio.Lock()
        self._growing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._asked = 0.0  # when a reader had something written last, by the loop's clock
        self._urgent: set[str] = set()  # incidents
        self._own: list[str] = []  # events of the API's own facts: who acts reads them at once
        self._cuts = 0  # of all changed incidents
        self._stored_cuts = 0
        self._failures = 0  # writes whose rows wait again
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
        with suppress(Unavailable):  # a store that takes nothing is read from all the same
            await self.flush()
        self.recovered = True

    async def _catch_up(self, change: IncidentTransitioned) -> None:
        if await self.registry.get(change.incident_id):
            self.registry.fold(change.incident_id, change)

    def sees(self, delivery: Delivery) -> None:
        self._cause = delivery

    async def suppressed(self, message: AnomalySuppressed) -> Sequence[Message]:
        stamped = message.stamped(STAGE, self._clock())
        self._end(f"{message.anomaly_id} {message.by}", stamped, self._cause)
        self._arrivals.append(stamped.stages)
        return NOTHING

    async def fact(self, message: Message) -> Sequence[Message]:
        cause = self._cause
        await self._hear(message, cause)
        self._fold(message, cause)
        if not isinstance(message, IncidentUpdated):
            self._urgent.add(fact_incident_id(message))
        return NOTHING

    async def explanation(self, message: EnrichedIncident) -> Sequence[Message]:
        cause = self._cause
        before = await self._hear(message, cause)
        stored, is_new = self.registry.fold(message.id, message)
        self._waiting.note(message.id, cause if is_new else None)
        if is_new and before and before.insights is None:
            metrics.INSIGHT_PATH_REQUESTS.inc()
            metrics.INSIGHT_PATH_LATENCY.observe((stored.insight_ms or 0) / 1000)
        return NOTHING

    async def _hear(self, fact: Message, cause: Delivery | None) -> StoredIncident | None:
        """Queue the event of *fact*, also when its incident never comes, and wait for the incident."""
        incident_id = fact_incident_id(fact)
        row = event_row(incident_id, fact)
        self._waiting.told[row.event_id] = Told(row, cause)
        begins = isinstance(fact, Incident) and not isinstance(fact, EnrichedIncident)
        return await self.registry.expect(incident_id, begins=begins)

    def record(self, fact: Message) -> StoredIncident:
        """Fold a fact of the API's own and queue its rows, its event among them: a caller may read
        the timeline at once."""
        row = event_row(fact_incident_id(fact), fact)
        self._waiting.told[row.event_id] = Told(row, None)
        self._own.append(row.event_id)
        self._urgent.add(row.incident_id)
        return self._fold(fact, None)

    def _fold(self, fact: Message, cause: Delivery | None) -> StoredIncident:
        """Fold *fact* into the incident in memory and queue its rows."""
        incident_id = fact_incident_id(fact)
        stamped = fact.stamped(STAGE, self._clock())
        stored, is_new = self.registry.fold(incident_id, stamped)
        if members := members_of(stamped):
            revision = getattr(fact, "revision", 1)
            self._end(f"{incident_id} {revision}", stamped, cause)
        if is_new:
            self._waiting.note(incident_id, cause)
            self._arrivals += [one.stages for one in members if not one.moved_from]
        return stored

    def _end(self, fact_id: str, stamped: Message, cause: Delivery | None) -> None:
        """A later fact says where an anomaly is, also when an earlier one comes again after it."""
        self._ended[fact_id] = Shown(Ended(stamped, cause.sequence if cause else 0), 0, cause)

    async def commit(self) -> None:
        """Show where the anomalies ended, and write what is urgent. Waits while too many rows do."""
        await self.store_urgent()
        async with self._progress:
            await self._progress.wait_for(lambda: not self.is_full)

    @property
    def is_full(self) -> bool:
        waiting = self._waiting.size + sum(taken.size for taken in self._under_way)
        return waiting + len(self.registry.changed) > WAITING

    async def store_urgent(self) -> None:
        """Write the incidents that began, ended or were changed by hand; mere growth waits for ``store_growth``,
        which makes one row of many versions. So does all that could not be written."""
        async with self._writing:
            self._show()
            urgent, own, self._urgent, self._own = self._urgent, self._own, set(), []
            if (urgent or own) and not self.outage.problem:
                with suppress(Unavailable):
                    await self._write(
                        lambda: self._waiting.take_told(own, self.registry.take_changed(urgent))
                    )
            metrics.STATE_SIZE.labels(SERVICE, "incidents").set(len(self.registry))

    def _show(self) -> None:
        """From now on every reader finds the new members: the anomalies have arrived."""
        now = self._clock()
        for fact_id, shown in self._ended.items():
            self._waiting.show(fact_id, shown._replace(at=micros(now)))
        self._observe(self._arrivals, now)
        self._ended, self._arrivals = {}, []

    async def flush(self) -> None:
        """Store everything that is queued or has changed."""
        await self.store_urgent()
        await self.store_growth()

    async def store_growth(self) -> None:
        """Write the members that are shown until now, what was told, and the incidents that have changed,
        beside the urgent ones. What fails is tried again with the next."""
        async with self._growing:
            self._cuts += 1
            cut, failures = self._cuts, self._failures
            await self._write(lambda: self._waiting.take(self.registry.take_changed()))
            async with self._writing:
                pass  # what is urgent, and being written, may be older than this cut
            if failures == self._failures:
                await self._tell(cut)
            if not self._under_way:  # what is taken is only in memory until it is written
                self.registry.forget_oldest()

    async def _write(self, take: Callable[[], Waiting]) -> None:
        """Store what *take* gives; when that fails it waits again."""
        with self.outage.noticed():
            await self.registry.ensure_known()
            taken = take()
            self._under_way.append(taken)
            try:
                for refused in await self._sink.write(await taken.batch()):
                    await self._bury(refused, taken)
            except BaseException:
                self._failures += 1
                self.registry.mark_changed(taken.incidents)
                self._waiting.put_back(taken)
                raise
            finally:
                self._under_way.remove(taken)

    async def _bury(self, refused: Refused, taken: Waiting) -> None:
        """The messages that the row comes from become dead letters. An incident goes on from the last version of it
        that could be stored."""
        for cause in taken.causes_of(refused.row):
            await bury(cause, refused)
        if isinstance(refused.row, IncidentRow):
            while later := self._waiting.causes_of(refused.row):
                await bury(later[0], refused)
                self._waiting.forget(later[0], refused.row)
            self.registry.forget(refused.row.id)

    async def write_shown(self) -> None:
        """Return when all members that are shown and all that was told until now are written, and their
        incidents with them. Those who ask together, or soon after each other, share one write."""
        async with self._writing:
            pass  # a commit that is under way has an incident that began
        wanted = self._wanted()
        async with self._asking:
            if self._stored_cuts >= wanted or self.outage.rest:
                return
            now = asyncio.get_running_loop().time
            await asyncio.sleep(self._asked + READERS_EVERY - now())
            if self._stored_cuts < wanted:
                await self.store_growth()
                self._asked = now()

    def unstored(self) -> Sequence[StoredIncident]:
        """Incidents that are newer than what is stored of them, while the store takes nothing."""
        if not self.outage.problem:
            return ()
        ids = {one.incident.id for taken in self._under_way for one in taken.incidents}
        known = map(self.registry.known, ids | self.registry.changed.keys())
        return [stored for stored in known if stored]

    def unwritten(self) -> Sequence[Waiting]:
        """What is told and shown but not stored, while the store takes nothing."""
        return (*self._under_way, self._waiting) if self.outage.problem else ()

    async def keep_flushing(self) -> None:
        await keep_doing(self.store_growth, lambda: moment_of(GROWTH), self.outage)

    async def settled(self) -> None:
        """Return when every incident that has changed, every member and every event until now is written."""
        wanted = self._wanted()
        async with self._progress:
            await self._progress.wait_for(lambda: self._stored_cuts >= wanted)

    def _wanted(self) -> int:
        """The cut that has all there is now."""
        waiting = self.registry.changed or self._waiting.shown or self._waiting.told
        return self._cuts + 1 if waiting else self._cuts

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


def _seconds(since: datetime, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0)


def ensure_recovered(recorder: Recorder) -> None:
    """Raises Unavailable until the schema stands and the incidents are loaded."""
    if not recorder.recovered:
        raise Unavailable("incident-api is starting and waits for ClickHouse and NATS")
