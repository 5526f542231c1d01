"""The service runtime, written once: subscribe, decode, handle, publish, settle, recover, drain.

A service is a name and, per kind of message, one async function from a message to the messages it
causes. Everything else that a process in production needs is here. Delivery is at least once; effects
happen once, because an effect's id derives from the message that caused it and is published before
that message is acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import aiops_core
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import until_available
from aiops_core.runtime.bus import Bus, Delivery, Inbox, Outgoing
from aiops_core.runtime.failures import Oversized, changed_nothing
from aiops_core.runtime.handling import Handling
from aiops_core.runtime.outbox import Caused, Outbox, Parcel
from aiops_core.runtime.publishing import Publisher, check_size
from aiops_core.runtime.service import Background, Handler, Service, Tick, arrived, utc_now
from aiops_core.runtime.stopping import LAST, Stop
from aiops_core.utils import IN_HAND, StructuredLogger

__all__ = [
    "Background",
    "Handler",
    "Runtime",
    "Service",
    "arrived",
    "utc_now",
]

log = StructuredLogger.get_logger(
    name="runtime", service="aiops_core", version=aiops_core.__version__
)

TICK_FAILURES = 5  # in a row, after which the process ends
LAG_EVERY = 5.0  # seconds
BREATHE = 4  # messages handled without letting others of the process have a turn


@dataclass
class Runtime:
    """Runs one service on one bus. Knows no signals and no ports, so tests can embed it."""

    service: Service
    bus: Bus
    readiness: Readiness
    clock: Callable[[], datetime] = utc_now
    stop: Stop = field(default_factory=Stop)
    rest: float = 0.0  # seconds; see the outbox
    _inbox: Inbox = field(init=False)
    _tasks: asyncio.TaskGroup = field(init=False)  # owns everything that goes on beside
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # a tick never falls into a batch
    _acks: set[asyncio.Task[None]] = field(default_factory=set)  # that wait to be settled
    _stale: bool = False  # state tells of effects that the broker has refused

    def __post_init__(self) -> None:
        service = self.service
        self._outbox = Outbox(self._send, self.rest)
        self._publisher = Publisher(
            self.bus, service.stage, service.merge, service.published, self.clock
        )
        self._handling = Handling(service, self.bus)

    async def run(self) -> None:
        """Serve until ``stop`` is set, then finish what is in flight, at most for the grace."""
        async with self.stop.limits(self.service.grace + LAST):
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
        """The inbox, None when the stop came before it was there."""
        service, inbox = self.service, None
        async with contextlib.AsyncExitStack() as subscription:

            def subscribe() -> Awaitable[Inbox]:
                return subscription.enter_async_context(
                    self.bus.subscribe(
                        tuple(service.by_subject),
                        group=service.consumer,
                        owner=service.name,
                        unsettled=service.unsettled,
                        patient=service.patient,
                    )
                )

            async with self.stop.limits():
                inbox = await until_available(subscribe)
            yield inbox

    async def _serve(self, inbox: Inbox) -> None:
        service, self._inbox = self.service, inbox
        loops: list[Awaitable[None]] = [self._watch_lag(inbox), self._outbox.run()]
        loops += [self._say_when_draining(), *(work() for work in service.background)]
        if service.tick:
            loops.append(self._tick_forever(service.tick))
        self.readiness.state = "serving"
        log.info("serving", service=service.name, subjects=tuple(service.by_subject))
        async with asyncio.TaskGroup() as self._tasks:
            beside = [self._tasks.create_task(_forever(loop)) for loop in loops]
            try:
                await self._consume_within_grace(inbox)
            finally:
                for task in (*beside, *self._acks):
                    task.cancel()

    async def _consume_within_grace(self, inbox: Inbox) -> None:
        async with self.stop.limits(self.service.grace) as limit:
            await self._consume(inbox)
            await self._outbox.empty()
            if self._acks:
                await asyncio.wait(self._acks)
        if limit.expired():  # a normal end: what is unsettled will be delivered again
            log.warning("grace is over", service=self.service.name, grace=self.service.grace)

    async def _say_when_draining(self) -> None:
        await self.stop.wait()
        self.readiness.state = "draining"
        log.info("draining", service=self.service.name, grace=self.service.grace)

    async def _consume(self, inbox: Inbox) -> None:
        if self.service.concurrency == 1:
            return await self._consume_in_order(inbox)
        slots = asyncio.Semaphore(self.service.concurrency)
        async with asyncio.TaskGroup() as tasks:
            await slots.acquire()
            while batch := await self._next(inbox, 1):
                tasks.create_task(self._settle(batch)).add_done_callback(lambda _: slots.release())
                await slots.acquire()  # a full service stops pulling: back-pressure

    async def _next(self, inbox: Inbox, most: int) -> Sequence[Delivery]:
        """What waits, nothing from the stop on, however much still waits."""
        batch: Sequence[Delivery] = ()
        if not self.stop.is_set():
            async with self.stop.limits():
                batch = await until_available(inbox.take, most)
        return batch

    async def _consume_in_order(self, inbox: Inbox) -> None:
        while batch := await self._next(inbox, self.service.batch):
            started = time.monotonic()
            async with self._turn:
                await (self._settle(batch) if self.service.stores else self._decide(batch))
            rest = self.service.pace - (time.monotonic() - started)
            if rest > 0:
                async with self.stop.limits():
                    await asyncio.sleep(rest)

    async def _decide(self, batch: Sequence[Delivery]) -> None:
        """Handle *batch* and leave the rest to the outbox: the next need not wait for it."""
        await self._refresh()
        await self._outbox.put(await self._handled(batch))

    async def _settle(self, batch: Sequence[Delivery]) -> None:
        """Handle *batch*; make it durable; publish what it causes; acknowledge its messages."""
        parcel = await self._handled(batch)
        if parcel.caused and self.service.commit:
            await until_available(self.service.commit)
        await self._send([parcel])

    async def _handled(self, batch: Sequence[Delivery]) -> Parcel:
        """What *batch* causes; what cannot be handled is retried later or buried."""
        parcel = Parcel()
        for n, delivery in enumerate(batch):
            if n % BREATHE == BREATHE - 1:
                await asyncio.sleep(0)  # handlers rarely wait: others of this process want a turn
            before = IN_HAND.set(None)
            try:
                parcel = await self._handle(delivery, parcel)
            finally:
                IN_HAND.reset(before)
        return parcel

    async def _handle(self, delivery: Delivery, parcel: Parcel) -> Parcel:
        """*parcel* with what *delivery* causes; another one when the state had to be made anew meanwhile."""
        try:
            parcel.caused.append(Caused(await self._handling.effects(delivery), delivery))
        except Exception as exc:
            if not self.service.rebuild or changed_nothing(exc):
                await self._handling.failed(delivery, exc)
                return parcel
            log.error("handler failed", message=delivery.id, exc_info=exc)
            await self._outbox.put(parcel)
            await self._rebuild()
            return await self._handle_again(delivery)
        return parcel

    async def _handle_again(self, delivery: Delivery) -> Parcel:
        """At once, before the messages that came after it; when it fails again it waits as any other."""
        parcel = Parcel()
        try:
            parcel.caused.append(Caused(await self._handling.effects(delivery), delivery))
        except Exception as exc:  # noqa: BLE001 - as above
            if not changed_nothing(exc):
                await self._rebuild()
            await self._handling.failed(delivery, exc)
        return parcel

    async def _send(self, parcels: Sequence[Parcel]) -> None:
        """Publish what was decided, then acknowledge what caused it."""
        caused = [one for parcel in parcels for one in parcel.caused]
        refused = await self._publisher.publish(caused)
        for one, reason in refused.items():
            await self._refuse(one, reason)
        await self._acknowledge([d for one in caused if (d := one.delivery) and one not in refused])
        for parcel in parcels:
            self._observe(parcel)

    async def _refuse(self, one: Caused, reason: str) -> None:
        """The broker does not take what *one* caused; state that says otherwise is made anew."""
        if one.delivery is None:
            return self._lost(reason)
        metrics.OVERSIZED.labels(self.service.name).inc()
        self._stale = self.service.rebuild
        await self._handling.bury(one.delivery, "refused", reason)

    async def _acknowledge(self, handled: Sequence[Delivery]) -> None:
        if self.service.settled is None:
            return await self._ack(handled)
        acking = self._tasks.create_task(self._ack_settled(handled, self.service.settled))
        self._acks.add(acking)
        acking.add_done_callback(self._acks.discard)

    async def _ack_settled(
        self, handled: Sequence[Delivery], settled: Callable[[], Awaitable[None]]
    ) -> None:
        await until_available(settled)
        await self._ack(handled)

    async def _ack(self, handled: Sequence[Delivery]) -> None:
        if handled:
            await until_available(self._inbox.ack, handled)
            self._handling.settled(handled)

    def _observe(self, parcel: Parcel) -> None:
        if parcel.caused:
            seconds = time.perf_counter() - parcel.started
            metrics.HANDLE_SECONDS.labels(self.service.name).observe(seconds)

    async def _rebuild(self) -> None:
        """Make the state anew out of what is published, once everything is that was decided."""
        assert self.service.recover is not None
        await self._outbox.empty()
        self._stale = False
        log.warning("rebuilding state", service=self.service.name)
        self.readiness.state = "recovering"
        await until_available(self.service.recover, self.bus)
        self.readiness.state = "draining" if self.stop.is_set() else "serving"

    async def _refresh(self) -> None:
        if self._stale:
            await self._rebuild()

    async def _tick_forever(self, tick: Tick) -> None:
        """One that fails is told and left out; one that fails again and again ends the process."""
        failures = 0
        while True:
            await asyncio.sleep(self.service.tick_every)
            async with self._turn:
                await self._refresh()
                try:
                    effects = tick(self.clock())
                except Exception as exc:
                    failures += 1
                    log.error("tick failed", service=self.service.name, exc_info=exc)
                    if failures == TICK_FAILURES:
                        raise
                    if self.service.rebuild:
                        await self._rebuild()
                else:
                    failures = 0
                    await self._put(effects)

    async def _put(self, effects: Sequence[Outgoing]) -> None:
        """Into the outbox, each of a tick's *effects* by itself: one may be refused alone."""
        if caused := [Caused([effect]) for effect in effects if self._fits(effect)]:
            await self._outbox.put(Parcel(caused))

    def _fits(self, effect: Outgoing) -> bool:
        try:
            check_size(effect)
        except Oversized as exc:
            self._lost(str(exc))
            return False
        return True

    def _lost(self, reason: str) -> None:
        """No message is to blame that could be buried."""
        metrics.OVERSIZED.labels(self.service.name).inc()
        log.error("an effect of a tick is lost", service=self.service.name, reason=reason)

    async def _watch_lag(self, inbox: Inbox) -> None:
        lag = metrics.CONSUMER_LAG.labels(self.service.consumer)
        while True:
            lag.set(await until_available(inbox.lag))
            await asyncio.sleep(LAG_EVERY)


async def _forever(loop: Awaitable[None]) -> None:
    await loop
