"""Counts the anomalies that this service has published, so that the ledger can miss those that nobody read.

A kill loses at most what was counted since the last write; the next start counts that again, in the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import anomaly_detection
from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, Message
from aiops_core.observability.tally import (
    BUCKET,
    KEPT,
    MINUTE,
    Tally,
    decode,
    encode,
    key_of,
    minute_of,
)
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.unreadable import read_stored
from aiops_core.utils import StructuredLogger
from anomaly_detection.snapshot_store import NAME

WRITE_EVERY = 1.0  # seconds
LAST_WITHIN = 1.0  # seconds for the last write of a service that stops
STAGE = "detect"

log = StructuredLogger.get_logger(
    name="published", service=NAME, version=anomaly_detection.__version__
)


class Published:
    def __init__(self, bus: Bus, clock: Callable[[], datetime] = utc_now) -> None:
        self._bus, self._clock = bus, clock
        self._tally: Tally = Counter()
        self._unwritten: set[str] = set()

    def count(self, messages: Sequence[Message]) -> None:
        """Count *messages*, which the broker has just stored for the first time."""
        for message in messages:
            if isinstance(message, AnomalyDetected):
                minute = minute_of(message.stages[STAGE])
                self._tally[minute] += 1
                self._unwritten.add(key_of(minute))

    async def recover(self, bus: Bus) -> None:
        """Know what was counted, and count again what may not have been written. Raises Unavailable."""
        written = decode(await bus.bucket(BUCKET).all())
        if not written:  # the first start
            return
        since = min(max(written), minute_of(self._clock())) - MINUTE  # a clock may have been ahead
        again: Tally = Counter()
        async for stored in bus.history([AnomalyDetected.subject], since=since):
            message = read_stored(stored, "detection.published")
            if message and (at := message.stages.get(STAGE)) and minute_of(at) >= since:
                again[minute_of(at)] += 1
        self._tally = written | again  # the greater of both: the stream may have discarded some
        self._unwritten = {key_of(minute) for minute in again if again[minute] > written[minute]}

    async def keep(self) -> None:
        """The background loop: write what has changed every second, and once more when the service stops."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY)
                await self._try_write()
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN):
                    await self._try_write()
            raise

    async def _try_write(self) -> None:
        with contextlib.suppress(Unavailable):  # /ready says so; the next write has it all
            await self.write()

    async def write(self) -> None:
        """Write the hours that have changed, and forget those that are too old. Raises Unavailable."""
        bucket = self._bus.bucket(BUCKET)
        changed, self._unwritten = self._unwritten, set()
        try:
            for key, value in encode(self._tally, sorted(changed)).items():
                await bucket.put(key, value)
        except BaseException:
            self._unwritten |= changed
            raise
        horizon = key_of(self._clock() - KEPT)
        for key in {key_of(minute) for minute in self._tally if key_of(minute) < horizon}:
            await bucket.delete(key)
            self._tally = Counter({m: n for m, n in self._tally.items() if key_of(m) != key})
