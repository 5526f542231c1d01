"""The history of anomalies: a consumer of its own, which must never delay an incident.

Detection and enrichment say twice as much as correlation. Their rows go into the store in a few large
inserts; each insert makes a part that ClickHouse has to merge, and incidents wait for the same engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiops_core.bus import Bus
from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Message
from aiops_core.runtime import Service
from incident_api.recorder import SERVICE, Recorder
from incident_api.rows import AnomalyRow, Batch, anomaly_row
from incident_api.store import IncidentStore

GROUP = f"{SERVICE}-history"
BATCH = 2048  # messages of one insert
PACE = 0.25  # seconds that rows wait for company, unless there are many


class History:
    def __init__(self, store: IncidentStore, recorder: Recorder, pace: float = PACE) -> None:
        self._store, self._recorder, self._pace = store, recorder, pace
        self._rows: list[AnomalyRow] = []
        self._unsent: list[Batch] = []

    def service(self) -> Service:
        return Service(
            SERVICE,
            {AnomalyDetected: self.anomaly, EnrichedAnomaly: self.anomaly},
            group=GROUP,
            batch=BATCH,
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

    async def commit(self) -> None:
        """Store what is queued. When that fails it stays queued, and the next call tries it again."""
        if self._rows:
            self._unsent.append(Batch.of(self._newest()))
            self._rows = []
        while self._unsent:
            await self._store.write(self._unsent[0])
            del self._unsent[0]
        await asyncio.sleep(self._pace)

    def _newest(self) -> list[AnomalyRow]:
        """Of several versions of one anomaly only the last: the table would drop the others later."""
        rows = {row.anomaly_id: row for row in sorted(self._rows, key=lambda row: row.version)}
        return list(rows.values())
