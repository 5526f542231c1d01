"""How far a consumer group has come, kept apart from its durable consumer: one that was deleted
is made again there.

The process remembers what it settled; the bucket ``positions`` keeps the broker's own figure,
some seconds old, for a consumer that is gone when a process starts. A position holds for one life
of the stream, which its creation time tells: after the stream was deleted, or the disk replaced,
everything in it is new.
"""

from __future__ import annotations

import json

from nats.js.api import StreamInfo

from aiops_core.runtime.unreadable import skip

POSITIONS = "positions"  # the bucket; its keys are STREAM.group
SETTLED_MOST = (
    100_000  # sequences; the older half of more comes again if the consumer is deleted just then
)


class Progress:
    """What one group has settled of one stream: everything up to *floor*, and single messages
    beyond."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._born = ""  # when the stream was made
        self._floor = 0
        self._settled: set[int] = set()  # beyond the floor
        self._noted = b""
        self.life = 0  # counts the streams of this name

    def of(self, stream: StreamInfo) -> None:
        """*stream* is the one that is read; if it is not the former one, nothing of it is
        settled."""
        born = stream.created.isoformat() if stream.created else ""
        if born != self._born or self._floor > stream.state.last_seq:
            self._born, self._floor = born, 0
            self._settled.clear()
            self.life += 1

    def reached(self, floor: int) -> None:
        """The broker says that all up to *floor* is settled."""
        if floor > self._floor:
            self._floor = floor
            self._settled = {sequence for sequence in self._settled if sequence > floor}

    def settle(self, sequence: int) -> None:
        self._settled.add(sequence)
        if len(self._settled) > SETTLED_MOST:
            self._settled = set(sorted(self._settled)[SETTLED_MOST // 2 :])

    def is_settled(self, sequence: int) -> bool:
        return sequence in self._settled

    @property
    def next(self) -> int:
        """The sequence from which a new consumer has to deliver; 1 is the beginning."""
        return self._floor + 1

    def recall(self, note: bytes | None, last: int) -> None:
        """Take up the position that a former process noted, if *note* is about this stream, which
        ends at *last*."""
        if self._floor or not note:
            return
        try:
            found = json.loads(note)
            born, floor = str(found["stream_created"]), int(found["settled"])
        except (ValueError, KeyError, TypeError) as exc:
            skip("nats.positions", self.key, exc)
            return
        if born == self._born and floor <= last:
            self._floor = floor

    @property
    def note(self) -> bytes | None:
        """What the next process has to know, None when it does already."""
        note = json.dumps({"stream_created": self._born, "settled": self._floor}).encode()
        return note if self._floor and note != self._noted else None

    def noted(self, note: bytes) -> None:
        self._noted = note
