"""Messages at a steady rate, the anomalous ones known in advance."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from aiops_cli.ingest.flow import RateLimiter
from aiops_core.models import Level, LogEntry, Message
from aiops_core.runtime.service import utc_now
from aiops_core.utils import generate_tracking_id

IN_FLIGHT = 500  # batches on their way at most; each waits for its rows in the history too
LARGEST_BATCH = 500  # messages
TICK = 0.005  # seconds between two batches

# Lines that detection finds by its patterns or by their level, and lines that it does not.
WRONG = (
    ("kernel", Level.ERROR, "blk_update_request: I/O error, dev sdb, sector {n}"),
    ("postgres", Level.ERROR, "ERROR: could not write block {n}: No space left on device"),
    ("app", Level.ERROR, "request {n} failed: upstream connection refused"),
    ("snmpd", Level.CRITICAL, "fan tray {n} failed, shutting down module"),
)
RIGHT = (
    ("nginx", Level.INFO, "10.0.3.{n} GET /menu 200 {n} bytes"),
    ("app", Level.INFO, "session {n} opened for crew member"),
    ("dhcpd", Level.INFO, "DHCPACK on 10.0.4.{n} to cabin-{n}"),
)


class LoadSink(Protocol):
    """Takes messages; ``send`` returns when they are stored."""

    async def send(self, entries: Sequence[Any], /) -> None: ...


@dataclass(frozen=True)
class MessageLoad(ABC):
    """*total* messages at *rate* a second (None: as fast as accepted)."""

    total: int
    rate: float | None
    ship_id: str = field(default="bench", kw_only=True)

    @abstractmethod
    def message(self, n: int, now: datetime) -> Message:
        """The *n*-th message, made at *now*."""

    def is_anomalous(self, n: int) -> bool:
        return True


@dataclass(frozen=True)
class Load(MessageLoad):
    """Log lines, every ``1/share``-th of them anomalous."""

    share: float = 0.1
    devices: int = 40

    def message(self, n: int, now: datetime) -> LogEntry:
        """The *n*-th line, made at *now*."""
        kinds = WRONG if self.is_anomalous(n) else RIGHT
        service, level, text = kinds[n % len(kinds)]
        return LogEntry(
            tracking_id=generate_tracking_id(),
            ship_id=self.ship_id,
            ts=now,
            stages={"ingest": now},
            host=f"load-{n * 7919 % self.devices:02}",
            service=service,
            level=level,
            msg=text.format(n=n % 250),
            source="bench",
        )

    def is_anomalous(self, n: int) -> bool:
        return int((n + 1) * self.share) > int(n * self.share)


@dataclass
class SentLoad:
    """What was accepted since *began*: the messages, and the tracking ids of the anomalous ones."""

    began: datetime
    lines: int = 0
    anomalous: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def send(load: MessageLoad, sink: LoadSink) -> SentLoad:
    """Send *load* through *sink*, some batches at a time in flight; a slow sink slows it down."""
    sent, started = SentLoad(utc_now()), time.monotonic()
    slots = asyncio.Semaphore(IN_FLIGHT)
    limiter = RateLimiter(load.rate, tick=TICK) if load.rate else None
    async with asyncio.TaskGroup() as tasks:
        while sent.lines < load.total:
            due = await limiter.allowance() if limiter else LARGEST_BATCH
            await slots.acquire()  # a line is ingested when it is accepted, not while it queues
            batch = _next(load, sent, min(due, LARGEST_BATCH, load.total - sent.lines))
            tasks.create_task(sink.send(batch)).add_done_callback(lambda _: slots.release())
    sent.seconds = time.monotonic() - started
    return sent


def _next(load: MessageLoad, sent: SentLoad, size: int) -> list[Any]:
    first, now = sent.lines, utc_now()
    batch: list[Any] = [load.message(n, now) for n in range(first, first + size)]
    sent.anomalous += [e.tracking_id for n, e in enumerate(batch, first) if load.is_anomalous(n)]
    sent.lines += size
    return batch
