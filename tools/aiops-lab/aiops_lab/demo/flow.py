"""Send without waiting for each batch: what is under way is bounded, what fails is raised.

The sink answers when a batch is on disk, which takes longer than the next 50 ms of a ship's day.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

from aiops_cli.ingest.flow import InFlightLimit
from aiops_cli.ingest.sink import MessageSink
from aiops_core.errors import AiopsError, first_of
from aiops_core.models import LogEntry, MetricSample

UNDER_WAY = 4000  # messages; beyond that the sender waits


class Flow:
    """A sink whose ``send`` returns as soon as there is room; the order of the batches stays."""

    def __init__(self, sink: MessageSink, tasks: asyncio.TaskGroup) -> None:
        self._sink, self._tasks = sink, tasks
        self._in_flight = InFlightLimit(UNDER_WAY)

    async def send(
        self, entries: Sequence[LogEntry | MetricSample], raw: Sequence[str] | None = None
    ) -> None:
        await self._in_flight.acquire(len(entries))
        self._tasks.create_task(self._send(entries, raw))

    async def _send(
        self, entries: Sequence[LogEntry | MetricSample], raw: Sequence[str] | None
    ) -> None:
        try:
            await self._sink.send(entries, raw)
        finally:
            self._in_flight.release(len(entries))


@contextlib.asynccontextmanager
async def flowing(opening: AbstractAsyncContextManager[MessageSink]) -> AsyncIterator[Flow]:
    """The sink of *opening* as a Flow; leaving waits until all that was sent is stored."""
    try:
        async with opening as sink, asyncio.TaskGroup() as tasks:
            yield Flow(sink, tasks)
    except* AiopsError as failed:
        problem = first_of(failed)
    else:
        return
    raise problem
