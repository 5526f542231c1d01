"""What is only looked up later, anomalies and events, by a consumer that never delays an incident.

Its rows go into the store in a few large inserts: each insert makes a part that ClickHouse has to
merge, and incidents wait for the same engine.
"""

from __future__ import annotations

from collections.abc import Sequence

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
BATCH = 2048  # messages of one insert
PACE = 1.0  # seconds between two inserts


class History:
    def __init__(self, store: IncidentStore, recorder: Recorder) -> None:
        self._store, self._recorder = store, recorder
        self._rows: list[AnomalyRow] = []
        self._events: list[EventRow] = []
        self._unsent: list[Batch] = []

    def service(self) -> Service:
        return Service(
            SERVICE,
            dict.fromkeys(ANOMALIES, self.anomaly) | dict.fromkeys(FACTS, self.event),
            group=GROUP,
            batch=BATCH,
            pace=PACE,
            recover=self.recover,
            commit=self.commit,
        )

    async def recover(self, bus: Bus) -> None:
        """The recorder makes the tables; until then this waits."""
        if not self._recorder.recovered:
            raise Unavailable("the tables are not there yet")

    async def anomaly(self, message: AnomalyDetected | EnrichedAnomaly) -> Sequence[Message]:
        self._rows.append(anomaly_row(message))
        return ()

    async def event(self, fact: Message) -> Sequence[Message]:
        self._events.append(event_row(fact_incident_id(fact), fact))
        return ()

    async def commit(self) -> None:
        """Store what is queued. When that fails it stays queued, and the next call tries it again."""
        if batch := Batch.of(self._newest(), events=self._events):
            self._unsent.append(batch)
            self._rows, self._events = [], []
        while self._unsent:
            await self._store.write(self._unsent[0])
            del self._unsent[0]

    def _newest(self) -> list[AnomalyRow]:
        """Of several versions of one anomaly only the last: the table would drop the others later."""
        rows = {row.anomaly_id: row for row in sorted(self._rows, key=lambda row: row.version)}
        return list(rows.values())
