"""Messages at a steady rate: log lines of which some are anomalous, or anomalies as detection
would publish them. Which are anomalous is known in advance.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiops_cli.ingest.flow import RateLimiter, running
from aiops_cli.ingest.sink import publishing
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyDetected, Device, Domain, Level, LogEntry, Message, Severity
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.service import utc_now
from aiops_core.utils import generate_tracking_id
from aiops_lab.bench.relay import open_bus

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
PRI = {Level.INFO: 30, Level.ERROR: 27, Level.CRITICAL: 26}  # of facility daemon

SWITCHES = 4
MAD = "mad-00"  # the device of a storm
OTHERS = 5
EVERY = 100  # one anomaly of so many is of another device
# Type, domain, service, score, severity, and the message, in which {n} varies.
KINDS: tuple[tuple[str, Domain, str, float, Severity, str], ...] = (
    ("link_down", Domain.NET, "switchd", 0.8, Severity.HIGH, "port {n} changed state to down"),
    ("service_error", Domain.APP, "app", 0.5, Severity.MEDIUM, "request {n} failed: timeout"),
    (
        "storage_error",
        Domain.SYSTEM,
        "kernel",
        0.7,
        Severity.HIGH,
        "I/O error, dev sdb, sector {n}",
    ),
    ("disk_full", Domain.SYSTEM, "postgres", 0.8, Severity.HIGH, "block {n}: no space left"),
    ("dns_failure", Domain.NET, "resolver", 0.5, Severity.MEDIUM, "query {n} timed out"),
    ("temperature", Domain.SYSTEM, "sensors", 0.6, Severity.MEDIUM, "inlet at {n} degrees"),
    ("log_error", Domain.APP, "menu", 0.4, Severity.LOW, "unexpected answer {n}"),
    ("database_overload", Domain.APP, "postgres", 0.6, Severity.MEDIUM, "{n} clients waiting"),
    ("link_degraded", Domain.COMMS, "modemd", 0.6, Severity.MEDIUM, "signal is down to {n} dB"),
)


@dataclass(frozen=True)
class Load:
    """*total* log lines at *rate* a second (None: as fast as accepted); a *share* is anomalous.

    They are as Vector sends lines of syslog: with the line itself, which detection reads.
    """

    total: int
    rate: float | None
    share: float = 0.1
    devices: int = 40
    ship_id: str = field(default="bench", kw_only=True)

    def message(self, n: int, now: datetime) -> Message:
        """The *n*-th line, made at *now*."""
        kinds = WRONG if self.is_anomalous(n) else RIGHT
        service, level, text = kinds[n % len(kinds)]
        host, msg = f"load-{n * 7919 % self.devices:02}", text.format(n=n % 250)
        return LogEntry(
            tracking_id=generate_tracking_id(),
            ship_id=self.ship_id,
            ts=now,
            stages={"ingest": now},
            host=host,
            service=service,
            level=level,
            msg=msg,
            source="bench",
            labels={"sender": host},
            raw=f"<{PRI[level]}>{now:%b %e %H:%M:%S} {host} {service}[{n % 30_000}]: {msg}",
        )

    def is_anomalous(self, n: int) -> bool:
        return int((n + 1) * self.share) > int(n * self.share)


@dataclass(frozen=True)
class AnomalyLoad(Load):
    """The common kinds of trouble, each again and again, on the *devices* of one ``graph``."""

    share: float = 1.0
    devices: int = 44

    def message(self, n: int, now: datetime) -> AnomalyDetected:
        """The *n*-th anomaly, found at *now*."""
        return self.on(device_id(n * 7919 % self.devices), n, now)

    def on(self, device: str, n: int, now: datetime) -> AnomalyDetected:
        """An anomaly on *device*; every *n* below ``len(KINDS)`` is of another type."""
        kind, domain, service, score, severity, text = KINDS[n % len(KINDS)]
        return AnomalyDetected(
            tracking_id=generate_tracking_id(),
            ship_id=self.ship_id,
            ts=now,
            stages={"ingest": now},
            domain=domain,
            anomaly_type=kind,
            service=service,
            device_id=device,
            host=device,
            detector="bench",
            score=score,
            severity=severity,
            msg=text.format(n=n % 250),
            reason=f"{service} says so",
        )


@dataclass(frozen=True)
class StormLoad(AnomalyLoad):
    """One device goes mad with a single type, while ``OTHERS`` others have one fault each, of
    other types: what begins alike at once on devices that nobody knows is one fault."""

    def message(self, n: int, now: datetime) -> AnomalyDetected:
        """The *n*-th anomaly; one of ``EVERY`` is of another device."""
        if n % EVERY:
            return self.on(MAD, 0, now)
        other = n // EVERY % OTHERS
        return self.on(f"other-{other}", other + 1, now)


def device_id(n: int) -> str:
    return "bench-core" if n == 0 else f"bench-sw-{n}" if n <= SWITCHES else f"bench-host-{n:03}"


def graph(devices: int) -> Inventory:
    """A tree: the core, its switches, and the hosts behind them in turn."""
    ids = [device_id(n) for n in range(devices)]
    above = {
        ids[n]: (ids[0] if n <= SWITCHES else ids[1 + n % SWITCHES]) for n in range(1, devices)
    }
    return Inventory([Device(id=i, upstream=(above[i],) if i in above else ()) for i in ids])


Publish = Callable[
    [Sequence[Any]], Coroutine[Any, Any, None]
]  # returns when the messages are stored


@contextlib.asynccontextmanager
async def open_sink(settings: Settings) -> AsyncIterator[Publish]:
    """Publishes anomalies durably and in order, what comes together in one go."""
    async with open_bus(settings.nats_url, settings.policies) as bus:
        messages = publishing(lambda batch: bus.publish([_detected(one) for one in batch]))

        async def publish(anomalies: Sequence[AnomalyDetected]) -> None:
            await messages.add([Outgoing(a, f"bench/{a.anomaly_id}") for a in anomalies])

        async with running([messages.run()]):
            yield publish


def _detected(outgoing: Outgoing) -> Outgoing:
    """Stamped as the runtime stamps what a service publishes."""
    return Outgoing(outgoing.message.stamped("detect", utc_now()), outgoing.id)


@dataclass
class SentLoad:
    """What was accepted since *began*: the messages, and the tracking ids of the anomalous ones."""

    began: datetime
    lines: int = 0
    anomalous: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def send(load: Load, publish: Publish) -> SentLoad:
    """Send *load*, some batches at a time in flight; a slow *publish* slows it down."""
    sent, started = SentLoad(utc_now()), time.monotonic()
    slots = asyncio.Semaphore(IN_FLIGHT)
    limiter = RateLimiter(load.rate, tick=TICK) if load.rate else None
    async with asyncio.TaskGroup() as tasks:
        while sent.lines < load.total:
            due = await limiter.allowance() if limiter else LARGEST_BATCH
            await slots.acquire()  # a line is ingested when it is accepted, not while it queues
            batch = _next(load, sent, min(due, LARGEST_BATCH, load.total - sent.lines))
            tasks.create_task(publish(batch)).add_done_callback(lambda _: slots.release())
    sent.seconds = time.monotonic() - started
    return sent


def _next(load: Load, sent: SentLoad, size: int) -> list[Any]:
    first, now = sent.lines, utc_now()
    batch: list[Any] = [load.message(n, now) for n in range(first, first + size)]
    sent.anomalous += [e.tracking_id for n, e in enumerate(batch, first) if load.is_anomalous(n)]
    sent.lines += size
    return batch
