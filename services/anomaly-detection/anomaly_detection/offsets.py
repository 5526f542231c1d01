"""Which messages of the stream the detectors have observed, and how far it lags behind. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from aiops_core.bounded import BoundedDict
from aiops_core.models import UtcDatetime

LAGGING = timedelta(seconds=5)  # age of a message that shows a backlog: silence proves nothing
KEPT = 16_384  # observed messages after the base; more than can be in flight


@dataclass(frozen=True, slots=True)
class Offset:
    """A place in the stream: the *sequence* of a message, and when the broker stored it."""

    sequence: int
    at: UtcDatetime

    def covers(self, other: Offset) -> bool:
        """Whether *other* comes before. A recreated stream counts from 1 again, but later."""
        return other.sequence <= self.sequence and other.at <= self.at


class OffsetTracker:
    """*current* is the offset of the newest observed message.

    Every message up to the base is observed. Later ones may come out of order, as those delivered
    and not acknowledged before a kill are delivered again: they are known one by one, by sequence
    and time. *latest* is the maximum of these times: the clock of the broker may be set back.
    """

    def __init__(self, now: datetime) -> None:
        self.current: Offset | None = None
        self.latest: datetime | None = None
        self._base: Offset | None = None
        self._observed: BoundedDict[int, datetime] = BoundedDict(KEPT)
        self._received_at = now
        self._lagging = False

    def restore(self, base: Offset, latest: datetime | None = None) -> None:
        """Every message up to *base* is observed."""
        self._advance(base.at, latest or base.at)
        self.current = base
        self._base = Offset(base.sequence, self.latest or base.at)

    def start(self, now: datetime, *, lagging: bool) -> None:
        """The replay is complete; *lagging*: messages have come since the stop."""
        self._received_at, self._lagging = now, lagging

    def receive(self, offset: Offset, now: datetime, *, redelivered: bool) -> None:
        self._received_at = now
        if not redelivered:
            self._lagging = now - offset.at > LAGGING

    def knows(self, offset: Offset) -> bool:
        if offset.sequence in self._observed:
            return self._observed[offset.sequence] == offset.at
        return self._base is not None and self._base.covers(offset)

    def observe(self, offset: Offset, *, redelivered: bool) -> None:
        """The message at *offset* is observed, without an exception."""
        self._observed.put(offset.sequence, offset.at)
        current = self.current
        recreated = current is not None and not redelivered and offset.at > current.at
        if current is None or offset.sequence > current.sequence or recreated:
            self.current = offset
        self._advance(offset.at)

    def time(self, now: datetime) -> datetime:
        """The time for ticks: with a backlog, that of the newest message."""
        lagging = self._lagging and now - self._received_at < LAGGING
        return self.current.at if lagging and self.current else now

    def _advance(self, *times: datetime) -> None:
        self.latest = max(times) if self.latest is None else max(self.latest, *times)
