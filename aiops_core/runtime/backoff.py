"""How long to wait before the next try: longer after each failure, and never everybody at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aiops_core.errors import Unavailable
from aiops_core.utils import core_logger

T = TypeVar("T")
log = core_logger("backoff")

JITTER = 0.2  # share of a delay that chance takes away
LOG_EVERY = 60.0  # seconds between two log lines about a failure that goes on


@dataclass(frozen=True)
class Backoff:
    """Delays of *first* seconds, then *factor* times as long each, at most *most*."""

    first: float
    most: float
    factor: float = 2.0

    def after(self, failures: int) -> float:
        """Seconds to wait after *failures* (from 1) in a row."""
        delay = self.first
        for _ in range(failures - 1):
            if delay >= self.most:
                break
            delay *= self.factor
        return min(delay, self.most) * random.uniform(1 - JITTER, 1)


AWAY = Backoff(first=0.2, most=5.0)  # while a dependency that everything waits for is away


class Reminder:
    """Whether a failure that goes on is to be logged: at once, then once a minute."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + LOG_EVERY
        return True


async def until_available(
    work: Callable[..., Awaitable[T]], *args: object, backoff: Backoff = AWAY
) -> T:
    """What *work* returns; it is tried again for as long as it raises Unavailable."""
    failures, reminder = 0, Reminder()
    while True:
        try:
            return await work(*args)
        except Unavailable as exc:
            failures += 1
            if reminder.due():
                log.warning("waiting", reason=str(exc), tries=failures)
            await asyncio.sleep(backoff.after(failures))
