"""The three ends of a delivery: acknowledged, put off for a while, or buried as a dead letter.

Failures are counted here, by message: the broker counts deliveries, and restarts, messages handed
back and late acknowledgements raise that number too. A new process counts anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from aiops_core.bounded import BoundedDict
from aiops_core.errors import Premature, Reject, Unavailable
from aiops_core.observability import metrics
from aiops_core.runtime.backoff import Backoff, Reminder, until_available
from aiops_core.runtime.bus import Delivery, Inbox
from aiops_core.runtime.received import HandledBatch
from aiops_core.utils import core_logger

log = core_logger("acks")

Path = Literal["fast", "insight"]

FAILURES = 5  # of one message, after which it is buried
AFTER_FAILURE = Backoff(first=1.0, most=120.0, factor=5.0)
AFTER_ABSENCE = Backoff(first=1.0, most=30.0)  # of something that the message needs
KEPT = 16_384  # messages that are counted; fewer are out at any time


class Failures:
    """The failures of messages that will be delivered again. Those that something was away lead
    only to longer delays. Beyond ``KEPT`` the oldest is forgotten: its message gets more tries,
    never fewer."""

    def __init__(self) -> None:
        self._counts = BoundedDict[tuple[str, bool], int](KEPT)  # by message, and whether away

    def __len__(self) -> int:
        return len(self._counts)

    def verdict(self, message: str, exc: Exception) -> Reject | float:
        """Why the message of that id, which has just failed with *exc*, is to be buried; otherwise
        after how many seconds to try it again."""
        if isinstance(exc, Reject):
            return exc
        away = isinstance(exc, Unavailable)
        count = self._counts.get((message, away), 0) + 1
        if count >= FAILURES and not away:
            return Reject(repr(exc), "abandoned")
        self._counts.put((message, away), count)
        return (AFTER_ABSENCE if away else AFTER_FAILURE).after(count)

    def forget(self, message: str) -> None:
        """It was acknowledged or buried."""
        for away in (True, False):
            self._counts.pop((message, away), None)


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
        if isinstance(verdict, Reject):
            if verdict.outcome == "abandoned":
                log.error("giving up", message=delivery.id, exc_info=exc)
            return await self.bury(delivery, verdict.outcome, str(verdict))
        self._log_retry(delivery, exc, verdict)
        await until_available(delivery.retry, verdict)
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

    def _log_retry(self, delivery: Delivery, exc: Exception, delay: float) -> None:
        """An absence is logged once a minute: it puts off every message."""
        if isinstance(exc, Unavailable) and not self._absences.due():
            return
        expected = isinstance(exc, Unavailable | Premature)
        log.warning(
            "will retry",
            message=delivery.id,
            reason=str(exc),
            delay=delay,
            exc_info=None if expected else exc,
        )
