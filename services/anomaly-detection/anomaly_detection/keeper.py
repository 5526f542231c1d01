"""What detectors remember outlives the process: a kill -9 costs nothing that they knew, and repeats no alarm.

A snapshot holds the state after the message at its position, and counts only when everything up to there
is settled: published and acknowledged. On start the state is restored, and what was settled after the
snapshot is observed again, silently. The rest of the stream comes as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError

import anomaly_detection
from aiops_core import metrics
from aiops_core.bus import Bus, Delivery, Outgoing, Reached, Stored
from aiops_core.errors import Unavailable
from aiops_core.models import LogEntry, Message, MetricSample
from aiops_core.runtime import Handler, arrived, utc_now
from aiops_core.utils import StructuredLogger
from anomaly_detection.handler import Detection
from anomaly_detection.progress import Progress
from anomaly_detection.snapshot_store import NAME, SnapshotStore
from anomaly_detection.snapshots import Manifest, Position, Slot, Told, other, reason

KINDS = {kind.subject: kind for kind in (LogEntry, MetricSample)}
TICK = timedelta(seconds=1)  # how often time passes in a replay, as it does in the runtime
RECENT = timedelta(seconds=10)  # in which what a tick told is surely published
SETTLED_EVERY = 0.1  # seconds between looks whether all is settled
TRIES = 300  # of them; a message that is put off for longer keeps a snapshot from counting
LAST_WITHIN = 3.0  # seconds for the snapshot of a service that stops
LATENESS = timedelta(seconds=15)  # between an event and its arrival at the broker, usually less

log = StructuredLogger.get_logger(
    name="keeper", service=NAME, version=anomaly_detection.__version__
)


class Keeper:
    """Stands between the runtime and the detection, and knows how far in the stream that is."""

    def __init__(
        self,
        detection: Detection,
        bus: Bus,
        every: timedelta,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._detection, self._bus, self._every, self._clock = detection, bus, every, clock
        self._store = SnapshotStore(bus)
        self._progress = Progress(clock())
        self._saved: Position | None = None
        self._slot: Slot | None = None
        self._restored = False
        self._answers: dict[int, Sequence[Message]] = {}  # of messages that will come again
        self._due: list[Outgoing] = []  # by ticks of the replay
        self._told: deque[tuple[datetime, Outgoing]] = deque()
        self._problem = ""

    def sees(self, delivery: Delivery) -> None:
        here = Position(sequence=delivery.sequence, at=delivery.at)
        self._progress.arrives(here, self._clock(), again=delivery.attempt > 1)

    def handler(self, handle: Handler) -> Handler:
        """*handle*, for entries that were not observed yet; the others are answered as they were."""

        async def once(entry: LogEntry | MetricSample) -> Sequence[Message]:
            if self._progress.knows(self._progress.here):
                return self._answers.get(self._progress.here.sequence, ())
            effects = await handle(entry)
            self._progress.observed()
            return effects

        return once

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        due, self._due = self._due, []
        due += self._detection.tick(self._progress.time(now))
        self._told.extend((now, outgoing) for outgoing in due)
        while self._told and self._told[0][0] < now - RECENT:
            self._told.popleft()
        return due

    async def recover(self, bus: Bus) -> None:
        """Raises Unavailable; called again it goes on where it was."""
        reached = await bus.reached(tuple(KINDS), group=NAME)
        if not self._restored:
            await self._restore()
            self._restored = True
        await self._catch_up(reached)
        self._progress.started(self._clock(), waits=await self._waits(reached))

    async def _restore(self) -> None:
        try:
            manifest = await self._store.newest()
            if manifest is None:
                return
            self._due = [Outgoing(told.read(), told.id) for told in manifest.told]
        except ValueError as exc:  # Broken, or a message that is none
            log.warning("snapshot refused, all detectors warm up", reason=reason(exc))
            return
        for detector in self._detection.detectors:
            try:
                detector.restore_whole(await self._store.read(manifest, detector.name))
            except (ValueError, LookupError, TypeError) as exc:
                why = reason(exc)
                log.warning("snapshot refused, it warms up", detector=detector.name, reason=why)
        self._saved = manifest.position
        self._progress.start(manifest.position)
        self._slot = manifest.slot

    async def _catch_up(self, reached: Reached) -> None:
        """Observe again, in order, what was delivered after the snapshot; without one, the last of it.

        What was not settled is delivered again after this, in whatever order: its answers are kept.
        """
        known = self._progress.position
        since = known.at if known else self._clock() - self._detection.memory
        history = self._bus.history(tuple(KINDS), since=since - LATENESS)
        async with contextlib.aclosing(history) as stored:  # type: ignore[type-var]
            async for one in stored:
                if one.sequence > reached.delivered:
                    break
                here = Position(sequence=one.sequence, at=one.at)
                if not self._progress.knows(here):
                    await self._observe(one, here, keep=one.sequence > reached.settled)

    async def _observe(self, stored: Stored, here: Position, *, keep: bool) -> None:
        before = self._progress.position
        if self._saved and before and _second(before) != _second(here):
            self._due += self._detection.tick(here.at)
        self._progress.start(here)
        try:
            entry = KINDS[stored.subject].model_validate_json(stored.data)
        except ValidationError:
            return  # the runtime has buried it, or will
        effects = await self._detection.on(arrived(entry, stored))
        if keep and effects:
            self._answers[stored.sequence] = effects

    async def _waits(self, reached: Reached) -> bool:
        newest = [await self._bus.newest(subject) for subject in KINDS]
        return any(stored and stored.sequence > reached.delivered for stored in newest)

    async def keep(self) -> None:
        """The background loop: a snapshot from time to time, and a last one when the service stops."""
        try:
            while True:
                await asyncio.sleep(self._every.total_seconds())
                await self._try_save()
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN):
                    await self._try_save()
            raise

    async def _try_save(self) -> None:
        """A snapshot that fails is told once; the next one may work."""
        try:
            await self.save()
            self._problem = ""
        except Unavailable as exc:
            if not self._problem:
                log.warning("no snapshot", reason=str(exc))
            self._problem = str(exc)

    async def save(self) -> bool:
        """Whether there is a new snapshot that counts. Raises Unavailable."""
        position = self._progress.position
        if position is None or (position == self._saved and not self._told):
            return False
        images = [(detector.name, detector.image()) for detector in self._detection.detectors]
        told = tuple(Told.of(outgoing) for _, outgoing in self._told)
        slot = other(self._slot)
        parts = {name: await self._store.write(slot, name, image) for name, image in images}
        if not await self._settled(position):
            return False
        await self._store.commit(Manifest(slot=slot, position=position, parts=parts, told=told))
        self._slot, self._saved = slot, position
        metrics.SNAPSHOT_AT.labels(NAME).set(self._clock().timestamp())
        return True

    async def _settled(self, position: Position) -> bool:
        """Wait until everything up to *position* is, but not for ever."""
        for _ in range(TRIES):
            if (await self._bus.reached(tuple(KINDS), group=NAME)).settled >= position.sequence:
                return True
            await asyncio.sleep(SETTLED_EVERY)
        return False


def _second(position: Position) -> int:
    return int(position.at.timestamp() / TICK.total_seconds())
