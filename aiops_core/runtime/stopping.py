"""A stop is heard in every phase; the timeouts of all phases together are under ten seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

# Seconds after the stop that each phase gets, one after the other.
DRAIN = 5.0  # for messages in flight: handled, published or flushed, acknowledged
LAST = 2.0  # for what background loops do last, and to leave the broker's consumer
CLOSE = 1.0  # to close the connection to the broker
WEB = 1.0  # for HTTP requests in hand
END = 9.5  # after which the process leaves, whatever hangs


class Stop(asyncio.Event):
    """Set once. A body under ``limits`` is cancelled when its time is over."""

    def __init__(self) -> None:
        super().__init__()
        self._limits: dict[asyncio.Timeout, float] = {}

    def set(self) -> None:
        if not self.is_set():
            super().set()
            for limit, grace in self._limits.items():
                _expire(limit, grace)

    @contextlib.asynccontextmanager
    async def limits(self, grace: float = 0.0) -> AsyncIterator[asyncio.Timeout]:
        """Run the body until *grace* seconds after the stop; ``expired``: it was cut off."""
        limit = asyncio.timeout(None)
        self._limits[limit] = grace
        try:
            async with limit:
                if self.is_set():
                    _expire(limit, grace)
                yield limit
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            del self._limits[limit]


def _expire(limit: asyncio.Timeout, grace: float) -> None:
    limit.reschedule(asyncio.get_running_loop().time() + grace)


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
