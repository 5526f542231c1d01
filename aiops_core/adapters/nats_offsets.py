"""How far a consumer group has come in a stream, and what it lost on the way. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple

ACK_FLOORS = "ack_floors"  # its keys are STREAM.group
# Acknowledged sequences above the floor that are remembered. The older half of more is delivered
# again if the consumer is deleted just then.
MOST_ACKED = 100_000


class AckFloor:
    """The ack floor of a group, remembered apart from its durable consumer.

    A consumer that somebody deleted is made again at this floor. The process remembers what it
    acknowledged. The bucket ``ack_floors`` has the broker's own figure, some seconds old, for a
    consumer that is gone when a process starts. A floor is valid for one stream, identified by its
    creation time: after the stream was deleted, or the disk replaced, everything in it is new.
    """

    def __init__(self) -> None:
        self.generation = 0  # counts the streams of this name
        self._stream_created = ""
        self._floor = 0
        self._acked: set[int] = set()  # above the floor
        self._stored = b""

    def in_stream(self, created: datetime | None, last: int) -> None:
        """Start at 0 if the stream, which ends at *last*, is not the former one."""
        stream_created = created.isoformat() if created else ""
        if stream_created != self._stream_created or self._floor > last:
            self._stream_created, self._floor = stream_created, 0
            self._acked.clear()
            self.generation += 1

    def raise_to(self, floor: int) -> None:
        """The broker says that everything up to *floor* is acknowledged."""
        if floor > self._floor:
            self._floor = floor
            self._acked = {sequence for sequence in self._acked if sequence > floor}

    def acked(self, sequence: int) -> None:
        self._acked.add(sequence)
        if len(self._acked) > MOST_ACKED:
            self._acked = set(sorted(self._acked)[MOST_ACKED // 2 :])

    def is_acked(self, sequence: int) -> bool:
        return sequence in self._acked

    @property
    def next(self) -> int:
        """The first sequence that a new consumer has to deliver."""
        return self._floor + 1

    def load(self, value: bytes | None, last: int) -> None:
        """Take over *value* of the bucket if it is about this stream, which ends at *last*.

        Raises ValueError, KeyError or TypeError when it cannot be read.
        """
        if self._floor or not value:
            return
        found = json.loads(value)
        created, floor = str(found["stream_created"]), int(found["ack_floor"])
        if created == self._stream_created and floor <= last:
            self._floor = floor

    @property
    def to_store(self) -> bytes | None:
        """The value for the bucket; None when it is stored already."""
        value = {"stream_created": self._stream_created, "ack_floor": self._floor}
        encoded = json.dumps(value).encode()
        return encoded if self._floor and encoded != self._stored else None

    def stored(self, value: bytes) -> None:
        self._stored = value


class Look(NamedTuple):
    """A consumer and its stream at one moment."""

    first: int  # sequence of the oldest message in the stream
    last: int  # and of the newest
    delivered: int  # sequence of the last message that the consumer was given
    deliveries: int  # how many it was given, repetitions included
    pending: int  # messages for it that it was not given


class Overtaken:
    """How many messages a stream discarded before a consumer was given them.

    The broker does not say that: it skips to the first message that is left, and the consumer's lag
    falls. So the consumer is compared with its stream from time to time:

    * The number is exact for a consumer of every subject of its stream. A consumer of some subjects
      lost its share: the share of its messages among those it still has to read. After a downtime
      that may be a few too many for rare messages.
    * Two losses are not seen: messages discarded between two looks when the consumer has nothing
      more to read at the second, and messages in flight of a process that was killed.
    """

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
