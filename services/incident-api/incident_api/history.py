"""What is only looked up later, the anomalies, by a consumer that never delays an incident.

Its rows go into the store in a few large inserts: each insert makes a part that ClickHouse has to
merge, and incidents wait for the same engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Message
from aiops_core.runtime.bus import Bus, Delivery
from aiops_core.runtime.service import Service
from incident_api.flushing import HISTORY, moment_of
from incident_api.outage import Outage, keep_doing
from incident_api.recorder import SERVICE, Recorder
from incident_api.rows import AnomalyRow, Batch, anomaly_row
from incident_api.sink import Sink, TakesNothing, bury
from incident_api.store import IncidentStore

Found = AnomalyDetected | EnrichedAnomaly
Identity = tuple[str, str, str]
ANOMALIES: tuple[type[Message], ...] = (AnomalyDetected, EnrichedAnomaly)
GROUP = f"{SERVICE}-history"
BATCH = 2048  # messages
# Some seconds of them. When fewer may be out than arrive between two flushes, the rest comes all at once after
# each, and everybody else on the machine waits for it.
UNSETTLED = 8192
PACE = (
    0.25  # seconds: waking up for a few messages costs as much as they do, and a trace is patient
)
WAITING = 64 << 20  # bytes of messages whose rows wait
BREATHE = 16  # rows made without letting others of the process have a turn


class Arrival(NamedTuple):
    """An anomaly, the JSON that it came as, which need not be written once more for the store, and the message."""

    message: Found
    data: bytes
    cause: Delivery | None

    @property
    def identity(self) -> Identity:
        return self.message.tracking_id, self.message.detector, self.message.anomaly_type

    def row(self) -> AnomalyRow:
        return anomaly_row(self.message, self.data.decode())


class Enriched(NamedTuple):
    row: AnomalyRow
    cause: Delivery | None


@dataclass
class Gathered:
    """What goes to the store together, of each anomaly the last of its two versions. An enriched one becomes its
    row at once, while the processor has it at hand; one that was only found waits, as it rarely remains."""

    found: dict[Identity, Arrival] = field(default_factory=dict)
    enriched: dict[Identity, Enriched] = field(default_factory=dict)
    _batch: Batch | None = field(default=None, init=False)

    def keep(self, arrival: Arrival) -> None:
        """Remember *arrival*, unless its enriched version is known."""
        identity = arrival.identity
        if isinstance(arrival.message, EnrichedAnomaly):
            self.found.pop(identity, None)
            self.enriched[identity] = Enriched(arrival.row(), arrival.cause)
        elif identity not in self.enriched:
            self.found.setdefault(identity, arrival)

    def with_later(self, later: Gathered) -> Gathered:
        """All that was kept here and, of a *later* time, there."""
        enriched = self.enriched | later.enriched
        found = {k: one for k, one in (self.found | later.found).items() if k not in enriched}
        return Gathered(found, enriched)

    @property
    def size(self) -> int:
        """Bytes of the anomalies as JSON."""
        found = sum(len(one.data) for one in self.found.values())
        return found + sum(len(one.row.body) for one in self.enriched.values())

    def of(self, tracking_id: str) -> list[AnomalyRow]:
        """The rows of one line."""
        found = [one.row() for key, one in self.found.items() if key[0] == tracking_id]
        return found + [one.row for key, one in self.enriched.items() if key[0] == tracking_id]

    def cause_of(self, row: AnomalyRow) -> Delivery | None:
        identity = row.tracking_id, row.detector, row.anomaly_type
        return (self.enriched.get(identity) or self.found[identity]).cause

    async def batch(self) -> Batch:
        """The rows, the same whenever they are asked for: nothing may be kept any more."""
        enriched = [one.row for one in self.enriched.values()]
        self._batch = self._batch or Batch.of([*enriched, *await self._rows()])
        return self._batch

    async def _rows(self) -> list[AnomalyRow]:
        """Others of this process have a turn while they are made."""
        rows = []
        for n, arrival in enumerate(self.found.values()):
            rows.append(arrival.row())
            if n % BREATHE == 0:
                await asyncio.sleep(0)
        return rows

    def __bool__(self) -> bool:
        return bool(self.found or self.enriched)


class History:
    """Rows wait in memory, where ``pending`` finds them, and their messages unacknowledged. Some are *under way* to the
    store, the same until they are there; all others are gathered, each once however often it comes."""

    def __init__(
        self, store: IncidentStore, recorder: Recorder, outage: Outage | None = None
    ) -> None:
        self.outage = outage or Outage()
        self._sink, self._recorder = Sink(store), recorder
        self._gathered, self._under_way = Gathered(), Gathered()
        self._cause: Delivery | None = None  # the message that is handled next
        self._flushing = asyncio.Lock()
        self._next = asyncio.Event()  # set when what is gathered now is stored
        self._waiting: list[asyncio.Event] = []
        self._room = asyncio.Event()

    def service(self) -> Service:
        return Service(
            SERVICE,
            dict.fromkeys(ANOMALIES, self.anomaly),
            group=GROUP,
            batch=BATCH,
            pace=PACE,
            patient=True,
            recover=self.recover,
            commit=self.commit,
            settled=self.settled,
            unsettled=UNSETTLED,
            sees=self.sees,
            background=[self.keep_flushing],
        )

    async def recover(self, bus: Bus) -> None:
        """The recorder makes the tables; until then this waits."""
        if not self._recorder.recovered:
            raise Unavailable("the tables are not there yet")

    def sees(self, delivery: Delivery) -> None:
        self._cause = delivery

    async def anomaly(self, message: Found) -> Sequence[Message]:
        """Of several versions of one anomaly only the last: the table would drop the others later."""
        data = self._cause.data if self._cause else b""
        self._gathered.keep(Arrival(message, data, self._cause))
        self._cause = None
        return ()

    async def commit(self) -> None:
        """Wait while too much waits: how much that is, senders of long lines decide."""
        while self._gathered.size + self._under_way.size > WAITING:
            self._room.clear()
            await self._room.wait()

    def pending(self, tracking_id: str) -> list[AnomalyRow]:
        """Anomalies of one line that may not be in the store yet, the newest version of each."""
        rows = [*self._under_way.of(tracking_id), *self._gathered.of(tracking_id)]
        newest = {row.anomaly_id: row for row in sorted(rows, key=attrgetter("version"))}
        return list(newest.values())

    async def settled(self) -> None:
        """Return when what has been handled until now is stored: with the next flush at the latest."""
        await self._next.wait()

    async def flush(self) -> None:
        """Store what is queued. When that fails it stays queued, and the next call tries it again."""
        async with self._flushing:
            self._waiting.append(self._next)
            self._next = asyncio.Event()
            with self.outage.noticed():
                await self._write()  # what was tried before, as it was
                self._under_way, self._gathered = self._gathered, Gathered()
                await self._write()
            for stored in self._waiting:
                stored.set()
            self._waiting.clear()

    async def _write(self) -> None:
        try:
            found = await self._sink.write(await self._under_way.batch())
        except TakesNothing:
            self._gathered = self._under_way.with_later(self._gathered)
            self._under_way = Gathered()
            raise
        for refused in found:
            assert isinstance(refused.row, AnomalyRow)
            if cause := self._under_way.cause_of(refused.row):
                await bury(cause, refused)
        self._under_way = Gathered()
        self._room.set()

    async def keep_flushing(self) -> None:
        await keep_doing(self.flush, lambda: moment_of(HISTORY), self.outage)
