"""Loads of anomalies, published as detection would."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_cli.ingest.flow import Batcher
from aiops_cli.ingest.sink import publishing
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyDetected, Device, Domain, Severity
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.service import utc_now
from aiops_core.utils import generate_tracking_id
from aiops_lab.bench.load import MessageLoad
from aiops_lab.bench.relay import open_bus

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
class AnomalyLoad(MessageLoad):
    """The common kinds of trouble, each again and again, on the *devices* of one ``graph``."""

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
    """One device goes mad with a single type, while ``OTHERS`` others have one fault each."""

    def message(self, n: int, now: datetime) -> AnomalyDetected:
        """The *n*-th anomaly; one of ``EVERY`` is of another device."""
        if n % EVERY:
            return self.on(MAD, 0, now)
        other = n // EVERY % OTHERS
        return self.on(f"other-{other}", other, now)


def device_id(n: int) -> str:
    return "bench-core" if n == 0 else f"bench-sw-{n}" if n <= SWITCHES else f"bench-host-{n:03}"


def graph(devices: int) -> Inventory:
    """A tree: the core, its switches, and the hosts behind them in turn."""
    ids = [device_id(n) for n in range(devices)]
    above = {
        ids[n]: (ids[0] if n <= SWITCHES else ids[1 + n % SWITCHES]) for n in range(1, devices)
    }
    return Inventory([Device(id=i, upstream=(above[i],) if i in above else ()) for i in ids])


class AnomalySink:
    """Publishes anomalies durably and in order, what comes together in one go."""

    def __init__(self, messages: Batcher[Outgoing]) -> None:
        self._messages = messages

    async def send(self, anomalies: Sequence[AnomalyDetected], /) -> None:
        await self._messages.add([Outgoing(a, f"bench/{a.anomaly_id}") for a in anomalies])


@contextlib.asynccontextmanager
async def open_sink(settings: Settings) -> AsyncIterator[AnomalySink]:
    async with open_bus(settings.nats_url, settings.policies) as bus:
        messages = publishing(lambda batch: bus.publish([_detected(one) for one in batch]))
        task = asyncio.create_task(messages.run())
        try:
            yield AnomalySink(messages)
        finally:
            task.cancel()


def _detected(outgoing: Outgoing) -> Outgoing:
    """Stamped as the runtime stamps what a service publishes."""
    return Outgoing(outgoing.message.stamped("detect", utc_now()), outgoing.id)
