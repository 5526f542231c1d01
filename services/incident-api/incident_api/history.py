"""What is only looked up later, anomalies and events, by a consumer that never delays an incident.

Its rows go into the store in a few large inserts: each insert makes a part that ClickHouse has to
merge, and incidents wait for the same engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiops_core.bus import Bus
from aiops_core.errors import Unavailable
from aiops_core.models import (
    AnomalyDetected,
    EnrichedAnomaly,
    EnrichedIncident,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
)
from aiops_core.runtime import Service
from incident_api.recorder import SERVICE, Recorder
from incident_api.rows import (
    AnomalyRow,
    Batch,
    EventRow,
    anomaly_row,
    event_row,
    fact_incident_id,
)
from incident_api.store import IncidentStore

ANOMALIES: tuple[type[Message], ...] = (AnomalyDetected, EnrichedAnomaly)
FACTS: tuple[type[Message], ...] = (
    Incident,
    IncidentUpdated,
    IncidentCleared,
    IncidentTransitioned,
    EnrichedIncident,
)
GROUP = f"{SERVICE}-history"
FLUSH_EVERY = 1.0  # seconds


class History:
    """Rows wait in memory, where ``pending`` finds them, and their messages unacknowledged."""

    def __init__(self, store: IncidentStore, recorder: Recorder) -> None:
        self._store, self._recorder = store, recorder
        self._rows: dict[str, AnomalyRow] = {}
        self._events: list[EventRow] = []
        self._unsent: list[Batch] = []
        self._next = asyncio.Event()  # set when the rows that are gathered now are stored
        self._under_way: list[asyncio.Event] = []

    def service(self) -> Service:
        return Service(
            SERVICE,
            dict.fromkeys(ANOMALIES, self.anomaly) | dict.fromkeys(FACTS, self.event),
            group=GROUP,
            recover=self.recover,
            settled=self.settled,
            background=[self.keep_flushing],
        )

    async def recover(self, bus: Bus) -> None:
        """The recorder makes the tables; until then this waits."""
        if not self._recorder.recovered:
            raise Unavailable("the tables are not there yet")

    async def anomaly(self, message: AnomalyDetected | EnrichedAnomaly) -> Sequence[Message]:
        """Of several versions of one anomaly only the last: the table would drop the others later."""
        row = anomaly_row(message)
        known = self._rows.get(row.anomaly_id)
        if known is None or known.version <= row.version:
            self._rows[row.anomaly_id] = row
        return ()

    async def event(self, fact: Message) -> Sequence[Message]:
        self._events.append(event_row(fact_incident_id(fact), fact))
        return ()

    def pending(self, tracking_id: str) -> list[AnomalyRow]:
        """Anomalies of one line that may not be in the store yet, the newest version of each."""
        batches = [*(batch.anomalies for batch in self._unsent), self._rows.values()]
        rows = (row for batch in batches for row in batch if row.tracking_id == tracking_id)
        return list({row.anomaly_id: row for row in sorted(rows, key=_version)}.values())

    async def settled(self) -> None:
        """Return when what has been handled until now is stored: with the next flush at the latest."""
        await self._next.wait()

    async def flush(self) -> None:
        """Store what is queued. When that fails it stays queued, and the next call tries it again."""
        self._under_way.append(self._next)
        self._next = asyncio.Event()
        if batch := Batch.of(list(self._rows.values()), events=self._events):
            self._unsent.append(batch)
            self._rows, self._events = {}, []
        while self._unsent:
            await self._store.write(self._unsent[0])
            del self._unsent[0]
        for stored in self._under_way:
            stored.set()
        self._under_way.clear()

    async def keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            with suppress(Unavailable):  # /ready says so; nothing is acknowledged until it is back
                await self.flush()


def _version(row: AnomalyRow) -> int:
    return row.version
