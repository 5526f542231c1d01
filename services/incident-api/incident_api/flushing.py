"""When rows that wait go to the store. Each writer of this process has its moment in every second: at the same
one they would keep everybody else on the machine waiting."""

from __future__ import annotations

import asyncio

EVERY = 1.0  # seconds
GROWTH, HISTORY = 0.0, 0.5  # moments of the writers in it


async def moment_of(writer: float) -> None:
    """Return when the event loop's clock is *writer* seconds past a multiple of ``EVERY``."""
    await asyncio.sleep(EVERY - (asyncio.get_running_loop().time() - writer) % EVERY)
