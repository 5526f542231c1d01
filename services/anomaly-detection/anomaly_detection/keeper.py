"""What detectors remember outlives the process: a kill -9 costs nothing that they knew, and repeats no alarm.

A snapshot holds the state after the message at its position, and counts only when everything up to there
is settled: published and acknowledged. On start the state is restored, and what was settled after the
snapshot is observed again, silently. The rest of the stream comes as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import anomaly_detection
from aiops_core.errors import Unavailable
from aiops_core.models import LogEntry, Message, MetricSample
from aiops_core.observability import metrics
from aiops_core.runtime import unreadable
from aiops_core.runtime.bus import Bus, Outgoing, Reached, Stored
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import Handler, arrived, utc_now
from aiops_core.utils import StructuredLogger
from anomaly_detection.clocks import HOST, Clocks
from anomaly_detection.detectors.base import span
from anomaly_detection.handler import Detection
from anomaly_detection.noticed import Noticed
from anomaly_detection.progress import Progress
from anomaly_detection.snapshot_store import NAME, SnapshotStore
from anomaly_detection.snapshots import Broken, Manifest, Position, Slot, Told, other, reason

Observe = Callable[[Any], Awaitable[Sequence[Message]]]

KINDS = {kind.subject: kind for kind in (LogEntry, MetricSample)}
TICK = timedelta(seconds=1)  # how often time passes in a replay, as it does in the runtime
RECENT = timedelta(seconds=10)  # in which what a tick told is surely published
SETTLED_EVERY = 0.1  # seconds between looks whether all is settled
TRIES = 300  # of them; a message that is put off for longer keeps a snapshot from counting
LAST_WITHIN = 3.0  # seconds for the snapshot of a service that stops
LATENESS = timedelta(seconds=15)  # between an event and its arrival at the broker, usually less
STEP = timedelta(seconds=10)  # by which the clock of this host must have been set to be told
# What could not be read, see aiops_core.runtime.unreadable.
WHERE, WHERE_STREAM = "detection.snapshot", "detection.stream"
# What restoring a state of another kind may raise: it is data from elsewhere.
NO_STATE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

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
        noticed: Noticed,
        clock: Callable[[], datetime] = utc_now,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detection, self._bus, self._every = detection, bus, every
        self._clock, self._steady, self._noticed = clock, steady, noticed
        self._clocks = Clocks(noticed.step)
        self._looked = clock(), steady()
        self._store = SnapshotStore(bus)
        self._progress = Progress(clock())
        self._saved: Position | None = None
        self._slot: Slot | None = None
        self._restored = False
        self._answers: dict[int, Sequence[Message]] = {}  # of messages that will come again
        self._due: list[Outgoing] = []  # by ticks of the replay
        self._told: deque[tuple[datetime, Outgoing]] = deque()
        self._problem = ""

    def handler(self, handle: Observe) -> Handler:
        """*handle*, for entries that were not observed yet; the others are answered as they were."""

        async def once(received: Received[LogEntry | MetricSample]) -> Sequence[Message]:
            here = Position(sequence=received.sequence, at=received.at)
            self._progress.arrives(here, self._clock(), again=received.attempt > 1)
            if self._progress.knows(self._progress.here):
                return self._answers.get(self._progress.here.sequence, ())
            effects = await handle(self._clocks.believed(received.message, received.at))
            self._progress.observed()
            return effects

        return once

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        due, self._due = self._due, []
        self._watch_clock(now)
        due += self._detection.tick(self._progress.time(now))
        self._told.extend((now, outgoing) for outgoing in due)
        while self._told and abs(now - self._told[0][0]) > RECENT:
            self._told.popleft()
        return due

    def _watch_clock(self, now: datetime) -> None:
        """Silence is judged by the clock of this host: after a step of it, from then on."""
        before, self._looked = self._looked, (self._clock(), self._steady())
        passed = timedelta(seconds=self._looked[1] - before[1])
        step = self._looked[0] - before[0] - passed
        if abs(step) > STEP:
            way = "ahead" if step > timedelta(0) else "back"
            text = f"the clock of this host was set {way} by {span(abs(step))}"
            self._noticed.step(HOST, f"{text}, to {self._looked[0].isoformat()}")
            self._detection.resume(self._progress.time(now))

    async def recover(self, bus: Bus) -> None:
        """Raises Unavailable; called again it goes on where it was."""
        reached = await bus.reached(tuple(KINDS), group=NAME)
        if not self._restored:
            await self._restore()
            self._restored = True
        await self._catch_up(reached)
        self._progress.started(self._clock(), waits=await self._waits(reached))

    async def _restore(self) -> None:
        """What cannot be read costs its detector a warm-up, and nobody else anything."""
        try:
            manifest = await self._store.newest()
        except Broken as exc:
            self._refuse("all detectors", exc)
            return
        if manifest is None:
            return
        for detector in self._detection.detectors:
            try:
                detector.restore_whole(await self._store.read(manifest, detector.name))
            except NO_STATE as exc:
                self._refuse(detector.name, exc)
        for gone in manifest.parts.keys() - {d.name for d in self._detection.detectors}:
            unreadable.skip(WHERE, gone, "there is no such detector")
        self._due = list(_read(manifest.told))
        self._saved = manifest.position
        self._progress.start(manifest.position, manifest.latest)
        self._slot = manifest.slot

    def _refuse(self, who: str, exc: Exception) -> None:
        why = reason(exc)
        unreadable.skip(WHERE, who, why)
        log.warning("snapshot refused, it warms up", detector=who, reason=why)

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
        if before and here.at < before.at - STEP:
            self._detection.resume(here.at)  # the clock was set back
        if self._saved and before and _second(before) != _second(here):
            self._due += self._detection.tick(here.at)
        # One that cannot be read has been buried by the runtime, or will be.
        entry = unreadable.read_stored(stored, WHERE_STREAM, KINDS)
        if isinstance(entry, LogEntry | MetricSample):
            known = self._clocks.believed(arrived(entry, stored), stored.at)
            effects = await self._detection.on(known)
            if keep and effects:
                self._answers[stored.sequence] = effects
        self._progress.start(here)

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
        position, latest = self._progress.position, self._progress.latest
        if position is None or (position == self._saved and not self._told):
            return False
        images = [(detector.name, detector.image()) for detector in self._detection.detectors]
        told = tuple(Told.of(outgoing) for _, outgoing in self._told)
        slot = other(self._slot)
        parts = {name: await self._store.write(slot, name, image) for name, image in images}
        if not await self._settled(position):
            return False
        await self._store.commit(
            Manifest(slot=slot, position=position, latest=latest, parts=parts, told=told)
        )
        self._slot, self._saved = slot, position
        self._answers.clear()  # what they are about is settled: it does not come again
        metrics.SNAPSHOT_AT.labels(NAME).set(self._clock().timestamp())
        return True

    async def _settled(self, position: Position) -> bool:
        """Wait until everything up to *position* is, but not for ever."""
        for _ in range(TRIES):
            if (await self._bus.reached(tuple(KINDS), group=NAME)).settled >= position.sequence:
                return True
            await asyncio.sleep(SETTLED_EVERY)
        return False


def _read(told: Iterable[Told]) -> Iterator[Outgoing]:
    for one in told:
        try:
            yield Outgoing(one.read(), one.id)
        except ValueError as exc:  # Broken, or a message that is none
            unreadable.skip(WHERE, one.id, reason(exc))


def _second(position: Position) -> int:
    return int(position.at.timestamp() / TICK.total_seconds())
