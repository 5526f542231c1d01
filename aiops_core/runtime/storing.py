"""The sink of services that write into a store: what was handled is flushed, then acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from aiops_core.runtime.acks import Acks
from aiops_core.runtime.backoff import until_available
from aiops_core.runtime.bus import Bus, Delivery
from aiops_core.runtime.received import HandledBatch, MessageKey

Flush = Callable[[], Awaitable[Mapping[MessageKey, str]]]


@dataclass
class Storing:
    """*flush* returns when everything that was handled before the call is durable, but for the
    messages that can never be stored: these it returns with the reason, and they are buried.

    It is called each *every* seconds, *phase* seconds after the full interval, never twice at a
    time. Messages go on being handled meanwhile.
    """

    flush: Flush
    every: float = 1.0
    phase: float = 0.0

    def bind(self, acks: Acks, bus: Bus, clock: Callable[[], datetime]) -> None:
        self._acks = acks
        self._handled: list[Delivery] = []
        self._reasons: dict[MessageKey, str] = {}  # also of messages whose batch is still in hand
        self._flushing = asyncio.Lock()
        self.refused = False

    async def put(self, batch: HandledBatch) -> None:
        for one in batch.handled:
            if one.effects:
                raise ValueError(f"{self._acks.service} stores: its handlers return no messages")
            if one.delivery:
                self._handled.append(one.delivery)
        self._acks.observe(batch)

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self.every - (clock() - self.phase) % self.every)
            await self.drain()

    async def drain(self) -> None:
        """Return when everything that was put is durable and acknowledged."""
        async with self._flushing:
            handled, self._handled = self._handled, []
            self._reasons |= await until_available(self.flush)
            refused = [one for one in handled if _key(one) in self._reasons]
            await self._acks.ack([one for one in handled if one not in refused])
            for delivery in refused:
                self.refused = True
                await self._acks.bury(delivery, "refused", self._reasons[_key(delivery)])
            for delivery in refused:
                self._reasons.pop(_key(delivery), None)


def _key(delivery: Delivery) -> MessageKey:
    return delivery.subject, delivery.sequence
