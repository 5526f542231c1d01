"""The runtime of every service: recover, subscribe, consume, tick, drain.

A handler takes a message in its envelope and returns its effects, the messages that it causes. The
sink of the service ends the path. It queues what ``put`` gives it, and ``run`` works the queue off:

* ``Publishing`` publishes the effects of a message, waits until the broker has stored all of them
  (PubAck), then acknowledges the message. A message without effects is acknowledged in its turn.
* ``Storing`` flushes the rows that the handlers have queued, then acknowledges their messages.

Delivery is at least once: messages that a killed process had not acknowledged come again after
``ack_wait`` (5 s). Effects happen once: the ``Nats-Msg-Id`` of an effect is
service/stream/sequence/n of its cause, and the broker drops an id that it has stored within two
minutes. Readers know later copies: correlation by ``anomaly_id``, incident-api by ``revision``.
Rows replace themselves by their key.

``recover`` brings state back before the first message: detection from its snapshot and the stream
behind it, enrichment from tables and the newest anomalies, correlation and llm-enricher from
published facts, incident-api from its tables. ``docs/architecture.md`` has a page about it.

A message that cannot be read becomes a dead letter at once; one whose handler raises is tried again
after 1, 5, 25 and 120 s first. ``Unavailable`` (the broker or store is away) is waited for. With
``rebuild``, state is made anew that a raising handler may have left half changed, or that counts an
effect which the broker refuses for good (too large).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.acks import Acks
from aiops_core.runtime.backoff import until_available
from aiops_core.runtime.bus import Bus, Delivery, Inbox
from aiops_core.runtime.handling import Handling
from aiops_core.runtime.service import Service, utc_now
from aiops_core.runtime.stopping import LAST, Stop
from aiops_core.utils import core_logger

log = core_logger("runtime")

LAG_EVERY = 5.0  # seconds


@dataclass
class Runtime:
    """Runs one service on one bus. Knows no signals and no ports, so tests can embed it."""

    service: Service
    bus: Bus
    readiness: Readiness
    clock: Callable[[], datetime] = utc_now
    stop: Stop = field(default_factory=Stop)
    _handling: Handling = field(init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # no tick within a batch, in order

    def __post_init__(self) -> None:
        self._tuning, self._sink = self.service.tuning, self.service.sink

    async def run(self) -> None:
        """Serve until ``stop`` is set, then finish what is in flight."""
        async with self.stop.limits(self._tuning.drain_timeout + LAST):
            async with self.stop.limits():
                await self._recover()
            async with self._subscribed() as inbox:
                if inbox and not self.stop.is_set():
                    await self._serve(inbox)
        self.readiness.state = "stopped"
        log.info("stopped", service=self.service.name)

    async def _recover(self) -> None:
        if self.service.recover:
            self.readiness.state = "recovering"
            await until_available(self.service.recover, self.bus)

    @contextlib.asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[Inbox | None]:
        """The inbox; None when the stop came first."""
        inbox = None
        async with contextlib.AsyncExitStack() as subscription:

            def subscribe() -> Awaitable[Inbox]:
                return subscription.enter_async_context(
                    self.bus.subscribe(
                        tuple(self.service.by_subject),
                        group=self.service.durable_name,
                        owner=self.service.name,
                        max_ack_pending=self._tuning.max_ack_pending,
                        pull_on_demand=self._tuning.pull_on_demand,
                    )
                )

            async with self.stop.limits():
                inbox = await until_available(subscribe)
            yield inbox

    async def _serve(self, inbox: Inbox) -> None:
        service = self.service
        acks = Acks(service.name, service.path, inbox)
        self._sink.bind(acks, self.bus, self.clock)
        self._handling = Handling(service, self.bus, acks, self._rebuild)
        loops = [self._sink.run(), self._watch_lag(inbox), self._announce_drain()]
        loops += [work() for work in service.background]
        if service.tick:
            loops.append(self._tick_forever())
        self.readiness.state = "serving"
        log.info("serving", service=service.name, subjects=tuple(service.by_subject))
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(loop) for loop in loops]
            try:
                await self._consume_and_drain(inbox)
            finally:
                for task in running:
                    task.cancel()

    async def _consume_and_drain(self, inbox: Inbox) -> None:
        async with self.stop.limits(self._tuning.drain_timeout) as limit:
            await self._consume(inbox)
            await self._sink.drain()
        if limit.expired():  # a normal end: what is not acknowledged will be delivered again
            log.warning("drain timeout", service=self.service.name)

    async def _consume(self, inbox: Inbox) -> None:
        if self._tuning.concurrency > 1:
            return await self._consume_concurrently(inbox)
        while deliveries := await self._next(inbox, self._tuning.max_batch):
            started = time.monotonic()
            async with self._turn:
                await self._refresh()
                await self._sink.put(await self._handling.handle(deliveries))
            if len(deliveries) < self._tuning.max_batch:
                await self._linger(started)

    async def _consume_concurrently(self, inbox: Inbox) -> None:
        slots = asyncio.Semaphore(self._tuning.concurrency)

        async def handle(deliveries: Sequence[Delivery]) -> None:
            await self._sink.put(await self._handling.handle(deliveries))

        async with asyncio.TaskGroup() as group:
            await slots.acquire()
            while one := await self._next(inbox, 1):
                group.create_task(handle(one)).add_done_callback(lambda _: slots.release())
                await slots.acquire()  # a full service stops pulling: back-pressure

    async def _next(self, inbox: Inbox, most: int) -> Sequence[Delivery]:
        """Nothing once the stop is set, however much waits."""
        deliveries: Sequence[Delivery] = ()
        if not self.stop.is_set():
            async with self.stop.limits():
                deliveries = await until_available(inbox.take, most)
        return deliveries

    async def _linger(self, started: float) -> None:
        left = started + self._tuning.linger - time.monotonic()
        if left > 0:
            async with self.stop.limits():
                await asyncio.sleep(left)

    async def _rebuild(self) -> None:
        """Publish everything that was decided, then make the state anew from the streams."""
        await self._sink.drain()
        self._sink.refused = False
        log.warning("rebuilding state", service=self.service.name)
        await self._recover()
        self.readiness.state = "draining" if self.stop.is_set() else "serving"

    async def _refresh(self) -> None:
        """Rebuild state that tells of an effect which the broker has refused."""
        if self.service.rebuild and self._sink.refused:
            await self._rebuild()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(self.service.tick_every)
            async with self._turn:
                await self._refresh()
                batch = await self._handling.tick(self.clock())
                if batch.handled:
                    await self._sink.put(batch)

    async def _announce_drain(self) -> None:
        await self.stop.wait()
        self.readiness.state = "draining"
        log.info("draining", service=self.service.name, timeout=self._tuning.drain_timeout)

    async def _watch_lag(self, inbox: Inbox) -> None:
        lag = metrics.CONSUMER_LAG.labels(self.service.durable_name)
        while True:
            lag.set(await until_available(inbox.lag))
            await asyncio.sleep(LAG_EVERY)
