"""What a service has decided and not published yet. While some is being published the next gathers, and
then goes together: the broker syncs its disk once for many, and handling never waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiops_core.bus import Delivery, Outgoing

MOST = 2048  # messages whose effects may wait; then handling waits as well


@dataclass(frozen=True)
class Parcel:
    """Messages that were handled since *started* (monotonic seconds), and what they cause."""

    effects: Sequence[Outgoing]
    handled: Sequence[Delivery] = ()
    started: float = 0.0


Send = Callable[[Sequence[Parcel]], Awaitable[None]]


@dataclass
class Outbox:
    """Parcels in their order; *send* publishes some of them and settles their messages."""

    send: Send
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
            await self.send(await self._take())
            async with self._changed:
                self._sending = False
                self._changed.notify_all()

    async def empty(self) -> None:
        """Return when all that was put is settled."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._sending)

    @property
    def _load(self) -> int:
        return sum(len(parcel.handled) for parcel in self._waiting)

    async def _take(self) -> Sequence[Parcel]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting)
            taken, self._waiting = self._waiting, []
            self._sending = True
            self._changed.notify_all()
            return taken
