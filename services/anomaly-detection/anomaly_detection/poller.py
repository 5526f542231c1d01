"""Evaluates ``polls`` of detect.yaml on VictoriaMetrics and publishes ``metrics.sampled``.

The samples are readings like any other: judged by the same detectors and replayed with them. Their
ids derive from poll, labels and time, so that a repeated poll publishes nothing twice. An
unavailable server or a refused query is logged once and retried for ever; nothing waits for it.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anomaly_detection
from aiops_core.errors import Unavailable
from aiops_core.models import MetricSample, derived_id
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.bus import Bus, Outgoing
from aiops_core.runtime.service import utc_now
from aiops_core.utils import StructuredLogger
from anomaly_detection.polls import Poll
from anomaly_detection.victoriametrics import (
    DEPENDENCY,
    Point,
    QueryRefused,
    VictoriaMetrics,
)

_PORT = re.compile(r":\d{1,5}$")

log = StructuredLogger.get_logger(
    name="poller", service="anomaly-detection", version=anomaly_detection.__version__
)


def dependency(poll: Poll) -> str:
    """The name of a poll in ``/ready``."""
    return f"poll {poll.name}"


@dataclass
class Poller:
    """All polls of one server; ``run`` is a background loop of the service."""

    polls: Sequence[Poll]
    server: VictoriaMetrics
    bus: Bus
    readiness: Readiness
    ship_id: str
    clock: Callable[[], datetime] = utc_now
    _problems: dict[str, str] = field(default_factory=dict)  # by dependency

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
            await self.evaluate(poll, at)
            wait = min(at + poll.interval - self.clock(), poll.interval)  # it may be set meanwhile
            await asyncio.sleep(max(wait.total_seconds(), 0.0))

    async def evaluate(self, poll: Poll, at: datetime) -> None:
        """Publish the samples of *poll* at the time *at*, or report the problem."""
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
        if self._problems.pop(name, None):
            log.info("works again", dependency=name)

    def _down(self, name: str, problem: str) -> None:
        """``/ready`` shows the newest problem; the log only the first."""
        self.readiness.down(name, problem)
        if name not in self._problems:
            log.warning("does not work", dependency=name, reason=problem)
        self._problems[name] = problem


def slot(now: datetime, every: timedelta) -> datetime:
    """The last multiple of *every* on the clock: the same after a restart."""
    period = every.total_seconds()
    return datetime.fromtimestamp(math.floor(now.timestamp() / period) * period, UTC)


def samples(
    poll: Poll, points: Sequence[Point], ship_id: str, at: datetime, now: datetime
) -> list[MetricSample]:
    """The first ``most`` finite points of *poll* at the time *at* as samples that arrived *now*."""
    finite = [point for point in points if math.isfinite(point.value)]
    return [_sample(poll, point, ship_id, at, now) for point in finite[: poll.most]]


def _sample(poll: Poll, point: Point, ship_id: str, at: datetime, now: datetime) -> MetricSample:
    labels = {key: value for key, value in point.labels.items() if key != "__name__"}
    id_ = derived_id(
        *("promql", ship_id, poll.name, at.isoformat()),
        *(f"{key}={value}" for key, value in sorted(labels.items())),
    )
    device_id = _PORT.sub("", labels.pop(poll.device_id, ""))
    service = labels.pop(poll.service, "")
    if labels.get("ship_id") == ship_id:
        del labels["ship_id"]
    return MetricSample(
        tracking_id=id_,
        ship_id=ship_id,
        ts=at,
        stages={"ingest": now},
        host=device_id or ship_id,  # a value without a device is about the ship
        device_id=device_id or None,
        service=service or "unknown",
        metric=poll.name,
        value=point.value,
        unit=poll.unit or None,
        labels=labels,
    )
