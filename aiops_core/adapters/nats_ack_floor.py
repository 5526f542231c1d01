"""The ack floor of a consumer group, remembered apart from its durable consumer.

A consumer that somebody deleted is made again at this floor. The process remembers what it
acknowledged. The bucket ``ack_floors`` has the broker's own figure, some seconds old, for a
consumer that is gone when a process starts. A floor is valid for one stream, identified by its
creation time: after the stream was deleted, or the disk replaced, everything in it is new.
"""

from __future__ import annotations

import json

from nats.js.api import StreamInfo

from aiops_core.runtime.unreadable import skip

ACK_FLOORS = "ack_floors"  # its keys are STREAM.group
# Acknowledged sequences above the floor that are remembered. The older half of more is delivered
# again if the consumer is deleted just then.
MOST_ACKED = 100_000


class AckFloor:
    """One group in one stream."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.generation = 0  # counts the streams of this name
        self._stream_created = ""
        self._floor = 0
        self._acked: set[int] = set()  # above the floor
        self._stored = b""

    def in_stream(self, stream: StreamInfo) -> None:
        """Start at 0 if *stream* is not the former one."""
        created = stream.created.isoformat() if stream.created else ""
        if created != self._stream_created or self._floor > stream.state.last_seq:
            self._stream_created, self._floor = created, 0
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
        """Take over *value* of the bucket if it is about this stream, which ends at *last*."""
        if self._floor or not value:
            return
        try:
            found = json.loads(value)
            created, floor = str(found["stream_created"]), int(found["ack_floor"])
        except (ValueError, KeyError, TypeError) as exc:
            skip("nats.ack_floors", self.key, exc)
            return
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
