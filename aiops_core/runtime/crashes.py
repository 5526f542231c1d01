"""Finds the message that ends the process itself: by a segfault of a library, or out of memory.

A count in memory does not outlive that, and the broker's count of deliveries is as high for the
innocent messages in flight. So a message that was delivered suspiciously often is noted in a bucket
while it is handled. A message with notes of several earlier lives is the cause of their end.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from pydantic import TypeAdapter

from aiops_core.errors import Reject, Unavailable
from aiops_core.runtime.bus import Bucket, Delivery
from aiops_core.runtime.unreadable import skip

BUCKET = "in-hand"
VALUE = TypeAdapter(dict[str, int])  # of one consumer: lives by message
SUSPICIOUS = 5  # deliveries; with more, handling a message is noted, which costs two writes
DEADLY = 3  # lives of the process that ended while it handled the message
NOTES = 100  # of one consumer; the oldest is dropped


class Crashes:
    """The notes of one consumer group: how many lives of the process ended with each message."""

    def __init__(self, bucket: Bucket, group: str) -> None:
        self._bucket, self._group = bucket, group
        self._earlier: dict[str, int] | None = None  # lives, as this one found them
        self._in_hand: set[str] = set()

    @staticmethod
    def suspects(delivery: Delivery) -> bool:
        """Whether *delivery* came so often that handling it is to be noted."""
        return delivery.attempt > SUSPICIOUS

    @contextlib.asynccontextmanager
    async def noted(self, delivery: Delivery) -> AsyncIterator[None]:
        """Handle *delivery* in the body. Raises Reject when that has ended too many lives."""
        await self._begin(delivery.id)
        try:
            yield
        except Exception:
            await self._end(delivery.id)
            raise
        await self._end(delivery.id)

    async def _begin(self, message: str) -> None:
        earlier = await self._lives()
        if (lives := earlier.get(message, 0)) >= DEADLY:
            await self._end(message)
            raise Reject(
                f"the process ended {lives} times while it handled this message", "abandoned"
            )
        self._in_hand.add(message)
        try:
            await self._write()
        except Unavailable:
            self._in_hand.discard(message)
            raise

    async def _end(self, message: str) -> None:
        (await self._lives()).pop(message, None)
        self._in_hand.discard(message)
        with contextlib.suppress(Unavailable):  # the next note says it as well
            await self._write()

    async def _lives(self) -> dict[str, int]:
        if self._earlier is None:
            self._earlier = _read(await self._bucket.get(self._group), self._group)
        return self._earlier

    async def _write(self) -> None:
        earlier = await self._lives()
        now = {message: earlier.get(message, 0) + 1 for message in self._in_hand}
        newest = list((earlier | now).items())[-NOTES:]
        await self._bucket.put(self._group, VALUE.dump_json(dict(newest)))


def _read(data: bytes | None, group: str) -> dict[str, int]:
    try:
        return {} if data is None else VALUE.validate_json(data)
    except ValueError as exc:  # ValidationError is one
        skip("runtime.crashes", group, exc)
        return {}
