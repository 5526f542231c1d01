"""The measurements of one bench: a steady load and saturation, of the fleet and of the raw relay."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import uvloop

from aiops_cli.ingest.sink import open_sink
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.policy.settings import Settings
from aiops_lab.bench import ledger, relay
from aiops_lab.bench.disk import DiskWatch, watching
from aiops_lab.bench.load import Load, M, Sent, Sink, Traffic, send
from aiops_lab.bench.measure import END_TO_END, Meter, Percentiles, Usage, by_stage
from aiops_lab.evaluation.detection.speed import Speed, speeds
from aiops_lab.fleet.fleet import Fleet
from aiops_lab.fleet.plan import Plan

Say = Callable[[str], None]
SETTLE = 60.0  # seconds that the fleet gets to work off what was accepted
WARM_UP = 2000  # lines before anything is measured: imports, caches, connections, first merges
SATURATION = 20_000  # lines


@dataclass(frozen=True)
class Outcome:
    """One load on the fleet: latencies in ms by stage, what was accepted, and what became of it.

    *calm* is end to end of those that met no stall of the disk; *disk* is one sync of it. *written_after* the last
    of them was accepted, in seconds, all were in the tables of ClickHouse.
    """

    stages: dict[str, Percentiles]
    calm: Percentiles
    disk: Percentiles
    stalls: int
    stalled_seconds: float
    accepted_per_second: float
    handled_per_second: float
    written_after: float
    lines: int
    anomalous: int
    lost: int
    doubled: int
    usage: dict[str, Usage]


@dataclass(frozen=True)
class Limit:
    """The raw relay under the same load."""

    latency: Percentiles
    per_second: float


@dataclass(frozen=True)
class Bench:
    rate: float
    seconds: float
    steady: Outcome
    steady_limit: Limit
    saturated: Outcome
    saturated_limit: Limit
    speeds: tuple[Speed, ...] = ()


@dataclass(frozen=True)
class Parts:
    """What a measurement needs of a running fleet."""

    fleet: Fleet
    settings: Settings
    store: ClickHouse


async def bench(plan: Plan, *, rate: float, seconds: float, share: float, say: Say) -> Bench:
    """Measure the relay and the fleet in turn, each with the machine to itself."""
    count = round(rate * seconds)
    say(f"raw relay, {rate:g} lines/s for {seconds:g} s")
    steady_limit = await _limit(plan, rate, count, share)
    say(f"raw relay, {SATURATION} lines as fast as accepted")
    saturated_limit = await _limit(plan, None, SATURATION, share)
    say("starting the fleet")
    async with running(plan, say) as parts:
        await measure(parts, Load(WARM_UP, rate, share))
        say(f"fleet, {rate:g} lines/s for {seconds:g} s")
        steady = await measure(parts, Load(count, rate, share))
        say(f"fleet, {SATURATION} lines as fast as accepted")
        saturated = await measure(parts, Load(SATURATION, None, share))
    return Bench(rate, seconds, steady, steady_limit, saturated, saturated_limit)


async def _limit(plan: Plan, rate: float | None, count: int, share: float) -> Limit:
    return await limit(plan, relay.HOPS, rate=rate, count=count, share=share)


async def limit(
    plan: Plan, hops: Sequence[str], *, rate: float | None, count: int, share: float
) -> Limit:
    """The raw relay over *hops* on a broker of its own, with the machine to itself."""
    data = plan.data / f"relay-{'steady' if rate else 'saturated'}"
    data.mkdir(parents=True, exist_ok=True)
    latency, per_second = await relay.run(
        data, plan.policies, rate=rate, count=count, share=share, hops=hops
    )
    return Limit(latency, per_second)


@contextlib.asynccontextmanager
async def running(plan: Plan, say: Say = lambda line: None) -> AsyncIterator[Parts]:
    """A fleet that is ready; *say* hears of members that die."""
    settings = settings_of(plan)
    async with Fleet(plan, say=say) as fleet, ClickHouse.open(settings.clickhouse_url) as store:
        await fleet.ready(within=60)
        yield Parts(fleet, settings, store)


def settings_of(plan: Plan) -> Settings:
    """The settings of a client of the fleet of *plan*."""
    return Settings(
        ship_id=plan.ship_id,
        nats_url=plan.nats_url,
        clickhouse_url=plan.clickhouse_url,
        api_url=plan.api_url,
        policies=plan.policies,
        migrations=plan.migrations,
    )


async def measure(parts: Parts, load: Load) -> Outcome:
    """Send lines, wait until they have settled, and account for every anomalous one of them."""
    async with open_sink(parts.settings) as sink:
        return await measured(parts, load, sink)


async def measured(parts: Parts, load: Traffic[M], sink: Sink[M]) -> Outcome:
    """Send *load* through *sink* and measure what the fleet makes of it."""
    meter = Meter(parts.fleet.pids | {"load generator": os.getpid()})
    started = time.monotonic()
    with watching(parts.fleet.plan.data) as disk:
        sent = await send(load, sink)
        accepted = time.monotonic()
        book = await ledger.settled(parts.store, load.ship_id, sent.began, sent.anomalous, SETTLE)
    ended = time.monotonic()
    usage = meter.read(ended - started)
    times = await ledger.stage_times(parts.store, load.ship_id, sent.began)
    return _outcome(sent, book, times, disk, ended - started, ended - accepted, usage)


def _outcome(
    sent: Sent,
    book: ledger.Ledger,
    times: Sequence[Sequence[datetime]],
    disk: DiskWatch,
    seconds: float,
    written_after: float,
    usage: dict[str, Usage],
) -> Outcome:
    return Outcome(
        stages=by_stage(times, ledger.PATH),
        calm=by_stage(disk.calm(times), ledger.PATH)[END_TO_END],
        disk=disk.latency,
        stalls=len(disk.stalls),
        stalled_seconds=sum(stall.seconds for stall in disk.stalls),
        accepted_per_second=sent.lines / sent.seconds,
        handled_per_second=sent.lines / seconds,
        written_after=written_after,
        lines=sent.lines,
        anomalous=len(sent.anomalous),
        lost=len(book.lost(sent.anomalous)),
        doubled=len(book.doubled(sent.anomalous)),
        usage=usage,
    )


def run(plan: Plan, *, rate: float, seconds: float, share: float, say: Say) -> Bench:
    measured = uvloop.run(bench(plan, rate=rate, seconds=seconds, share=share, say=say))
    say("single paths, in this process")
    return replace(measured, speeds=tuple(speeds(plan.policies)))


def scratch(data: Path) -> Path:
    """An empty folder below *data* for one bench, so that every run starts alike."""
    folder = data / time.strftime("%Y%m%dT%H%M%S")
    folder.mkdir(parents=True)
    return folder
