"""The simulator's voyages through the real detection and enrichment.

Recipes, handlers and runtime are those of production. The bus is in memory, the clock is that of
the messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from aiops_core.inventory import inventory
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyCleared, EnrichedAnomaly, Message
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Inbox
from aiops_core.runtime.launch import Context, Recipe
from aiops_core.runtime.runtime import Runtime
from aiops_lab.evaluation.correlation.scores import LabelledRun
from aiops_lab.memory_bus import MemoryBus
from aiops_lab.simulator.scenario import Scenario
from aiops_lab.simulator.truth import Truth
from aiops_lab.simulator.voyage import Voyage
from anomaly_detection.__main__ import recipe as detection
from enrichment_service.__main__ import recipe as enrichment

T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
SILENCE_AFTER = 60.0  # seconds after a fault in which a silence still belongs to it
TOGETHER = 256  # messages between two looks at the clock
TICK = 0.02  # s of real time between two ticks
NOWHERE = "clickhouse://nobody@127.0.0.1:1/"


async def play(scenario: Scenario) -> LabelledRun:
    """The messages of *scenario* that reach correlation, and the truth about them."""
    run, truth = Voyage(T0, "ship", scenario.name), dict[str, Truth]()
    ship = Inventory(scenario.ship.devices)
    detected = await _through(detection, ship, _feed(scenario, run, truth))
    enriched = await _through(enrichment, ship, detected)
    messages = [m for m in enriched if isinstance(m, EnrichedAnomaly | AnomalyCleared)]
    return LabelledRun(
        name=f"{scenario.name}, seed {scenario.seed}",
        inventory=ship,
        messages=messages,
        fault_of={
            message.anomaly_id: _fault_of(message, truth, scenario)
            for message in messages
            if isinstance(message, EnrichedAnomaly)
        },
        roots={episode.id: episode.root_device for episode in scenario.episodes},
    )


def _feed(scenario: Scenario, run: Voyage, truth: dict[str, Truth]) -> Iterator[Message]:
    for event in scenario:
        if event.truth:
            truth[run.tracking_id(event)] = event.truth
        yield run.message(event)


def _fault_of(anomaly: EnrichedAnomaly, truth: dict[str, Truth], scenario: Scenario) -> str | None:
    """The fault that the simulator names for the line; a silence has the fault of its device."""
    if known := truth.get(anomaly.tracking_id):
        return known.episode
    at = (anomaly.ts - T0).total_seconds()
    around = (e for e in scenario.episodes if e.start <= at <= e.end + SILENCE_AFTER)
    return next((e.id for e in around if anomaly.device in e.affected), None)


async def _through(recipe: Recipe, ship: Inventory, messages: Iterable[Message]) -> list[Message]:
    """The effects of *messages* on a new service. Those of other services pass through."""
    waiting, found = iter(messages), list[Message]()
    async with _running(recipe, ship) as service:
        while chunk := list(islice(waiting, TOGETHER)):
            found += await service.handle(chunk)
        found += await service.handle(())
    return found


@dataclass
class OfflineService:
    """One service on a bus of its own."""

    bus: MemoryBus
    subjects: frozenset[str]
    inbox: Inbox
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    reported: int = 0  # messages of the bus

    async def handle(self, chunk: Sequence[Message]) -> list[Message]:
        """The effects of *chunk*, and its messages that pass through."""
        for message in chunk:
            self.now = max(self.now, message.ts)
            if message.subject in self.subjects:
                self.bus.put(message.subject, message.model_dump_json().encode())
        while await self.inbox.lag():  # noqa: ASYNC110 - the bus in memory has no event for it
            await asyncio.sleep(0)
        await asyncio.sleep(TICK)
        effects = self.bus.published[self.reported :]
        self.reported = len(self.bus.published)
        return effects + [message for message in chunk if message.subject not in self.subjects]


@contextlib.asynccontextmanager
async def _running(recipe: Recipe, ship: Inventory) -> AsyncIterator[OfflineService]:
    bus = MemoryBus()
    await bus.bucket(inventory.BUCKET).put(inventory.KEY, ship.to_json())
    away = {"clickhouse_url": NOWHERE, "victoriametrics_url": ""}
    context = Context(Settings.read().model_copy(update=away), bus, Readiness("offline"))
    async with recipe(context) as service:
        subjects = tuple(service.by_subject)
        async with bus.subscribe(subjects, group=service.durable_name) as inbox:
            run = OfflineService(bus, frozenset(subjects), inbox)
            bus.clock = lambda: run.now  # a message arrives when it is its turn
            tuning = replace(service.tuning, linger=0.0)
            quick = replace(service, tick_every=TICK, tuning=tuning)
            runtime = Runtime(quick, bus, context.readiness, clock=lambda: run.now)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(runtime.run())
                try:
                    yield run
                finally:
                    runtime.stop.set()
