"""What happens to a log line or a reading.

1. An entry that was observed before a kill gets the messages of the replay again.
2. A raw line is read, and its device gets its one name (``reading``).
3. Times that are impossible are replaced (``clocks``).
4. The detectors judge it, and their findings become messages (``detection``).
5. A neighbour that it names becomes one (``links``).
6. Its offset is noted, for the next snapshot (``checkpoint``).

The runtime publishes the messages, then acknowledges the entry.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import anomaly_detection
from aiops_core.models import LogEntry, Message, MetricSample
from aiops_core.observability import metrics
from aiops_core.runtime import unreadable
from aiops_core.runtime.bus import Outgoing, Stored
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import arrived, utc_now
from aiops_core.utils import StructuredLogger
from anomaly_detection.clocks import SenderClocks
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.base import Detector, span
from anomaly_detection.links import LinkReader
from anomaly_detection.offsets import Offset, OffsetTracker
from anomaly_detection.packs import LeftOut
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.reading import EntryReader
from anomaly_detection.remembered import Remembered

ENTRIES = {kind.subject: kind for kind in (LogEntry, MetricSample)}
STEP = timedelta(seconds=10)  # smallest step of this host's clock that is reported
TICK = timedelta(seconds=1)  # between ticks of a replay, as in the runtime
RECENT = timedelta(seconds=10)  # after which a message of a tick is surely published
WHERE = "detection.stream"  # see aiops_core.runtime.unreadable
LOGGED = 10  # of one topic that are logged each; then only when their number doubles
SHOWN = 300  # characters of a note

log = StructuredLogger.get_logger(
    name="notes", service=anomaly_detection.NAME, version=anomaly_detection.__version__
)


@dataclass
class Notes:
    """Counts clock steps and failures of detectors, and logs some of them.

    *texts* by topic are those of the readiness of the process, see ``/ready``.
    """

    texts: MutableMapping[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def step(self, kind: str, text: str) -> None:
        """A clock was set."""
        metrics.CLOCK_STEPS.labels(kind).inc()
        if self._counted(f"clock {kind}", text):
            log.warning("clock step", kind=kind, step=text)

    def failure(self, detector: str, exc: Exception) -> None:
        """A detector raised. If it raises twice, its findings on the entry are missing."""
        metrics.DETECTOR_FAILURES.labels(detector).inc()
        if self._counted(f"detector {detector}", f"raised {exc!r}"):
            log.error("a detector failed", detector=detector, exc_info=exc)

    def left_out(self, packs: Sequence[LeftOut]) -> None:
        """Packs with mistakes: the rest of detection goes on without them."""
        for pack in packs:
            metrics.PACKS_LEFT_OUT.inc()
            if self._counted(f"pack {pack.file}", f"left out: {pack.problem}"):
                log.error("a pack was left out", pack=pack.file, problem=pack.problem[:SHOWN])

    def _counted(self, topic: str, text: str) -> bool:
        """Count it; True if it is to be logged."""
        count = self._counts[topic] = self._counts.get(topic, 0) + 1
        self.texts[topic] = f"{count} times, the newest: {text[:SHOWN]}"
        return count <= LOGGED or count.bit_count() == 1


class DetectionHandler:
    """Entries in, messages out. ``checkpoint`` saves and restores its attributes."""

    def __init__(
        self,
        policy: DetectPolicy,
        notes: Notes | None = None,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        notes = notes or Notes()
        self.detection = Detection(policy, notes.failure)
        self.reader = EntryReader(policy.series_kept, policy.own_domains, notes.failure)
        self.links = LinkReader(policy.series_kept, self.reader.name_of)
        self.offsets = OffsetTracker(clock())
        self.replayed: dict[int, Sequence[Message]] = {}  # by sequence, until acknowledged
        self.pending: list[Outgoing] = []  # messages of restored ticks
        self.emitted: deque[tuple[datetime, Outgoing]] = deque()  # messages of recent ticks
        self._notes, self._clock, self._monotonic = notes, clock, monotonic
        self._last_tick = clock(), monotonic()
        self._sender_clocks = SenderClocks(notes.step)

    async def __call__(self, received: Received[LogEntry | MetricSample]) -> Sequence[Message]:
        offset, redelivered = Offset(received.sequence, received.at), received.attempt > 1
        self.offsets.receive(offset, self._clock(), redelivered=redelivered)
        if self.offsets.knows(offset):
            return self.replayed.get(offset.sequence, ())
        entry = self._sender_clocks.believed(self.reader.read(received.message), received.at)
        messages = self._observe(entry)
        self.offsets.observe(offset, redelivered=redelivered)
        return messages

    def _observe(self, entry: LogEntry | MetricSample) -> Sequence[Message]:
        """The findings, then the link that a line names: a failure of that costs no finding."""
        messages = self.detection.observe(entry)
        if isinstance(entry, LogEntry):
            try:
                links = self.links.observe(entry)
            except Exception as exc:  # noqa: BLE001 - a bug; it is counted, logged and shown
                self._notes.failure("links", exc)
                return messages
            if links:
                return [*messages, *links]
        return messages

    @property
    def remembering(self) -> Sequence[Detector[Any] | Remembered]:
        """All that is in a snapshot, each under its name."""
        detection = self.detection
        memories = (*detection.digest.memories, *self.reader.memories, *self.links.memories)
        return (*detection.detectors, *memories)

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        """The findings of time without entries."""
        if self._clock_stepped():
            self.detection.resume(self.offsets.time(now))
        messages = [*self.pending, *self.detection.tick(self.offsets.time(now))]
        self.pending = []
        self.emitted.extend((now, message) for message in messages)
        while self.emitted and abs(now - self.emitted[0][0]) > RECENT:
            self.emitted.popleft()
        return messages

    def _clock_stepped(self) -> bool:
        """Whether the clock of this host was set since the last call."""
        (wall, steady), self._last_tick = self._last_tick, (self._clock(), self._monotonic())
        now, monotonic = self._last_tick
        step = now - wall - timedelta(seconds=monotonic - steady)
        if abs(step) <= STEP:
            return False
        way = "ahead" if step > timedelta(0) else "back"
        text = f"the clock of this host was set {way} by {span(abs(step))}, to {now.isoformat()}"
        self._notes.step("host", text)
        return True

    def replay(self, stored: Stored, *, acknowledged: bool, ticks: bool) -> None:
        """Observe an entry from before a kill again, silently.

        One that is not *acknowledged* will be delivered again: its messages are kept. With *ticks*
        time passes between entries as it did before the kill.
        """
        offset, before = Offset(stored.sequence, stored.at), self.offsets.current
        if self.offsets.knows(offset):
            return
        if before and offset.at < before.at - STEP:
            self.detection.resume(offset.at)  # the clock was set back
        if ticks and before and _tick_number(before) != _tick_number(offset):
            self.pending += self.detection.tick(offset.at)
        # The runtime makes a dead letter of one that cannot be read.
        entry = unreadable.read_stored(stored, WHERE, ENTRIES)
        if isinstance(entry, LogEntry | MetricSample):
            entry = self.reader.read(arrived(entry, stored))
            entry = self._sender_clocks.believed(entry, stored.at)
            messages = self._observe(entry)
            if messages and not acknowledged:
                self.replayed[offset.sequence] = messages
        self.offsets.restore(offset)


def _tick_number(offset: Offset) -> int:
    return int(offset.at.timestamp() / TICK.total_seconds())
