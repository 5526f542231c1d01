"""The measurements: lines through the whole fleet, anomalies from enrichment on, and a storm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

import httpx

from aiops_cli.ingest.sink import open_sink as open_line_sink
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Unavailable
from aiops_core.policy.settings import Settings
from aiops_core.runtime.service import utc_now
from aiops_lab.bench import ledger, relay
from aiops_lab.bench.load import (
    EVERY,
    MAD,
    OTHERS,
    AnomalyLoad,
    Load,
    Publish,
    StormLoad,
    graph,
    open_sink,
    send,
)
from aiops_lab.bench.measure import LatencySummary, Meter, Usage, by_stage
from aiops_lab.bench.relay import RelayResult
from aiops_lab.demo.feed import load_inventory
from aiops_lab.fleet.fleet import Fleet
from aiops_lab.fleet.plan import Plan

Say = Callable[[str], None]
SETTLE = 60.0  # seconds that the fleet gets to work off what was accepted
DRAINED = 300.0  # seconds that a storm gets
ASKED_WITHIN = 30.0  # seconds that the platform's ledger may take
WARM_UP = 2000  # messages before anything is measured: imports, caches, connections, first merges
SATURATION = 20_000  # lines


@dataclass(frozen=True)
class FleetResult:
    """One load on the fleet: latencies in ms by stage, and where the anomalies ended.

    All were in the tables of ClickHouse *written_after* seconds after the last one was accepted.
    """

    stages: dict[str, LatencySummary]
    accepted_per_second: float
    handled_per_second: float
    written_after: float
    lines: int
    anomalous: int
    lost: int
    doubled: int
    usage: dict[str, Usage]


@dataclass(frozen=True)
class LineBench:
    """Lines at a steady rate, then as fast as accepted; the raw relay under the same loads."""

    rate: float
    seconds: float
    steady: FleetResult
    steady_limit: RelayResult
    saturated: FleetResult
    saturated_limit: RelayResult


@dataclass(frozen=True)
class AnomalyBench:
    """Anomalies at a steady rate; *balance* is the platform's own ledger of everything sent."""

    rate: float
    seconds: float
    outcome: FleetResult
    limit: RelayResult
    balance: dict[str, int]


@dataclass(frozen=True)
class StormBench:
    """A storm of one device. *others* had real faults, *others_seen* of them have an incident of
    their own; *drained* seconds after the first anomaly all of them had ended.
    """

    sent: int
    seconds: float
    drained: float
    incidents_of_the_storm: int
    others: int
    others_seen: int
    balance: dict[str, int]
    usage: dict[str, Usage]


@dataclass(frozen=True)
class BenchFleet:
    """A running fleet, and how to reach it."""

    fleet: Fleet
    settings: Settings
    store: ClickHouse


@contextlib.asynccontextmanager
async def running(plan: Plan, say: Say = lambda line: None) -> AsyncIterator[BenchFleet]:
    """A fleet that is ready; *say* hears of members that die."""
    settings = Settings(
        ship_id=plan.ship_id,
        nats_url=plan.nats_url,
        clickhouse_url=plan.clickhouse_url,
        api_url=plan.api_url,
        policies=plan.policies,
        migrations=plan.migrations,
    )
    say("starting the fleet")
    async with Fleet(plan, say=say) as fleet, ClickHouse.open(settings.clickhouse_url) as store:
        await fleet.ready(within=60)
        yield BenchFleet(fleet, settings, store)


async def bench_lines(
    plan: Plan, *, rate: float, seconds: float, share: float, say: Say
) -> LineBench:
    """The relay and the fleet in turn, each with the machine to itself."""
    count = round(rate * seconds)
    say(f"raw relay, {rate:g} lines/s for {seconds:g} s")
    steady_limit = await relay.run(plan, relay.HOPS, rate=rate, count=count, share=share)
    say(f"raw relay, {SATURATION} lines as fast as accepted")
    saturated_limit = await relay.run(plan, relay.HOPS, rate=None, count=SATURATION, share=share)
    async with running(plan, say) as on, open_line_sink(on.settings) as sink:
        await measured(on, Load(WARM_UP, rate, share), sink.send)
        say(f"fleet, {rate:g} lines/s for {seconds:g} s")
        steady = await measured(on, Load(count, rate, share), sink.send)
        say(f"fleet, {SATURATION} lines as fast as accepted")
        saturated = await measured(on, Load(SATURATION, None, share), sink.send)
    return LineBench(rate, seconds, steady, steady_limit, saturated, saturated_limit)


async def bench_anomalies(
    plan: Plan, *, rate: float, seconds: float, share: float, say: Say
) -> AnomalyBench:
    """The relay over two hops, then enrichment and correlation; all messages are anomalies."""
    count = round(rate * seconds)
    say(f"raw relay, {rate:g} messages/s for {seconds:g} s")
    limit = await relay.run(plan, relay.HOPS[1:], rate=rate, count=count, share=1.0)
    async with running(plan, say) as on, open_sink(on.settings) as publish:
        load, began = AnomalyLoad(count, rate), utc_now()
        await load_inventory(plan.api_url, graph(load.devices).devices)
        await measured(on, AnomalyLoad(WARM_UP // 2, rate), publish)
        say(f"fleet, {rate:g} anomalies/s for {seconds:g} s")
        outcome = await measured(on, load, publish)
        return AnomalyBench(rate, seconds, outcome, limit, await balance(on, began))


async def bench_storm(
    plan: Plan, *, rate: float, seconds: float, share: float, say: Say
) -> StormBench:
    """Nearly all anomalies from one device."""
    total = round(rate * seconds)
    async with running(plan, say) as on:
        say(f"{total} anomalies at {rate:g}/s, {EVERY - 1} of {EVERY} from one device")
        return await storm(on, StormLoad(total, rate))


async def measured(on: BenchFleet, load: Load, publish: Publish) -> FleetResult:
    """Send *load*, wait until it is stored, and account for every anomaly of it."""
    meter = Meter(on.fleet.pids | {"load generator": os.getpid()})
    started = time.monotonic()
    sent = await send(load, publish)
    accepted = time.monotonic()
    places = await ledger.settled(on.store, load.ship_id, sent.began, sent.anomalous, SETTLE)
    ended = time.monotonic()
    times = await ledger.stage_times(on.store, load.ship_id, sent.began)
    return FleetResult(
        stages=by_stage(times, ledger.PATH),
        accepted_per_second=sent.lines / sent.seconds,
        handled_per_second=sent.lines / (ended - started),
        written_after=ended - accepted,
        lines=sent.lines,
        anomalous=len(sent.anomalous),
        lost=len(ledger.lost(places, sent.anomalous)),
        doubled=len(ledger.doubled(places, sent.anomalous)),
        usage=meter.read(ended - started),
    )


async def storm(on: BenchFleet, load: StormLoad) -> StormBench:
    """Send *load* and wait until all of its anomalies have ended somewhere."""
    meter = Meter(on.fleet.pids)
    began, started = utc_now(), time.monotonic()
    async with open_sink(on.settings) as publish:
        sent = await send(load, publish)
    found = await _drained(on, began, sent.lines)
    seconds = time.monotonic() - started
    incidents = await _incidents_by_device(on.store, load.ship_id)
    of_the_storm = incidents.pop(MAD, set())
    return StormBench(
        sent=sent.lines,
        seconds=sent.seconds,
        drained=seconds,
        incidents_of_the_storm=len(of_the_storm),
        others=OTHERS,
        others_seen=sum(len(own) == 1 and not own & of_the_storm for own in incidents.values()),
        balance=found,
        usage=meter.read(seconds),
    )


async def _drained(on: BenchFleet, began: datetime, total: int) -> dict[str, int]:
    deadline = time.monotonic() + DRAINED
    while True:
        found = await balance(on, began)
        done = found["detected"] - found["in_flight"] >= total
        if done or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.25)


async def _incidents_by_device(store: ClickHouse, ship_id: str) -> dict[str, set[str]]:
    rows = await store.query(
        "SELECT device_id, groupUniqArray(incident_id) FROM aiops.incident_members FINAL"
        " WHERE ship_id = %(ship)s AND role IN ('member', 'duplicate') GROUP BY device_id",
        {"ship": ship_id},
    )
    return {device: set(incidents) for device, incidents in rows}


async def balance(on: BenchFleet, since: datetime) -> dict[str, int]:
    """The platform's own ledger since then. Raises Unavailable."""
    url = f"{on.settings.api_url}/api/v3/ledger"
    try:
        async with httpx.AsyncClient(timeout=ASKED_WITHIN) as client:
            answer = await client.get(url, params={"since": since.isoformat()})
    except httpx.HTTPError as exc:
        raise Unavailable(f"{url} is not reachable ({exc})") from exc
    if answer.is_error:
        raise Unavailable(f"{url} answered {answer.status_code}: {answer.text[:200]}")
    found: dict[str, int] = answer.json()["balance"]
    return found
