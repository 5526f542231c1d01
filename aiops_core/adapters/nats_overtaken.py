"""How many messages a stream discarded before a consumer was given them. Pure.

The broker does not say that: it skips to the first message that is left, and the consumer's lag
falls. So the consumer is compared with its stream from time to time:

* The number is exact for a consumer of every subject of its stream. A consumer of some subjects
  lost its share: the share of its messages among those it still has to read. After a downtime that
  may be a few too many for rare messages.
* Two losses are not seen: messages discarded between two looks when the consumer has nothing more
  to read at the second, and messages in flight of a process that was killed.
"""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """A consumer and its stream at one moment."""

    first: int  # sequence of the oldest message in the stream
    last: int  # and of the newest
    delivered: int  # sequence of the last message that the consumer was given
    deliveries: int  # how many it was given, repetitions included
    pending: int  # messages for it that it was not given


class Overtaken:
    """Compares one consumer with its stream."""

    def __init__(self) -> None:
        self._before: Look | None = None
        self._passed = 0  # sequence up to which all was given, is not for it, or was counted

    def look(self, now: Look) -> int:
        """Messages lost since the last look; the first look also counts the losses before it."""
        if self._before is None or now.last < self._before.last:  # a new stream counts from 1
            self._before, self._passed = now, now.delivered
        lost = self._lost(now, self._before)
        self._before = now
        self._passed = max(now.delivered, now.first - 1) if now.pending else now.last
        return lost

    def _lost(self, now: Look, before: Look) -> int:
        gone = now.first - 1 - self._passed
        unread = now.last - max(now.delivered, now.first - 1)
        if gone <= 0 or unread <= 0:
            return 0
        share = min(now.pending / unread, 1.0)
        given_of_the_rest = share * max(now.delivered - now.first + 1, 0)
        given = max(now.deliveries - before.deliveries - given_of_the_rest, 0)
        return max(int(share * gone - given), 0)
