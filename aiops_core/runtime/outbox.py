"""What a service has decided and not published yet. While some is being published the next gathers, and
then goes together: the broker syncs its disk once for many, and handling never waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiops_core.runtime.bus import Delivery, Outgoing

MOST = 2048  # messages and ticks whose effects may wait; then handling waits as well
# Seconds between the starts of two publications of a service at least. Each costs the broker a sync and some wakes of
# everybody, so that twice as many make all of them later. The first after a silence goes at once.
REST = 0.005


@dataclass(frozen=True, eq=False, slots=True)
class Caused:
    """The *effects* of one message; of the passing of time without a *delivery*."""

    effects: Sequence[Outgoing]
    delivery: Delivery | None = None


@dataclass
class Parcel:
    """What the messages caused that were handled since *started*."""

    caused: list[Caused] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)


Send = Callable[[Sequence[Parcel]], Awaitable[None]]


@dataclass
class Outbox:
    """Parcels in their order; *send* publishes some of them and settles their messages. It begins at most every
    *rest* seconds."""

    send: Send
    rest: float = 0.0
    _waiting: list[Parcel] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _sending: bool = False

    async def put(self, parcel: Parcel) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._load < MOST)
            self._waiting.append(parcel)
            self._changed.notify_all()

    async def run(self) -> None:
        """Ends by cancellation, or with what *send* raises."""
        while True:
            parcels = await self._take()
            started = time.monotonic()
            await self.send(parcels)
            async with self._changed:
                self._sending = False
                self._changed.notify_all()
            left = self.rest - (time.monotonic() - started)
            if left > 0:
                await asyncio.sleep(left)

    async def empty(self) -> None:
        """Return when all that was put is settled."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._sending)

    @property
    def _load(self) -> int:
        return sum(len(parcel.caused) for parcel in self._waiting)

    async def _take(self) -> Sequence[Parcel]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting)
            taken, self._waiting = self._waiting, []
            self._sending = True
            self._changed.notify_all()
            return taken
