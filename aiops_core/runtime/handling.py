"""From deliveries to effects: each message is read, handled, and tried again when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from aiops_core.errors import Premature, Reject, Unavailable, in_words
from aiops_core.models import Message
from aiops_core.runtime.acks import Acks
from aiops_core.runtime.bus import LARGEST, Bus, Delivery, Outgoing
from aiops_core.runtime.crashes import BUCKET, Crashes
from aiops_core.runtime.received import Handled, HandledBatch, Received
from aiops_core.runtime.service import Service, arrived
from aiops_core.utils import IN_HAND, core_logger

log = core_logger("handling")

TICK_FAILURES = 5  # in a row, after which the process ends
YIELD_EVERY = 4  # messages handled between two yields to the event loop
MALFORMED = "malformed"  # the outcome of a message that cannot be read
CHANGED_NOTHING = (Reject, Unavailable, Premature)  # a handler raises them before it changes state


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
        """What the passing of time causes. A tick that fails is logged and left out; several in a
        row end the process."""
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
        if self._service.rebuild and not isinstance(exc, CHANGED_NOTHING):
            log.error("handler failed", message=delivery.id, exc_info=exc)
            await self._service.sink.put(batch)
            await self._rebuild()
            batch = HandledBatch()
            try:
                batch.handled.append(await self._handle_one(delivery))
                return batch
            except Exception as again:  # noqa: BLE001 - as above
                exc = again
            if not isinstance(exc, CHANGED_NOTHING):
                await self._rebuild()
        await self._acks.fail(delivery, exc)
        return batch

    async def _handle_one(self, delivery: Delivery) -> Handled:
        """Raises what the handler does, or Reject."""
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
            raise Reject(f"message has {len(data)} bytes, the limit is {LARGEST}", MALFORMED)
        kind = self._service.by_subject.get(subject)
        if kind is None:
            raise Reject(f"{self._service.name} does not take {subject}", MALFORMED)
        try:
            message = arrived(kind.model_validate_json(data), delivery)
        except ValueError as exc:  # ValidationError is one
            raise Reject(in_words(exc), MALFORMED) from exc
        return Received(message, subject, delivery.sequence, delivery.attempt, delivery.at, data)
