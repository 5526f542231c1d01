"""The way into a running fleet: the ship's devices, and messages without waiting for each batch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

from aiops_cli.api import Api
from aiops_cli.ingest.flow import InFlightLimit
from aiops_cli.ingest.sink import MessageSink
from aiops_core.errors import AiopsError, Unavailable, first_of
from aiops_core.models import Device, LogEntry, MetricSample
from aiops_lab.simulator.voyage import Emit

UNDER_WAY = 4000  # messages; beyond that the sender waits
TRIES = 50
PAUSE = 0.2  # seconds


async def load_inventory(api_url: str, devices: Sequence[Device]) -> None:
    """Import *devices* through the API, which may be some moments away from being ready."""
    body = [device.model_dump(mode="json") for device in devices]

    def post() -> None:
        with Api.open(api_url) as calls:
            calls.post("/devices/import", devices=body)

    for attempt in range(TRIES):
        try:
            return await asyncio.to_thread(post)
        except Unavailable:
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(PAUSE)


@contextlib.asynccontextmanager
async def flowing(opening: AbstractAsyncContextManager[MessageSink]) -> AsyncIterator[Emit]:
    """Send through the sink of *opening*; leaving waits until all that was sent is stored.

    A call returns as soon as there is room, because the sink answers when a batch is on disk, which
    takes longer than the next 50 ms of a ship's day. The order of the batches stays.
    """
    in_flight = InFlightLimit(UNDER_WAY)
    try:
        async with opening as sink, asyncio.TaskGroup() as tasks:

            async def deliver(entries: Sequence[LogEntry | MetricSample]) -> None:
                try:
                    await sink.send(entries)
                finally:
                    in_flight.release(len(entries))

            async def emit(entries: Sequence[LogEntry | MetricSample]) -> None:
                await in_flight.acquire(len(entries))
                tasks.create_task(deliver(entries))

            yield emit
    except* AiopsError as failed:
        problem = first_of(failed)
    else:
        return
    raise problem
