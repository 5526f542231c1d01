"""The limit that a fleet is compared with: the same hops and broker settings, and no work.

``python -m aiops_lab.bench.relay URL FROM TO KEEP`` is one hop: it takes bytes from one subject
and publishes every ``1/KEEP``-th to the next, as detection passes on only what is anomalous.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from aiops_core.adapters.nats import NatsBus
from aiops_core.adapters.nats_publish import PreparedMessage
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.bus import Inbox
from aiops_lab.bench.measure import LatencySummary
from aiops_lab.fleet.plan import (
    Plan,
    Ports,
    nats_config,
    nats_config_path,
    nats_environment,
    nats_server,
)
from aiops_lab.fleet.ports import free_ports

HOPS = ("logs.relay", "anomaly.detected", "anomaly.enriched", "incidents.relay")
WARM_UP = 500  # messages
PAYLOAD = 400  # bytes, as a log line has


@contextlib.asynccontextmanager
async def open_bus(url: str, policies: Path, name: str = "bench") -> AsyncIterator[NatsBus]:
    """A connected bus."""
    bus = NatsBus(url, RetentionPolicy.load(policies).streams, Readiness(name), name)
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


async def hop(url: str, policies: Path, source: str, target: str, keep: float) -> None:
    """Relay until the process is told to end."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_bus(url, policies, target) as bus:
        group = target.replace(".", "-")
        async with bus.subscribe([source], group=group) as inbox:
            relaying = asyncio.ensure_future(_relay(bus, inbox, target, keep))
            await stop.wait()
            relaying.cancel()


async def _relay(bus: NatsBus, inbox: Inbox, target: str, keep: float) -> None:
    seen = 0
    while True:
        batch = await inbox.take(256)
        kept = []
        for delivery in batch:
            seen += 1
            if int(seen * keep) > int((seen - 1) * keep):
                kept.append(PreparedMessage(target, delivery.data, {}))
        await bus.store(kept)
        await inbox.ack(batch)


@contextlib.contextmanager
def _processes(plan: Plan, hops: Sequence[str], share: float) -> Iterator[None]:
    """The broker of *plan* and the inner *hops* as processes; the first hop keeps *share*."""
    nats_config_path(plan).write_text(nats_config(plan))
    broker = [nats_server(), "-c", str(nats_config_path(plan))]
    children = [_spawn(broker, nats_environment(os.environ))]
    keeps = (share, 1.0, 1.0)
    for source, target, keep in zip(hops, hops[1:], keeps, strict=False):
        arguments = [plan.nats_url, str(plan.policies), source, target, str(keep)]
        children.append(_spawn([sys.executable, "-m", __name__, *arguments], os.environ))
    try:
        yield
    finally:
        for child in reversed(children):
            child.terminate()
        for child in reversed(children):
            child.wait()


def _spawn(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, stdout=quiet, stderr=quiet, env=environment)


@dataclass(frozen=True)
class RelayResult:
    """Latencies of the messages that came through, and the messages accepted per second."""

    latency: LatencySummary
    per_second: float


async def run(
    plan: Plan, hops: Sequence[str], *, rate: float | None, count: int, share: float
) -> RelayResult:
    """Relay *count* messages at *rate* a second (None: as fast as accepted) over *hops*, on a
    broker of its own with the policies of *plan*.
    """
    data = plan.data / f"relay-{'steady' if rate else 'saturated'}"
    data.mkdir(parents=True, exist_ok=True)
    nats, monitor = free_ports(2)
    own = replace(plan, data=data, ports=Ports(nats, monitor))
    with _processes(own, hops, share):
        async with (
            open_bus(own.nats_url, own.policies) as bus,
            bus.subscribe([hops[-1]], group="bench-sink") as inbox,
        ):
            await _warm_up(bus, inbox, share, hops[0])
            collecting = asyncio.ensure_future(_collect(inbox, int(count * share)))
            began = time.monotonic()
            await _feed(bus, rate, count, hops[0])
            latencies, last = await asyncio.wait_for(collecting, 120)
            return RelayResult(LatencySummary.of(latencies), count / (last - began))


async def _warm_up(bus: NatsBus, inbox: Inbox, share: float, subject: str) -> None:
    """The hops have to start and to join before anything is measured."""
    first = asyncio.ensure_future(_collect(inbox, int(WARM_UP * share)))
    await _feed(bus, WARM_UP, WARM_UP, subject)
    await asyncio.wait_for(first, 60)


async def _feed(bus: NatsBus, rate: float | None, count: int, subject: str) -> None:
    started = time.monotonic()
    sent = 0
    padding = os.urandom(PAYLOAD // 2).hex().encode()
    while sent < count:
        due = count if rate is None else min(count, round((time.monotonic() - started) * rate))
        due = min(due, sent + 512)
        if due == sent:
            await asyncio.sleep(0.005)
        line = repr(time.time()).encode() + b" " + padding
        await bus.store([PreparedMessage(subject, line, {})] * (due - sent))
        sent = due


async def _collect(inbox: Inbox, wanted: int) -> tuple[list[float], float]:
    latencies: list[float] = []
    while len(latencies) < wanted:
        batch = await inbox.take(256)
        for delivery in batch:
            sent = float(delivery.data.split(b" ", 1)[0])
            latencies.append((time.time() - sent) * 1000)
        await inbox.ack(batch)
    return latencies, time.monotonic()


if __name__ == "__main__":
    url, policies, source, target, keep = sys.argv[1:]
    uvloop.run(hop(url, Path(policies), source, target, float(keep)))
