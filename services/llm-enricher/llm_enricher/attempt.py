"""A try that may fail or take too long, without any harm to whoever asked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiops_core.errors import AiopsError
from aiops_core.utils import core_logger

T = TypeVar("T")
log = core_logger("attempt")

TOO_LATE = "did not answer in time"


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """The *value*, or the *problem* instead of it."""

    value: T | None = None
    problem: str = ""


async def attempt(work: Coroutine[Any, Any, T], within: float, what: str) -> Attempt[T]:
    """What became of *work* after *within* seconds at most; what is late is cancelled, and waited
    for no more. A mistake of the code is logged as the error that it is."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=within)
    finally:
        late = not task.done()
        if late:
            task.cancel()
            task.add_done_callback(_seen)
    if late or task.cancelled():
        return Attempt(problem=TOO_LATE)
    if exc := task.exception():
        if not isinstance(exc, AiopsError):
            log.error("failed", what=what, exc_info=exc)
        return Attempt(problem=str(exc))
    return Attempt(task.result())


def _seen(task: asyncio.Future[Any]) -> None:
    """Nobody asks any more how it ended."""
    if not task.cancelled():
        task.exception()
