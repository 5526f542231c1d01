"""The three ends of a delivery: acknowledged, put off for a while, or buried as a dead letter."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import aiops_core
from aiops_core.errors import Premature, Unavailable
from aiops_core.observability import metrics
from aiops_core.runtime.backoff import Reminder, until_available
from aiops_core.runtime.bus import Delivery, Inbox
from aiops_core.runtime.failures import Bury, Failures, Retry
from aiops_core.runtime.outbox import HandledBatch
from aiops_core.utils import StructuredLogger

log = StructuredLogger.get_logger(name="acks", service="aiops_core", version=aiops_core.__version__)

Path = Literal["fast", "insight"]


class Acks:
    """Ends the deliveries of one consumer, and counts how."""

    def __init__(self, service: str, path: Path, inbox: Inbox) -> None:
        self.service = service
        self._path, self._inbox = path, inbox
        self._failures = Failures()
        self._absences = Reminder()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            await until_available(self._inbox.ack, deliveries)
            if self._failures:
                for delivery in deliveries:
                    self._failures.forget(delivery.id)
            metrics.HANDLED.labels(self.service, "ok").inc(len(deliveries))

    async def fail(self, delivery: Delivery, exc: Exception) -> None:
        """Put *delivery* off or bury it, as *exc* and its failures so far demand."""
        verdict = self._failures.verdict(delivery.id, exc)
        if isinstance(verdict, Bury):
            if verdict.outcome == "abandoned":
                log.error("giving up", message=delivery.id, exc_info=exc)
            return await self.bury(delivery, verdict.outcome, verdict.reason)
        self._log_retry(delivery, exc, verdict)
        await until_available(delivery.retry, verdict.delay)
        metrics.HANDLED.labels(self.service, "failed").inc()

    async def bury(self, delivery: Delivery, outcome: str, reason: str) -> None:
        service = self.service
        log.warning("buried", service=service, message=delivery.id, outcome=outcome, reason=reason)
        is_new = await until_available(delivery.bury, reason)
        self._failures.forget(delivery.id)
        metrics.HANDLED.labels(service, outcome).inc()
        if not is_new:
            return  # another consumer of this service has buried it, or this one before a kill
        metrics.DEAD_LETTERS.labels(service).inc()
        fast = self._path == "fast"
        (metrics.FAST_PATH_REQUESTS if fast else metrics.INSIGHT_PATH_REQUESTS).inc()
        (metrics.FAST_PATH_ERRORS if fast else metrics.INSIGHT_PATH_ERRORS).inc()

    def observe(self, batch: HandledBatch) -> None:
        """Measure how long *batch* took."""
        if batch.handled:
            seconds = time.perf_counter() - batch.started
            metrics.HANDLE_SECONDS.labels(self.service).observe(seconds)

    def _log_retry(self, delivery: Delivery, exc: Exception, verdict: Retry) -> None:
        """An absence is logged once a minute: it puts off every message."""
        if isinstance(exc, Unavailable) and not self._absences.due():
            return
        expected = isinstance(exc, Unavailable | Premature)
        log.warning(
            "will retry",
            message=delivery.id,
            reason=str(exc),
            delay=verdict.delay,
            exc_info=None if expected else exc,
        )
