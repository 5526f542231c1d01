"""Wires the service; everything it knows comes from ``policies/detect.yaml`` and the bus."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiops_core.launch import Context, launch
from aiops_core.models import LogEntry, MetricSample
from aiops_core.runtime import Service
from anomaly_detection.handler import Detection
from anomaly_detection.policy import DetectPolicy

NAME = "anomaly-detection"


@contextlib.asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    detection = Detection(DetectPolicy.load(context.settings.policies))
    yield Service(
        NAME,
        handlers={LogEntry: detection.on_line, MetricSample: detection.on_sample},
        stage="detect",
        recover=detection.recover,
        tick=detection.tick,
    )


def main() -> None:
    launch(NAME, recipe)


if __name__ == "__main__":
    main()
