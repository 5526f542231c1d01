"""Effects that wait for their publication. While some are being published the next gather, and
then go together: the broker syncs its disk once for many, and handling never waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiops_core.runtime.bus import Delivery, Outgoing

MOST = 2048  # messages and ticks whose effects may wait; then handling waits as well


@dataclass(frozen=True, eq=False, slots=True)
class Handled:
    """The *effects* of one message; of a tick when there is no *delivery*."""

    effects: Sequence[Outgoing]
    delivery: Delivery | None = None


@dataclass
class HandledBatch:
    """Messages that were handled together."""

    handled: list[Handled] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)


Send = Callable[[Sequence[HandledBatch]], Awaitable[None]]


class Outbox:
    """A queue in order; *send* gets everything that waits."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[HandledBatch] = []
        self._changed = asyncio.Condition()
        self._sending = False

    async def put(self, batch: HandledBatch) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._load < MOST)
            self._waiting.append(batch)
            self._changed.notify_all()

    async def run(self) -> None:
        """Ends by cancellation, or with what *send* raises."""
        while True:
            await self._send(await self._take())
            async with self._changed:
                self._sending = False
                self._changed.notify_all()

    async def empty(self) -> None:
        """Return when everything has been sent."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._sending)

    @property
    def _load(self) -> int:
        return sum(len(batch.handled) for batch in self._waiting)

    async def _take(self) -> Sequence[HandledBatch]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting)
            taken, self._waiting = self._waiting, []
            self._sending = True
            self._changed.notify_all()
            return taken
