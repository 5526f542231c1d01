"""When rows that wait go to the store: writers of one process take turns, as a second of work at once would hold
up everybody else on the machine."""

from __future__ import annotations

import asyncio


async def next_turn(every: float, offset: float = 0.0) -> None:
    """Sleep until the event loop's clock is *offset* past a multiple of *every*, in seconds."""
    await asyncio.sleep(every - (asyncio.get_running_loop().time() - offset) % every)
