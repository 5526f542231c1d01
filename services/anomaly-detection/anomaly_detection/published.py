"""Counts the anomalies that this service has published, whether or not anybody reads them.

A kill loses the counts since the last write; the next start counts them again in the stream.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyDetected, AnomalyDigested, Message
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
from aiops_core.runtime.stopping import periodically
from aiops_core.runtime.unreadable import read_stored

WRITE_EVERY = 1.0  # seconds
LAST_WITHIN = 1.0  # seconds for the write at a stop
STAGE = "detect"
FOUND = (AnomalyDetected, AnomalyDigested)


class PublishedCounts:
    def __init__(self, bus: Bus, clock: Callable[[], datetime] = utc_now) -> None:
        self._bus, self._clock = bus, clock
        self._tally: Tally = Counter()
        self._unwritten: set[str] = set()

    def count(self, messages: Sequence[Message]) -> None:
        """Count *messages*, which the broker has just stored for the first time."""
        for message in messages:
            if isinstance(message, FOUND):
                minute = minute_of(message.stages[STAGE])
                self._tally[minute] += 1
                self._unwritten.add(key_of(minute))

    async def recover(self, bus: Bus) -> None:
        """Read the written counts, and count again what may be missing. Raises Unavailable."""
        written = decode(await bus.bucket(BUCKET).all())
        if not written:  # the first start
            return
        since = min(max(written), minute_of(self._clock())) - MINUTE  # a clock may have been ahead
        again: Tally = Counter()
        async for stored in bus.history([kind.subject for kind in FOUND], since=since):
            message = read_stored(stored, "detection.published")
            if message and (at := message.stages.get(STAGE)) and minute_of(at) >= since:
                again[minute_of(at)] += 1
        self._tally = written | again  # the maximum: the stream may have discarded some
        self._unwritten = {key_of(minute) for minute in again if again[minute] > written[minute]}

    async def run(self) -> None:
        """The background loop: write changes every second, and when the service stops."""
        await periodically(WRITE_EVERY, self._try_write, LAST_WITHIN)

    async def _try_write(self) -> None:
        with contextlib.suppress(Unavailable):  # shown by /ready; the next write has all
            await self.write()

    async def write(self) -> None:
        """Write the hours that have changed, and delete old ones. Raises Unavailable."""
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
