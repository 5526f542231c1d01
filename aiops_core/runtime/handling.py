"""From deliveries to effects: each message is read, handled, and tried again when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import aiops_core
from aiops_core.errors import in_words
from aiops_core.models import Message
from aiops_core.runtime.acks import Acks
from aiops_core.runtime.bus import LARGEST, Bus, Delivery, Outgoing
from aiops_core.runtime.crashes import BUCKET, Crashes
from aiops_core.runtime.failures import Malformed, changed_nothing
from aiops_core.runtime.outbox import Handled, HandledBatch
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import Service, arrived
from aiops_core.utils import IN_HAND, StructuredLogger

log = StructuredLogger.get_logger(
    name="handling", service="aiops_core", version=aiops_core.__version__
)

TICK_FAILURES = 5  # in a row, after which the process ends
YIELD_EVERY = 4  # messages handled between two yields to the event loop


class Handling:
    """Calls the handlers of one service. *rebuild* makes its state anew."""

    def __init__(
        self, service: Service, bus: Bus, acks: Acks, rebuild: Callable[[], Awaitable[None]]
    ) -> None:
        self._service, self._acks, self._rebuild = service, acks, rebuild
        self._crashes = Crashes(bus.bucket(BUCKET), service.durable_name)
        self._tick_failures = 0

    async def handle(self, deliveries: Sequence[Delivery]) -> HandledBatch:
        """Call the handler for each. A message that fails is retried later, or buried."""
        batch = HandledBatch()
        for n, delivery in enumerate(deliveries, 1):
            if n % YIELD_EVERY == 0:
                await asyncio.sleep(0)  # handlers rarely wait
            before = IN_HAND.set(None)
            try:
                batch.handled.append(await self._handle_one(delivery))
            except Exception as exc:  # noqa: BLE001 - the one broad except of the platform
                batch = await self._failed(delivery, exc, batch)
            finally:
                IN_HAND.reset(before)
        return batch

    async def tick(self, now: datetime) -> HandledBatch:
        """What the passing of time causes. A tick that fails is logged and left out; several in a row
        end the process."""
        assert self._service.tick
        try:
            effects = self._service.tick(now)
            self._tick_failures = 0
        except Exception as exc:
            self._tick_failures += 1
            log.error("tick failed", service=self._service.name, exc_info=exc)
            if self._tick_failures == TICK_FAILURES:
                raise
            if self._service.rebuild:
                await self._rebuild()
            effects = ()
        return HandledBatch([Handled([effect]) for effect in effects])  # one may be refused alone

    async def _failed(
        self, delivery: Delivery, exc: Exception, batch: HandledBatch
    ) -> HandledBatch:
        """With ``rebuild``, make the state anew and handle *delivery* once more in its place."""
        if self._service.rebuild and not changed_nothing(exc):
            log.error("handler failed", message=delivery.id, exc_info=exc)
            await self._service.sink.put(batch)
            await self._rebuild()
            batch = HandledBatch()
            try:
                batch.handled.append(await self._handle_one(delivery))
                return batch
            except Exception as again:  # noqa: BLE001 - as above
                exc = again
            if not changed_nothing(exc):
                await self._rebuild()
        await self._acks.fail(delivery, exc)
        return batch

    async def _handle_one(self, delivery: Delivery) -> Handled:
        """Raises what the handler does, Malformed or Deadly."""
        received = self._read(delivery)
        IN_HAND.set(received.message)
        handler = self._service.handlers[type(received.message)]
        if self._crashes.suspects(delivery):
            async with self._crashes.noted(delivery):
                caused = await handler(received)
        else:
            caused = await handler(received)
        name = self._service.name
        effects = [Outgoing(m, f"{name}/{delivery.id}/{n}") for n, m in enumerate(caused)]
        return Handled(effects, delivery)

    def _read(self, delivery: Delivery) -> Received[Message]:
        data, subject = delivery.data, delivery.subject
        if len(data) > LARGEST:
            raise Malformed(f"message has {len(data)} bytes, the limit is {LARGEST}")
        kind = self._service.by_subject.get(subject)
        if kind is None:
            raise Malformed(f"{self._service.name} does not take {subject}")
        try:
            message = arrived(kind.model_validate_json(data), delivery)
        except ValueError as exc:  # ValidationError is one
            raise Malformed(in_words(exc)) from exc
        return Received(message, subject, delivery.sequence, delivery.attempt, delivery.at, data)
