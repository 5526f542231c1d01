"""Snapshots and replay: after a ``kill -9`` the detectors are as before, and no alarm is repeated.

A snapshot is the state after the entry at its offset. It comes into force when the ack floor of
the consumer has reached that offset: everything before it is published and acknowledged. A start
restores the snapshot and replays the entries delivered after it; then the stream goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime, timedelta

import anomaly_detection
from aiops_core.errors import Unavailable, in_words
from aiops_core.observability import metrics
from aiops_core.runtime import unreadable
from aiops_core.runtime.bus import Bus, ConsumerOffset, Outgoing
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.stopping import periodically
from aiops_core.utils import StructuredLogger
from anomaly_detection import NAME
from anomaly_detection.handler import ENTRIES, DetectionHandler
from anomaly_detection.offsets import Offset
from anomaly_detection.snapshots import (
    EmittedMessage,
    Manifest,
    SnapshotStore,
)

ACK_FLOOR_EVERY = 0.1  # seconds between looks at the ack floor
TRIES = 300  # of them; a message that is retried for longer keeps a snapshot from coming into force
LAST_WITHIN = 3.0  # seconds for the snapshot at a stop
LATENESS = timedelta(seconds=15)  # upper limit for the time from an event to its arrival, usually
WHERE = "detection.snapshot"  # see aiops_core.runtime.unreadable
# What restore() may raise for a damaged state.
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

log = StructuredLogger.get_logger(
    name="checkpoint", service=NAME, version=anomaly_detection.__version__
)


class Checkpointer:
    """Saves and restores *handler*."""

    def __init__(
        self,
        handler: DetectionHandler,
        bus: Bus,
        every: timedelta,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.handler = handler
        self._bus, self._every, self._clock = bus, every, clock
        self._store = SnapshotStore(bus)
        self._generation = 0
        self._saved: Offset | None = None
        self._restored = False
        self._problem = ""

    async def recover(self, bus: Bus) -> None:
        """Raises Unavailable; the next call continues."""
        consumer = await bus.offset(tuple(ENTRIES), group=NAME)
        if not self._restored:
            await self._restore()
            self._restored = True
        await self._replay(consumer)
        newest = [await bus.newest(subject) for subject in ENTRIES]
        lagging = any(stored and stored.sequence > consumer.delivered for stored in newest)
        self.handler.offsets.start(self._clock(), lagging=lagging)

    async def _restore(self) -> None:
        """A part that cannot be read costs its detector a warm-up, and no other one anything."""
        try:
            manifest = await self._store.newest()
        except ValueError as exc:
            _refuse("all detectors", exc)
            return
        if manifest is None:
            return
        remembering = self.handler.remembering
        for one in remembering:
            try:
                state = await self._store.read(manifest, one.name)
                deepcopy(one).restore(state)  # all or nothing
                one.restore(state)
            except DAMAGED as exc:
                _refuse(one.name, exc)
        for gone in manifest.parts.keys() - {one.name for one in remembering}:
            unreadable.skip(WHERE, gone, "there is no such detector")
        self.handler.pending = list(_readable(manifest))
        self.handler.offsets.restore(manifest.offset, manifest.latest)
        self._generation, self._saved = manifest.generation, manifest.offset

    async def _replay(self, consumer: ConsumerOffset) -> None:
        """Replay what was delivered after the snapshot; without one, the memory of the rules."""
        newest, memory = self.handler.offsets.current, self.handler.detection.memory
        since = newest.at if newest else self._clock() - memory
        history = self._bus.history(tuple(ENTRIES), since=since - LATENESS)
        async with contextlib.aclosing(history) as entries:  # type: ignore[type-var]
            async for stored in entries:
                if stored.sequence > consumer.delivered:
                    break
                acknowledged = stored.sequence <= consumer.ack_floor
                ticks = self._saved is not None
                self.handler.replay(stored, acknowledged=acknowledged, ticks=ticks)

    async def run(self) -> None:
        """The background loop: periodic snapshots, and one when the service stops."""
        await periodically(self._every.total_seconds(), self._try_save, LAST_WITHIN)

    async def _try_save(self) -> None:
        """A failure is logged once; the next attempt may succeed."""
        try:
            await self.save()
            self._problem = ""
        except Unavailable as exc:
            if not self._problem:
                log.warning("no snapshot", reason=str(exc))
            self._problem = str(exc)

    async def save(self) -> bool:
        """Whether a new snapshot is in force. Raises Unavailable."""
        handler, offset = self.handler, self.handler.offsets.current
        if offset is None or (offset == self._saved and not handler.emitted):
            return False
        # All of this moment: no await until the parts of every detector are begun.
        latest, generation = handler.offsets.latest, self._generation + 1
        states = [(one.name, one.parts()) for one in handler.remembering]
        emitted = tuple(EmittedMessage.of(outgoing) for _, outgoing in handler.emitted)
        parts = {name: await self._store.write(generation, name, one) for name, one in states}
        if not await self._acknowledged(offset):
            return False
        await self._store.commit(
            Manifest(
                generation=generation, offset=offset, latest=latest, parts=parts, emitted=emitted
            )
        )
        self._generation, self._saved = generation, offset
        handler.replayed.clear()  # acknowledged: these entries do not come again
        metrics.SNAPSHOT_AT.labels(NAME).set(self._clock().timestamp())
        return True

    async def _acknowledged(self, offset: Offset) -> bool:
        """Wait for the ack floor to reach *offset*, but not for ever."""
        for _ in range(TRIES):
            consumer = await self._bus.offset(tuple(ENTRIES), group=NAME)
            if consumer.ack_floor >= offset.sequence:
                return True
            await asyncio.sleep(ACK_FLOOR_EVERY)
        return False


def _refuse(detector: str, exc: Exception) -> None:
    unreadable.skip(WHERE, detector, exc)
    log.warning("snapshot refused, it warms up", detector=detector, reason=in_words(exc))


def _readable(manifest: Manifest) -> Iterator[Outgoing]:
    for one in manifest.emitted:
        try:
            yield one.read()
        except ValueError as exc:
            unreadable.skip(WHERE, one.id, exc)
