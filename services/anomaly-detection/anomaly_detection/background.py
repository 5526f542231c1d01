"""The shape of all background loops of this service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


async def periodically(
    seconds: float, work: Callable[[], Awaitable[None]], last_within: float
) -> None:
    """Do *work* every *seconds*, and when cancelled once more for *last_within* at most."""
    try:
        while True:
            await asyncio.sleep(seconds)
            await work()
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(last_within):
                await work()
        raise
