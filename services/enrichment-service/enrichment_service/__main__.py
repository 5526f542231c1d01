"""Wiring of enrichment-service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from aiops_core.adapters.clickhouse import DEPENDENCY, ClickHouse
from aiops_core.models import AnomalyDetected
from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.service import LINGER, Service, Tuning
from aiops_core.runtime.watched import watched_inventory, watched_ship
from enrichment_service import NAME
from enrichment_service.clickhouse_queries import ContextQueries
from enrichment_service.context import Memory
from enrichment_service.handler import Enricher
from enrichment_service.policy import EnrichPolicy
from enrichment_service.warmup import INVENTORY, Warmup


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = load_with_retention(EnrichPolicy, context.settings.policies)
    memory = Memory(policy.health)
    for dependency in (DEPENDENCY, INVENTORY):
        context.readiness.needs(dependency, required=False)
    devices = watched_inventory(context.bus, memory.set_devices)
    ship = watched_ship(context.bus, memory.set_ship)
    async with (
        ClickHouse.open(context.settings.clickhouse_url, threads=1) as store,
        aclosing(
            Warmup(ContextQueries(store), memory, context.readiness, (devices, ship))
        ) as warmup,
    ):
        yield Service(
            NAME,
            {AnomalyDetected: Enricher(memory, policy.severity)},
            Publishing(stage="enrich"),
            tuning=Tuning(linger=LINGER),
            recover=warmup.recover,
            background=[warmup.keep_fresh, devices.keep, ship.keep],
        )


def main() -> None:
    launch(NAME, recipe)


if __name__ == "__main__":
    main()
