"""One message: read, handled, its effects checked; when that fails, put off or buried."""

from __future__ import annotations

from collections.abc import Sequence

import aiops_core
from aiops_core.errors import Premature, Unavailable, in_words
from aiops_core.models import Message
from aiops_core.observability import metrics
from aiops_core.runtime.backoff import Reminder, until_available
from aiops_core.runtime.bus import LARGEST, Bus, Delivery, Outgoing
from aiops_core.runtime.crashes import BUCKET, Crashes
from aiops_core.runtime.failures import Bury, Failures, Malformed, Oversized, Retry
from aiops_core.runtime.publishing import check_size
from aiops_core.runtime.service import Service, arrived
from aiops_core.utils import IN_HAND, StructuredLogger

log = StructuredLogger.get_logger(
    name="handling", service="aiops_core", version=aiops_core.__version__
)


class Handling:
    """What one service does with each delivery."""

    def __init__(self, service: Service, bus: Bus) -> None:
        self._service = service
        self._crashes = Crashes(bus.bucket(BUCKET), service.consumer)
        self._failures = Failures()
        self._absences = Reminder()

    async def effects(self, delivery: Delivery) -> Sequence[Outgoing]:
        """What *delivery* causes. Raises what its handler does, Malformed, Oversized or Deadly."""
        message = self._read(delivery)
        IN_HAND.set(message)
        if self._crashes.suspects(delivery):
            async with self._crashes.noted(delivery):
                caused = await self._handle(message, delivery)
        else:
            caused = await self._handle(message, delivery)
        name = self._service.name
        effects = [Outgoing(m, f"{name}/{delivery.id}/{n}") for n, m in enumerate(caused)]
        for effect in effects:
            check_size(effect)
        return effects

    async def _handle(self, message: Message, delivery: Delivery) -> Sequence[Message]:
        if self._service.sees:
            self._service.sees(delivery)
        return await self._service.handlers[type(message)](message)

    def _read(self, delivery: Delivery) -> Message:
        if len(delivery.data) > LARGEST:
            raise Malformed(f"message has {len(delivery.data)} bytes, the limit is {LARGEST}")
        kind = self._service.by_subject.get(delivery.subject)
        if kind is None:
            raise Malformed(f"{self._service.name} does not take {delivery.subject}")
        try:
            return arrived(kind.model_validate_json(delivery.data), delivery)
        except ValueError as exc:  # ValidationError is one
            raise Malformed(in_words(exc)) from exc

    async def failed(self, delivery: Delivery, exc: Exception) -> None:
        """Put *delivery* off or bury it, as *exc* and its failures so far demand."""
        verdict = self._failures.verdict(delivery.id, exc)
        if isinstance(verdict, Bury):
            if verdict.outcome == "abandoned":
                log.error("giving up", message=delivery.id, exc_info=exc)
            if isinstance(exc, Oversized):
                metrics.OVERSIZED.labels(self._service.name).inc()
            return await self.bury(delivery, verdict.outcome, verdict.reason)
        self._say(delivery, exc, verdict)
        await until_available(delivery.retry, verdict.delay)
        metrics.HANDLED.labels(self._service.name, "failed").inc()

    def _say(self, delivery: Delivery, exc: Exception, verdict: Retry) -> None:
        """What is away is told once a minute: it puts off every message."""
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

    async def bury(self, delivery: Delivery, outcome: str, reason: str) -> None:
        name = self._service.name
        log.warning("buried", service=name, message=delivery.id, outcome=outcome, reason=reason)
        is_new = await until_available(delivery.bury, reason)
        self._failures.forget(delivery.id)
        metrics.HANDLED.labels(name, outcome).inc()
        if not is_new:
            return  # the letter of another consumer of this service, or of this one before a kill
        metrics.DEAD_LETTERS.labels(name).inc()
        fast = self._service.path == "fast"
        (metrics.FAST_PATH_REQUESTS if fast else metrics.INSIGHT_PATH_REQUESTS).inc()
        (metrics.FAST_PATH_ERRORS if fast else metrics.INSIGHT_PATH_ERRORS).inc()

    def settled(self, deliveries: Sequence[Delivery]) -> None:
        """They are acknowledged."""
        if self._failures:
            for delivery in deliveries:
                self._failures.forget(delivery.id)
        metrics.HANDLED.labels(self._service.name, "ok").inc(len(deliveries))
