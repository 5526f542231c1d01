"""Wires the service; everything it knows comes from ``policies/detect.yaml`` and the bus."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from aiops_core.adapters.victoriametrics import VictoriaMetrics
from aiops_core.launch import Context, launch
from aiops_core.models import LogEntry, MetricSample
from aiops_core.runtime import Background, Service
from anomaly_detection.handler import Detection
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.sources.poller import Poller

NAME = "anomaly-detection"


@contextlib.asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = DetectPolicy.load(context.settings.policies)
    detection = Detection(policy)
    async with _polling(policy, context) as polling:
        yield Service(
            NAME,
            handlers={LogEntry: detection.on_line, MetricSample: detection.on_sample},
            stage="detect",
            recover=detection.recover,
            tick=detection.tick,
            background=polling,
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
