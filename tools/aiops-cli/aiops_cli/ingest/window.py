"""A bound on what is under way: who wants more waits until something is done."""

from __future__ import annotations

import asyncio
from collections import deque


class Window:
    """Room for *size* units. A single demand larger than that waits for an empty window."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        return self._used

    async def take(self, units: int) -> None:
        """Wait for room, first come, first served."""
        if not self._waiting and self._fits(units):
            self._used += units
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((units, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(units, turn)
            raise

    def give_back(self, units: int) -> None:
        self._used -= units
        self._let_in()

    def _fits(self, units: int) -> bool:
        return self._used == 0 or self._used + units <= self._size

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            units, turn = self._waiting.popleft()
            if not turn.done():
                self._used += units
                turn.set_result(None)

    def _give_up(self, units: int, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():  # let in and cancelled in the same moment
            self.give_back(units)
        else:
            self._let_in()
