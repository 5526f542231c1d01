"""A service without a broker: ``python -m aiops_lab.evaluation.offline PACKAGE``.

Messages come as JSON lines on standard input, and effects leave on standard output. Evaluations
pipe services together: recipe, handlers and runtime are those of production, the bus is in memory,
and the clock is that of the messages. Three kinds of lines::

    {"begin": [devices]}                    a new ship: everything is forgotten
    {"subject": "...", "data": {...}}       a message; other services' messages pass through
    {"end": true}                           everything has been handled

``begin`` and ``end`` pass through as well, for the next service in the pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, TextIO

from aiops_core.inventory import inventory
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import Device, Message
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Inbox
from aiops_core.runtime.launch import Context, Recipe
from aiops_core.runtime.runtime import Runtime
from aiops_core.utils import StructuredLogger
from aiops_lab.memory_bus import MemoryBus

TOGETHER = 256  # messages between two looks at the clock
TICK = 0.02  # s of real time between two ticks
NOWHERE = "clickhouse://nobody@127.0.0.1:1/"


def offline(recipe: Recipe) -> None:
    """Serve standard input until it ends."""
    StructuredLogger.configure("error")
    asyncio.run(_serve(recipe, sys.stdin, sys.stdout))


async def _serve(recipe: Recipe, lines: TextIO, out: TextIO) -> None:
    for line in lines:
        ship = json.loads(line)
        if "begin" not in ship:
            raise ValueError("a run must begin before its messages")
        out.write(line)
        async with _running(recipe, ship["begin"]) as run:
            for chunk in _chunks(lines):
                out.writelines(await run.handle(chunk))
        out.write('{"end": true}\n')
        out.flush()


def _chunks(lines: TextIO) -> Iterator[Sequence[dict[str, Any]]]:
    """The messages up to the end of the run."""
    chunk: list[dict[str, Any]] = []
    for line in lines:
        message = json.loads(line)
        if "end" in message:
            break
        chunk.append(message)
        if len(chunk) == TOGETHER:
            yield chunk
            chunk = []
    yield chunk


@dataclass
class OfflineRun:
    """One service on a bus of its own, as far as one run goes."""

    bus: MemoryBus
    subjects: frozenset[str]
    inbox: Inbox
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    reported: int = field(default=0)

    async def handle(self, chunk: Sequence[dict[str, Any]]) -> list[str]:
        """The effects of *chunk*, and its messages that pass through, as lines."""
        passing = [m for m in chunk if m["subject"] not in self.subjects]
        for message in chunk:
            self.now = max(self.now, datetime.fromisoformat(message["data"]["ts"]))
            if message["subject"] in self.subjects:
                self.bus.put(message["subject"], json.dumps(message["data"]).encode())
        while await self.inbox.lag():  # noqa: ASYNC110 - the bus in memory has no event for it
            await asyncio.sleep(0)
        await asyncio.sleep(TICK)
        caused = self.bus.published[self.reported :]
        self.reported = len(self.bus.published)
        return [*map(as_line, caused), *(f"{json.dumps(message)}\n" for message in passing)]


def as_line(message: Message) -> str:
    return f'{{"subject": "{message.subject}", "data": {message.model_dump_json()}}}\n'


@contextlib.asynccontextmanager
async def _running(recipe: Recipe, devices: Sequence[dict[str, Any]]) -> AsyncIterator[OfflineRun]:
    bus = MemoryBus()
    known = Inventory([Device.model_validate(device) for device in devices])
    await bus.bucket(inventory.BUCKET).put(inventory.KEY, known.to_json())
    away = {"clickhouse_url": NOWHERE, "victoriametrics_url": ""}
    context = Context(Settings.read().model_copy(update=away), bus, Readiness("offline"))
    async with recipe(context) as service:
        subjects = tuple(service.by_subject)
        async with bus.subscribe(subjects, group=service.durable_name) as inbox:
            run = OfflineRun(bus, frozenset(subjects), inbox)
            bus.clock = lambda: run.now  # a message arrives when it is its turn
            tuning = replace(service.tuning, linger=0.0)
            quick = replace(service, tick_every=TICK, tuning=tuning)
            runtime = Runtime(quick, bus, context.readiness, clock=lambda: run.now)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(runtime.run())
                try:
                    yield run
                finally:
                    runtime.stop.set()


if __name__ == "__main__":
    offline(import_module(f"{sys.argv[1]}.__main__").recipe)
