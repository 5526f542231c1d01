"""How many lines may go now, so that a replay is a steady stream and not bursts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

TICK = 0.02  # seconds; shorter gives the event loop no rest, longer shows in the latencies
BACKLOG = 0.1  # seconds of delay that are made up for; what was late beyond that stays late


class Pacer:
    """Lets *rate* lines a second go, in ticks."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tick: float = TICK,
    ) -> None:
        self._rate, self._clock, self._sleep, self._tick = rate, clock, sleep, tick
        self._start = clock()
        self._given = 0

    async def allowance(self) -> int:
        """Wait for the next tick in which at least one line is due; return how many are."""
        await self._sleep(self._tick)
        while (due := self._due()) < 1:
            await self._sleep(
                max(self._tick, (self._given + 1) / self._rate + self._start - self._clock())
            )
        self._given += due
        return due

    def _due(self) -> int:
        elapsed = self._clock() - self._start
        behind = elapsed - self._given / self._rate
        most = max(BACKLOG, 1 / self._rate)
        if behind > most:
            self._start += behind - most
            elapsed = self._clock() - self._start
        return int(elapsed * self._rate + 1e-9) - self._given
