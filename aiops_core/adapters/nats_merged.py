"""One inbox over several streams: a consumer group has one durable consumer in each.

Deliveries come in the order in which the broker stored them, across the streams too, as Kafka
Streams merges its partitions. While one stream has more that has not arrived, later messages of
another wait for it, a second at most. So a backlog is read as it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing

from aiops_core.adapters.nats_inbox import NatsDelivery, NatsInbox
from aiops_core.runtime.bus import Delivery, Stored

WAIT_FOR_EARLIER = 1.0  # seconds that messages of one stream wait for earlier ones of another


class MergedInbox:
    """Of *inboxes*, one for each stream; they share *arrived*."""

    def __init__(self, inboxes: Sequence[NatsInbox], arrived: asyncio.Event) -> None:
        self._inboxes, self._arrived = inboxes, arrived

    async def take(self, most: int) -> Sequence[Delivery]:
        for inbox in self._inboxes:
            await inbox.request()
        while not any(inbox.first for inbox in self._inboxes):
            await self._arrival()
        try:
            async with asyncio.timeout(WAIT_FOR_EARLIER):
                while not (taken := self._next(most)):
                    await self._arrival()
                return taken
        except TimeoutError:
            for inbox in self._inboxes:
                inbox.more = inbox.more and inbox.first is not None
            return self._next(most)

    async def ack(self, handled: Sequence[Delivery]) -> None:
        for inbox in self._inboxes:
            await inbox.ack([one for one in handled if one.id.startswith(f"{inbox.stream}/")])

    async def lag(self) -> int:
        return sum([await inbox.lag() for inbox in self._inboxes])

    async def _arrival(self) -> None:
        self._arrived.clear()
        for inbox in self._inboxes:
            await inbox.request()
        await self._arrived.wait()

    def _next(self, most: int) -> list[NatsDelivery]:
        """The earliest that have arrived, while no stream has an earlier one to come."""
        taken: list[NatsDelivery] = []
        while len(taken) < most and not any(i.more and not i.first for i in self._inboxes):
            here = [(first.at, inbox) for inbox in self._inboxes if (first := inbox.first)]
            if not here:
                break
            taken.append(min(here, key=lambda one: one[0])[1].pop())
        return taken


async def in_order(histories: Sequence[AsyncGenerator[Stored, None]]) -> AsyncIterator[Stored]:
    """Merge the messages of several streams by the time at which they were stored."""
    async with AsyncExitStack() as stack:
        for history in histories:
            await stack.enter_async_context(aclosing(history))
        heads = {n: one for n, h in enumerate(histories) if (one := await anext(h, None))}
        while heads:
            n = min(heads, key=lambda n: heads[n].at)
            yield heads.pop(n)
            if one := await anext(histories[n], None):
                heads[n] = one
