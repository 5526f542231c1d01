"""Wiring of anomaly-detection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from aiops_core.adapters.victoriametrics import VictoriaMetrics
from aiops_core.models import LogEntry, Message, MetricSample
from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.bus import Bus, Delivery
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import Background, Service
from anomaly_detection import NAME
from anomaly_detection.checkpoint import Checkpointer
from anomaly_detection.handler import DetectionHandler
from anomaly_detection.notes import Notes
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.published import STAGE, PublishedCounts
from anomaly_detection.sources.poller import Poller


@contextlib.asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = load_with_retention(DetectPolicy, context.settings.policies)
    handler = DetectionHandler(policy, Notes(context.readiness.notes))
    checkpointer = Checkpointer(handler, context.bus, policy.snapshot_every)
    async with _polling(policy, context) as polling:
        yield service(checkpointer, context.bus, polling)


def service(checkpointer: Checkpointer, bus: Bus, background: Sequence[Background] = ()) -> Service:
    """The service around the handler of *checkpointer*."""
    handler, published = checkpointer.handler, PublishedCounts(bus)

    async def recover(bus: Bus) -> None:
        await published.recover(bus)
        await checkpointer.recover(bus)

    envelopes = Envelopes()
    return Service(
        NAME,
        handlers={kind: envelopes.around(handler) for kind in (LogEntry, MetricSample)},
        stage=STAGE,
        recover=recover,
        sees=envelopes.sees,
        tick=handler.tick,
        published=published.count,
        background=[*background, checkpointer.run, published.run],
    )


class Envelopes:
    """Builds the envelope that the runtime will hand over."""

    def sees(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def around(self, handler: DetectionHandler) -> Callable[[Any], Awaitable[Sequence[Message]]]:
        async def handle(entry: LogEntry | MetricSample) -> Sequence[Message]:
            one = self._delivery
            return await handler(
                Received(entry, one.subject, one.sequence, one.attempt, one.at, one.data)
            )

        return handle


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
