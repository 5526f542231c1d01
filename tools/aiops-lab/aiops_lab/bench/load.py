"""A steady load of log lines whose anomalous part is known in advance. Pure but for the pacing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from aiops_cli.ingest.pace import Pacer
from aiops_core.models import Level, LogEntry, Message
from aiops_core.runtime.service import utc_now
from aiops_core.utils import generate_tracking_id

IN_FLIGHT = 500  # batches on their way at most; each waits for its rows in the history too
LARGEST_BATCH = 500  # lines
TICK = 0.005  # seconds: lines come one by one, as far as the event loop can

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


M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)
M_contra = TypeVar("M_contra", bound=Message, contravariant=True)


class Sink(Protocol[M_contra]):
    async def send(self, entries: Sequence[M_contra], /) -> None: ...


class Traffic(Protocol[M_co]):
    """*total* messages at *rate* a second (None: as fast as accepted), the wrong ones known."""

    @property
    def total(self) -> int: ...

    @property
    def rate(self) -> float | None: ...

    @property
    def ship_id(self) -> str: ...

    def line(self, n: int, now: datetime) -> M_co:
        """The *n*-th message, made at *now*."""

    def is_wrong(self, n: int) -> bool: ...


@dataclass(frozen=True)
class Load:
    """*total* lines at *rate* a second (None: as fast as accepted), every ``1/share``-th anomalous."""

    total: int
    rate: float | None
    share: float = 0.1
    devices: int = 40
    ship_id: str = "bench"

    def line(self, n: int, now: datetime) -> LogEntry:
        """The *n*-th line, made at *now*."""
        wrong = self.is_wrong(n)
        kind = (WRONG if wrong else RIGHT)[n % len(WRONG if wrong else RIGHT)]
        service, level, text = kind
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

    def is_wrong(self, n: int) -> bool:
        return int((n + 1) * self.share) > int(n * self.share)


@dataclass
class Sent:
    """What was accepted: the tracking ids, and which of them are anomalous."""

    began: datetime
    lines: int = 0
    anomalous: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def send(load: Traffic[M], sink: Sink[M]) -> Sent:
    """Send *load* through *sink*, a few batches at a time in flight; a slow sink slows it down."""
    sent, started = Sent(utc_now()), time.monotonic()
    slots = asyncio.Semaphore(IN_FLIGHT)
    pacer = Pacer(load.rate, tick=TICK) if load.rate else None
    async with asyncio.TaskGroup() as tasks:
        while sent.lines < load.total:
            due = await pacer.allowance() if pacer else LARGEST_BATCH
            await slots.acquire()  # a line is ingested when it is accepted, not while it queues
            batch = _next(load, sent, min(due, LARGEST_BATCH, load.total - sent.lines))
            tasks.create_task(sink.send(batch)).add_done_callback(lambda _: slots.release())
    sent.seconds = time.monotonic() - started
    return sent


def _next(load: Traffic[M], sent: Sent, size: int) -> list[M]:
    first, now = sent.lines, utc_now()
    batch = [load.line(n, now) for n in range(first, first + size)]
    sent.anomalous += [e.tracking_id for n, e in enumerate(batch, first) if load.is_wrong(n)]
    sent.lines += size
    return batch
