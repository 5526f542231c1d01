"""What is only looked up later, the anomalies, by a consumer that never delays an incident.

Its rows go into the store in a few large inserts: each insert makes a part that ClickHouse has to
merge, and incidents wait for the same engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from aiops_core.bus import Bus, Delivery
from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Message
from aiops_core.runtime import Service
from incident_api.flushing import HISTORY, moment_of
from incident_api.recorder import SERVICE, Recorder
from incident_api.rows import AnomalyRow, Batch, anomaly_row
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
BREATHE = 16  # rows made without letting others of the process have a turn


class Arrival(NamedTuple):
    """An anomaly, and the JSON that it came as: what goes into the store need not be written once more."""

    message: Found
    data: bytes

    @property
    def identity(self) -> Identity:
        return self.message.tracking_id, self.message.detector, self.message.anomaly_type

    def row(self) -> AnomalyRow:
        return anomaly_row(self.message, self.data.decode())


@dataclass
class Gathered:
    """What goes to the store together, of each anomaly the last of its two versions. An enriched one becomes its
    row at once, while the processor has it at hand; one that was only found waits, as it rarely remains."""

    found: dict[Identity, Arrival] = field(default_factory=dict)
    enriched: dict[Identity, AnomalyRow] = field(default_factory=dict)
    _batch: Batch | None = field(default=None, init=False)

    def keep(self, arrival: Arrival) -> None:
        """Remember *arrival*, unless its enriched version is known."""
        identity = arrival.identity
        if isinstance(arrival.message, EnrichedAnomaly):
            self.found.pop(identity, None)
            self.enriched[identity] = arrival.row()
        elif identity not in self.enriched:
            self.found.setdefault(identity, arrival)

    def of(self, tracking_id: str) -> list[AnomalyRow]:
        """The rows of one line."""
        found = [one.row() for key, one in self.found.items() if key[0] == tracking_id]
        return found + [row for key, row in self.enriched.items() if key[0] == tracking_id]

    async def batch(self) -> Batch:
        """The rows, the same whenever they are asked for: nothing may be kept any more."""
        self._batch = self._batch or Batch.of([*self.enriched.values(), *await self._rows()])
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
    """Rows wait in memory, where ``pending`` finds them, and their messages unacknowledged."""

    def __init__(self, store: IncidentStore, recorder: Recorder) -> None:
        self._store, self._recorder = store, recorder
        self._gathered = Gathered()
        self._data = b""  # of the message that is handled next
        self._unsent: list[Gathered] = []
        self._next = asyncio.Event()  # set when the rows that are gathered now are stored
        self._under_way: list[asyncio.Event] = []

    def service(self) -> Service:
        return Service(
            SERVICE,
            dict.fromkeys(ANOMALIES, self.anomaly),
            group=GROUP,
            batch=BATCH,
            pace=PACE,
            patient=True,
            recover=self.recover,
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
        self._data = delivery.data

    async def anomaly(self, message: Found) -> Sequence[Message]:
        """Of several versions of one anomaly only the last: the table would drop the others later."""
        self._gathered.keep(Arrival(message, self._data))
        self._data = b""
        return ()

    def pending(self, tracking_id: str) -> list[AnomalyRow]:
        """Anomalies of one line that may not be in the store yet, the newest version of each."""
        waiting = (*self._unsent, self._gathered)
        rows = [row for gathered in waiting for row in gathered.of(tracking_id)]
        newest = {row.anomaly_id: row for row in sorted(rows, key=attrgetter("version"))}
        return list(newest.values())

    async def settled(self) -> None:
        """Return when what has been handled until now is stored: with the next flush at the latest."""
        await self._next.wait()

    async def flush(self) -> None:
        """Store what is queued. When that fails it stays queued, and the next call tries it again."""
        self._under_way.append(self._next)
        self._next = asyncio.Event()
        if self._gathered:
            self._unsent.append(self._gathered)
            self._gathered = Gathered()
        while self._unsent:
            await self._store.write(await self._unsent[0].batch())
            del self._unsent[0]
        for stored in self._under_way:
            stored.set()
        self._under_way.clear()

    async def keep_flushing(self) -> None:
        while True:
            await moment_of(HISTORY)
            with suppress(Unavailable):  # /ready says so; nothing is acknowledged until it is back
                await self.flush()
