"""Wiring of anomaly-detection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from aiops_core.models import LogEntry, MetricSample
from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.service import LINGER, Background, Service, Tuning
from anomaly_detection import NAME
from anomaly_detection.checkpoint import Checkpointer
from anomaly_detection.handler import DetectionHandler, Notes
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.poller import Poller
from anomaly_detection.published import STAGE, PublishedCounts
from anomaly_detection.victoriametrics import VictoriaMetrics


@contextlib.asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = load_with_retention(DetectPolicy, context.settings.policies)
    notes = Notes(context.readiness.notes)
    notes.left_out(policy.packs.left_out)
    handler = DetectionHandler(policy, notes)
    checkpointer = Checkpointer(handler, context.bus, policy.snapshot_every)
    async with _polling(policy, context) as polling:
        yield service(checkpointer, context.bus, polling)


def service(checkpointer: Checkpointer, bus: Bus, background: Sequence[Background] = ()) -> Service:
    """The service around the handler of *checkpointer*."""
    handler, published = checkpointer.handler, PublishedCounts(bus)

    async def recover(bus: Bus) -> None:
        await published.recover(bus)
        await checkpointer.recover(bus)

    return Service(
        NAME,
        handlers={LogEntry: handler, MetricSample: handler},
        sink=Publishing(stage=STAGE, on_published=published.count),
        tuning=Tuning(linger=LINGER),
        recover=recover,
        tick=handler.tick,
        background=[*background, checkpointer.run, published.run],
    )


@contextlib.asynccontextmanager
async def _polling(policy: DetectPolicy, context: Context) -> AsyncIterator[Sequence[Background]]:
    url = context.settings.victoriametrics_url
    if not url or not policy.polls:
        yield ()
        return
    async with VictoriaMetrics.open(url) as server:
        ship_id = context.settings.ship_id
        yield [Poller(policy.polls, server, context.bus, context.readiness, ship_id).run]


def main() -> None:
    launch(NAME, recipe)


if __name__ == "__main__":
    main()
