"""Wires the service; everything it knows comes from ``policies/detect.yaml`` and the bus."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from aiops_core.adapters.victoriametrics import VictoriaMetrics
from aiops_core.models import LogEntry, MetricSample
from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.service import LINGER, Background, Service, Tuning
from anomaly_detection.handler import Detection
from anomaly_detection.keeper import Keeper
from anomaly_detection.noticed import Noticed
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.published import Published
from anomaly_detection.snapshot_store import NAME
from anomaly_detection.sources.poller import Poller


@contextlib.asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = load_with_retention(DetectPolicy, context.settings.policies)
    async with _polling(policy, context) as polling:
        yield service(policy, context.bus, polling, Noticed(context.readiness.notes))


def service(
    policy: DetectPolicy,
    bus: Bus,
    beside: Sequence[Background] = (),
    noticed: Noticed | None = None,
) -> Service:
    """Detectors behind their keeper; *beside* are loops that live with them."""
    noticed = noticed or Noticed()
    detection = Detection(policy, noticed.failure)
    keeper = Keeper(detection, bus, policy.snapshot_every, noticed)
    published = Published(bus)

    async def recover(bus: Bus) -> None:
        await published.recover(bus)
        await keeper.recover(bus)

    return Service(
        NAME,
        handlers={
            LogEntry: keeper.handler(detection.on_line),
            MetricSample: keeper.handler(detection.on_sample),
        },
        sink=Publishing(stage="detect", on_published=published.count),
        tuning=Tuning(linger=LINGER),
        recover=recover,
        tick=keeper.tick,
        background=[*beside, keeper.keep, published.keep],
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
