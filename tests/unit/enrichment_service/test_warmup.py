"""Enrichment's memory over the life of the process: start, ClickHouse away, kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from aiops_core.adapters.clickhouse import QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.inventory.inventory import BUCKET, KEY, Inventory
from aiops_core.models import AnomalyDetected, Device, EnrichedAnomaly
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service, utc_now
from aiops_core.runtime.watched import watched_inventory, watched_ship
from aiops_core.suppression.ship import ModeChange, ModeLog
from aiops_lab.memory_bus import MemoryBus
from enrichment_service import warmup as module
from enrichment_service.clickhouse_queries import ContextQueries
from enrichment_service.context import Memory
from enrichment_service.handler import Enricher
from enrichment_service.policy import EnrichPolicy
from enrichment_service.warmup import INVENTORY, STORED, Warmup


def anomaly(n: int, *, detected: datetime | None = None) -> AnomalyDetected:
    now = utc_now()
    return AnomalyDetected(
        tracking_id=f"t{n}",
        ship_id="s1",
        ts=now,
        stages={"detect": detected or now},
        domain="net",
        anomaly_type="link_down",
        service="kernel",
        host="sw-1",
        detector="pattern",
        score=0.8,
        severity="medium",
        msg="eth0 down",
    )


class FakeQueries:
    """A ClickHouse that remembers *stored* anomalies, unless it has a *problem* or hangs."""

    def __init__(self, *stored: AnomalyDetected) -> None:
        self.stored = stored
        self.problem: Exception | None = None
        self.slow = 0.0

    async def newest(self, since):
        await self._reach()
        return max((a.stages["detect"] for a in self.stored), default=None)

    async def history(self, since, cutoff):
        await self._reach()
        await asyncio.sleep(self.slow)
        older = [a for a in self.stored if a.stages["detect"] < cutoff]
        minute = int(utc_now().timestamp()) // 60
        return [("s1", "sw-1", "link_down", "kernel", minute, len(older))]

    async def similar(self, since):
        await self._reach()
        return []

    async def incidents(self, since):
        await self._reach()
        return []

    async def memberships(self, since):
        await self._reach()
        return []

    async def _reach(self):
        if self.problem:
            raise self.problem


@asynccontextmanager
async def serving(bus: MemoryBus, queries: FakeQueries, policies):
    """The service as its process runs it; leaving is a kill as far as its memory is concerned."""
    policy = EnrichPolicy.load(policies)
    memory, readiness = Memory(policy.health), Readiness("test")
    for dependency in ("clickhouse", INVENTORY):
        readiness.needs(dependency, required=False)
    devices = watched_inventory(bus, memory.set_devices)
    ship = watched_ship(bus, memory.set_ship)
    warmup = Warmup(queries, memory, readiness, (devices, ship))
    service = Service(
        "enrichment-service",
        {AnomalyDetected: Enricher(memory, policy.severity)},
        Publishing(stage="enrich"),
        recover=warmup.recover,
        background=[warmup.keep_fresh, devices.keep, ship.keep],
    )
    runtime = Runtime(service, bus, readiness)
    running = asyncio.create_task(runtime.run())
    try:
        yield readiness
    finally:
        runtime.stop.set()
        await running


async def send(bus: MemoryBus, *anomalies: AnomalyDetected) -> None:
    await bus.publish([Outgoing(a, a.anomaly_id) for a in anomalies])


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("did not come true within 5 s")


async def enriched(bus: MemoryBus, count: int) -> list[EnrichedAnomaly]:
    await until(lambda: len(bus.of(EnrichedAnomaly)) >= count)
    return bus.of(EnrichedAnomaly)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0.02)
    monkeypatch.setattr(module, "ROUND", 0.01)
    monkeypatch.setattr(module, "FIRST_LOAD", 0.2)


async def test_a_killed_service_knows_afterwards_what_it_knew(policies):
    """Before: three anomalies, two of them stored. After: the next one has three before it."""
    long_ago = utc_now() - timedelta(minutes=10)
    past = [anomaly(1, detected=long_ago), anomaly(2, detected=long_ago), anomaly(3)]
    bus, queries = MemoryBus(), FakeQueries(*past[:2])
    async with serving(bus, FakeQueries(), policies):
        await send(bus, *past)
        await enriched(bus, 3)
    async with serving(bus, queries, policies):
        await send(bus, anomaly(4))
        last = (await enriched(bus, 4))[-1]
    assert (last.context.count_1h, last.context.failed) == (3, ("devices",))


async def test_a_message_that_was_not_acknowledged_before_the_kill_counts_once(policies):
    bus = MemoryBus()
    async with bus.subscribe(["anomaly.detected"], group="enrichment-service") as inbox:
        await send(bus, anomaly(1))
        await inbox.take(1)  # and killed before the acknowledgement
    async with serving(bus, FakeQueries(), policies):
        [first] = await enriched(bus, 1)
        await send(bus, anomaly(2))
        second = (await enriched(bus, 2))[1]
    assert (first.context.count_1h, second.context.count_1h) == (0, 1)


@pytest.mark.parametrize(
    "problem", [Unavailable("does not answer"), QueryFailed("code 60: no such table", 60)]
)
async def test_without_the_store_it_serves_partially_and_becomes_whole_later(policies, problem):
    bus, queries = MemoryBus(), FakeQueries()
    queries.problem = problem
    async with serving(bus, queries, policies) as readiness:
        await send(bus, anomaly(1))
        [first] = await enriched(bus, 1)
        assert first.context.failed == ("devices", *STORED)
        assert str(problem) in readiness.report()["dependencies"]["clickhouse"]
        assert "history" in readiness.report()["dependencies"]["clickhouse"]
        assert readiness.ready
        old = utc_now() - timedelta(hours=2)
        queries.stored, queries.problem = (anomaly(8, detected=old), first), None
        await until(lambda: readiness.report()["dependencies"]["clickhouse"] == "up")
        await send(bus, anomaly(2))
        second = (await enriched(bus, 2))[1]
    assert (second.context.count_1h, second.context.failed) == (2, ("devices",))


async def test_a_slow_store_keeps_no_message_waiting_and_is_merged_once(policies):
    bus, new = MemoryBus(), anomaly(1)
    queries = FakeQueries(anomaly(8, detected=utc_now() - timedelta(hours=2)), new)
    queries.slow = 0.5
    async with serving(bus, queries, policies) as readiness:
        await send(bus, new)
        [first] = await enriched(bus, 1)
        assert "history" in first.context.failed
        await until(lambda: readiness.report()["dependencies"]["clickhouse"] == "up")
        await send(bus, anomaly(2))
        assert (await enriched(bus, 2))[1].context.count_1h == 2


async def test_a_store_that_goes_away_later_makes_only_what_it_refreshes_stale(policies):
    memory = Memory(EnrichPolicy.load(policies).health)
    queries, readiness = FakeQueries(), Readiness("test")
    for dependency in ("clickhouse", INVENTORY):
        readiness.needs(dependency, required=False)
    warmup = Warmup(queries, memory, readiness)
    await warmup.recover(MemoryBus())
    await warmup.refresh()
    assert memory.failed == ("devices", "ship")
    queries.problem = Unavailable("gone")
    for lookup in warmup.lookups:
        lookup.due = min(lookup.due, 0.0) if lookup.every < 60 else lookup.due
    await warmup.refresh()
    assert memory.failed == ("devices", "ship", "incidents")


async def test_an_import_is_known_to_the_next_anomaly_without_a_restart(policies):
    """No devices; a first inventory; one with another graph; a kill."""
    bus = MemoryBus()
    async with serving(bus, FakeQueries(), policies) as readiness:
        await send(bus, anomaly(1))
        [first] = await enriched(bus, 1)
        assert first.context.failed == ("devices",)
        assert readiness.report()["dependencies"]["inventory"].startswith("down: incident-api has")
        for n, upstream in ((2, ("fw",)), (3, ("core", "fw"))):
            devices = [Device(id=d) for d in ("core", "fw")]
            switch = Device(id="deck", upstream=upstream, labels={"hostname": "sw-1"})
            await bus.bucket(BUCKET).put(KEY, Inventory([*devices, switch]).to_json())
            await asyncio.sleep(0.02)
            await send(bus, anomaly(n))
            found = (await enriched(bus, n))[-1]
            assert (found.device_id, found.context.partial) == ("deck", False)
            assert tuple(d.id for d in found.context.upstream) == upstream
        assert found.context.count_1h == 2
        await until(lambda: readiness.report()["dependencies"]["inventory"] == "up")
    async with serving(bus, FakeQueries(), policies):
        await send(bus, anomaly(4))
        last = (await enriched(bus, 4))[-1]
    assert (last.device_id, last.context.count_1h, last.context.partial) == ("deck", 3, False)


async def test_mode_and_maintenance_are_followed(policies):
    bus = MemoryBus()
    async with serving(bus, FakeQueries(), policies):
        log = ModeLog(changes=(ModeChange(mode="port", since=utc_now()),))
        await bus.bucket("ship").put("mode", log.model_dump_json().encode())
        await asyncio.sleep(0.02)
        await send(bus, anomaly(1))
        [found] = await enriched(bus, 1)
    assert found.context.ship_mode == "port"


async def test_rows_that_no_vocabulary_knows_are_left_out():
    class Store:
        async def query(self, sql, parameters=None):
            good = ("f", "a", utc_now(), "high", "down")
            return [good, ("f", "b", utc_now(), "enormous", "down")]

    assert [s.anomaly_id for _, s in await ContextQueries(Store()).similar(utc_now())] == ["a"]
