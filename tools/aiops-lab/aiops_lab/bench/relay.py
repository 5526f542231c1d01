"""The limit that the fleet is compared with: the same hops, the same broker settings, no work.

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
from pathlib import Path

import uvloop

from aiops_core.adapters.nats import NatsBus
from aiops_core.adapters.nats_publish import PreparedMessage
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.bus import Inbox
from aiops_core.runtime.turns import take_turns
from aiops_lab.bench.measure import Percentiles
from aiops_lab.embedded.programs import nats_server
from aiops_lab.fleet.plan import Plan, Ports, nats_config, nats_config_path, nats_environment
from aiops_lab.fleet.ports import free_ports

HOPS = ("logs.relay", "anomaly.detected", "anomaly.enriched", "incidents.relay")
WARM_UP = 500  # messages
PAYLOAD = 400  # bytes, as a log line has


@contextlib.asynccontextmanager
async def _connected(url: str, policies: Path, name: str) -> AsyncIterator[NatsBus]:
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
    async with _connected(url, policies, target) as bus:
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
def _processes(data: Path, policies: Path, share: float, hops: Sequence[str]) -> Iterator[str]:
    """A broker and the inner hops as processes of their own; yields the broker's URL."""
    nats, monitor = free_ports(2)
    plan = Plan(data, policies, policies, ports=Ports(nats, monitor))
    nats_config_path(plan).write_text(nats_config(plan))
    broker = [nats_server(), "-c", str(nats_config_path(plan))]
    children = [_spawn(broker, nats_environment(os.environ))]
    keeps = (share, 1.0, 1.0)
    for source, target, keep in zip(hops, hops[1:], keeps, strict=False):
        arguments = [plan.nats_url, str(policies), source, target, str(keep)]
        children.append(_spawn([sys.executable, "-m", __name__, *arguments]))
    try:
        yield plan.nats_url
    finally:
        for child in reversed(children):
            child.terminate()
        for child in reversed(children):
            child.wait()


def _spawn(
    argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        argv,
        stdout=quiet,
        stderr=quiet,
        env=environment,
        preexec_fn=take_turns,  # noqa: PLW1509 - a single system call
    )


async def run(
    data: Path,
    policies: Path,
    *,
    rate: float | None,
    count: int,
    share: float,
    hops: Sequence[str] = HOPS,
) -> tuple[Percentiles, float]:
    """Relay *count* messages at *rate* a second (None: as fast as accepted) over *hops*.

    Returns the latencies of what came through, in ms, and the messages accepted per second.
    """
    with _processes(data, policies, share, hops) as url:
        async with (
            _connected(url, policies, "bench") as bus,
            bus.subscribe([HOPS[-1]], group="bench-sink") as inbox,
        ):
            await _warm_up(bus, inbox, share, hops[0])
            sink = asyncio.ensure_future(_collect(inbox, int(count * share)))
            accepted = await _feed(bus, rate, count, hops[0])
            latencies, last = await asyncio.wait_for(sink, 120)
            per_second = count / (last - accepted[0])
            return Percentiles.of(latencies), per_second


async def _warm_up(bus: NatsBus, inbox: Inbox, share: float, subject: str) -> None:
    """The hops have to start and to join before anything is measured."""
    first = asyncio.ensure_future(_collect(inbox, int(WARM_UP * share)))
    await _feed(bus, WARM_UP, WARM_UP, subject)
    await asyncio.wait_for(first, 60)


async def _feed(bus: NatsBus, rate: float | None, count: int, subject: str) -> tuple[float, float]:
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
    return started, time.monotonic()


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
