"""Asks VictoriaMetrics what ``polls`` of detect.yaml list, and puts the answers on ``metrics.sampled``.

There they are readings like any other: judged by the same detectors, recovered with them, and stored once
however often they are asked for. The server away, or a query that it refuses, is told once and tried
again for ever; nothing else waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anomaly_detection
from aiops_core.adapters.victoriametrics import DEPENDENCY, Point, QueryRefused, VictoriaMetrics
from aiops_core.errors import Unavailable
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.bus import Bus, Outgoing
from aiops_core.runtime.service import utc_now
from aiops_core.utils import StructuredLogger
from anomaly_detection.policy_layers import Poll
from anomaly_detection.sources.promql import samples, slot

log = StructuredLogger.get_logger(
    name="poller", service="anomaly-detection", version=anomaly_detection.__version__
)


def dependency(poll: Poll) -> str:
    """What ``/ready`` calls a poll."""
    return f"poll {poll.name}"


@dataclass
class Poller:
    """All polls against one server; give ``run`` to the service as a background loop."""

    polls: Sequence[Poll]
    server: VictoriaMetrics
    bus: Bus
    readiness: Readiness
    ship_id: str
    clock: Callable[[], datetime] = utc_now
    _said: dict[str, str] = field(default_factory=dict)  # dependency -> its problem

    def __post_init__(self) -> None:
        self.readiness.needs(DEPENDENCY, required=False)
        for poll in self.polls:
            self.readiness.needs(dependency(poll), required=False)

    async def run(self) -> None:
        """Ends by cancellation."""
        async with asyncio.TaskGroup() as group:
            for poll in self.polls:
                group.create_task(self._forever(poll))

    async def _forever(self, poll: Poll) -> None:
        while True:
            at = slot(self.clock(), poll.interval)
            await self.ask(poll, at)
            wait = min(at + poll.interval - self.clock(), poll.interval)  # it may be set meanwhile
            await asyncio.sleep(max(wait.total_seconds(), 0.0))

    async def ask(self, poll: Poll, at: datetime) -> None:
        """One poll for the time *at*: its samples are published, or it is known why not."""
        try:
            points = await self.server.instant(poll.query, at=at, freshness=poll.freshness)
        except Unavailable as exc:
            metrics.POLLS.labels(poll.name, "away").inc()
            self._down(DEPENDENCY, str(exc))
        except QueryRefused as exc:
            metrics.POLLS.labels(poll.name, "refused").inc()
            self._up(DEPENDENCY)
            self._down(dependency(poll), f"refused: {exc}")
        else:
            self._up(DEPENDENCY)
            await self._publish(poll, points, at)

    async def _publish(self, poll: Poll, points: Sequence[Point], at: datetime) -> None:
        metrics.POLLS.labels(poll.name, "ok" if points else "empty").inc()
        if len(points) > poll.most:
            problem = f"{len(points)} series, of which only the first {poll.most} are read"
            self._down(dependency(poll), problem)
        else:
            self._up(dependency(poll))
        found = samples(poll, points, self.ship_id, at, self.clock())
        await self.bus.publish([Outgoing(sample, sample.tracking_id) for sample in found])

    def _up(self, name: str) -> None:
        self.readiness.up(name)
        if self._said.pop(name, None):
            log.info("works again", dependency=name)

    def _down(self, name: str, problem: str) -> None:
        """In ``/ready`` the newest reason; in the log only that it began."""
        self.readiness.down(name, problem)
        if name not in self._said:
            log.warning("does not work", dependency=name, reason=problem)
        self._said[name] = problem
