"""The history of anomalies, which is only looked up later: a consumer that delays no incident.

Its rows go into the store in a few large inserts: each insert makes a part that ClickHouse has to
merge, and incidents wait for the same engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, AnomalyDigested, EnrichedAnomaly, Message
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.received import MessageKey, Received
from aiops_core.runtime.service import Service, Tuning
from aiops_core.runtime.storing import Storing
from incident_api.batch_writer import TakesNothing, write_batch
from incident_api.outage import Outage
from incident_api.recorder import SERVICE, Recorder
from incident_api.rows import AnomalyRow, Batch, DigestedRow, anomaly_row, digested_row
from incident_api.store import IncidentStore

Found = AnomalyDetected | EnrichedAnomaly | AnomalyDigested
Identity = tuple[str, str, str]  # tracking id, detector, anomaly type
ANOMALIES: tuple[type[Message], ...] = (AnomalyDetected, EnrichedAnomaly, AnomalyDigested)
CONSUMER = f"{SERVICE}-history"
TUNING = Tuning(
    max_batch=2048,
    linger=0.25,  # waking up for a few messages costs as much as they do
    # Some seconds of them. With fewer than arrive between two flushes, the others would come all
    # at once after each, and everything else on the machine would wait for that.
    max_ack_pending=8192,
    pull_on_demand=True,
)
FLUSH_EVERY, PHASE = 1.0, 0.5  # seconds; half a second after the incidents
WAITING = 64 << 20  # bytes of messages whose rows wait
YIELD_EVERY = 16  # rows made between two yields to the event loop


@dataclass
class WaitingAnomaly:
    """An anomaly, and the JSON that it came as, which the store gets as it is."""

    message: Found
    data: bytes
    cause: MessageKey

    @property
    def identity(self) -> Identity:
        return self.message.tracking_id, self.message.detector, self.message.anomaly_type

    @property
    def is_enriched(self) -> bool:
        return isinstance(self.message, EnrichedAnomaly)

    @cached_property
    def row(self) -> AnomalyRow | DigestedRow:
        if isinstance(self.message, AnomalyDigested):
            return digested_row(self.message)
        return anomaly_row(self.message, self.data.decode())


class History:
    """Rows wait in memory, where ``pending`` finds them, each anomaly once however often it comes,
    and in the last of its two versions. One that is digested has one version only."""

    def __init__(
        self, store: IncidentStore, recorder: Recorder, outage: Outage | None = None
    ) -> None:
        self.outage = outage or Outage()
        self._store, self._recorder = store, recorder
        self._waiting: dict[Identity, WaitingAnomaly] = {}
        self._bytes = 0
        self._room = asyncio.Event()

    def service(self) -> Service:
        return Service(
            SERVICE,
            dict.fromkeys(ANOMALIES, self.anomaly),
            Storing(self.flush, every=FLUSH_EVERY, phase=PHASE),
            consumer=CONSUMER,
            tuning=TUNING,
            recover=self.recover,
        )

    async def recover(self, bus: Bus) -> None:
        """The recorder makes the tables; until then this waits."""
        if not self._recorder.recovered:
            raise Unavailable("the tables are not there yet")

    async def anomaly(self, received: Received[Found]) -> Sequence[Message]:
        while self._bytes > WAITING:  # senders of long lines decide how much that is
            self._room.clear()
            await self._room.wait()
        one = WaitingAnomaly(received.message, received.data, received.key)
        known = self._waiting.get(one.identity)
        if known is None or one.is_enriched:
            if one.is_enriched:
                _ = one.row  # made now, spread over the second; a mere detection rarely stays
            self._waiting[one.identity] = one
            self._bytes += len(one.data) - (len(known.data) if known else 0)
        return ()

    def pending(self, tracking_id: str) -> list[AnomalyRow | DigestedRow]:
        """Anomalies of one line that may not be in the store yet."""
        return [one.row for key, one in self._waiting.items() if key[0] == tracking_id]

    async def flush(self) -> Mapping[MessageKey, str]:
        """Return when everything that was handled before the call is stored, with the messages
        that the store can never take, and why. While it is away the same batch is tried again:
        ClickHouse drops a repetition."""
        batch = None
        while True:
            if batch is None:
                taken = dict(self._waiting)
                batch = await _batch(taken)
            try:
                with self.outage.noticed():
                    refused = await write_batch(self._store, batch)
                break
            except TakesNothing:  # others beside these rows may show which is to blame
                batch = None
            except Unavailable:
                pass
            await self.outage.wait()
        self._remove(taken)
        reasons = {id(one.row): one.reason for one in refused}
        return {one.cause: reasons[id(one.row)] for one in taken.values() if id(one.row) in reasons}

    def _remove(self, written: Mapping[Identity, WaitingAnomaly]) -> None:
        """An anomaly that was enriched meanwhile waits on."""
        for identity, one in written.items():
            if self._waiting.get(identity) is one:
                del self._waiting[identity]
                self._bytes -= len(one.data)
        self._room.set()


async def _batch(anomalies: Mapping[Identity, WaitingAnomaly]) -> Batch:
    rows = []
    for n, one in enumerate(anomalies.values()):
        rows.append(one.row)
        if n % YIELD_EVERY == 0:
            await asyncio.sleep(0)
    return Batch(rows)
