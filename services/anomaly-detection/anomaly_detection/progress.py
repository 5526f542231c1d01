"""How far in the stream the detectors are: which messages they know, and how late it is there. Pure."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from anomaly_detection.snapshots import Position

BEHIND = timedelta(seconds=5)  # an older message: there is more to read, and silence proves nothing
KEPT = 16_384  # messages that are known one by one; fewer are out at any time


class Progress:
    """*position* is the place of the newest message that was observed.

    Everything up to the base was. What comes after it may come out of order, because what was
    delivered and not acknowledged is delivered again some seconds later: it is known one by one.
    A message is known by its sequence and by when it was stored, as a stream that was made anew counts
    from 1 again. *latest* is the latest of these times: the broker's clock may be set back.
    """

    def __init__(self, now: datetime) -> None:
        self.position: Position | None = None
        self.latest: datetime | None = None
        self._base: Position | None = None
        self._observed: OrderedDict[int, datetime] = OrderedDict()
        self._here: Position | None = None  # the message in hand
        self._again = False
        self._arrived = now
        self._behind = False

    def start(self, base: Position, latest: datetime | None = None) -> None:
        """Everything up to *base* was observed."""
        self._reach(base.at, latest or base.at)
        self.position = base
        self._base = Position(base.sequence, self.latest or base.at)

    def started(self, now: datetime, *, waits: bool) -> None:
        """State is as before the stop; *waits*: there are messages that came since."""
        self._arrived, self._behind = now, waits

    def arrives(self, here: Position, now: datetime, *, again: bool) -> None:
        """The message at *here* is the next to be handled; *again*: it was delivered before."""
        self._here, self._arrived, self._again = here, now, again
        if not again:
            self._behind = now - here.at > BEHIND

    @property
    def here(self) -> Position:
        assert self._here is not None  # arrives() comes before
        return self._here

    def knows(self, here: Position) -> bool:
        if here.sequence in self._observed:
            return self._observed[here.sequence] == here.at
        return self._base is not None and self._base.covers(here)

    def observed(self) -> None:
        """The message in hand was, without a mishap."""
        here = self.here
        self._observed[here.sequence] = here.at
        if len(self._observed) > KEPT:
            self._observed.popitem(last=False)
        known = self.position
        anew = known is not None and not self._again and here.at > known.at
        if known is None or here.sequence > known.sequence or anew:
            self.position = here
        self._reach(here.at)

    def time(self, now: datetime) -> datetime:
        """While old messages are being read, time has come only as far as they have."""
        reading = self._behind and now - self._arrived < BEHIND
        return self.position.at if reading and self.position else now

    def _reach(self, *times: datetime) -> None:
        self.latest = max(times) if self.latest is None else max(self.latest, *times)
