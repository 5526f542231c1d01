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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import aiops_core
from aiops_core import metrics
from aiops_core.bus import LARGEST, UNSETTLED, Bus, Delivery, Inbox, Outgoing, Stored
from aiops_core.errors import Reject, Unavailable, in_words
from aiops_core.models import LogEntry, M, Message, MetricSample
from aiops_core.outbox import Outbox, Parcel
from aiops_core.probe import Readiness
from aiops_core.utils import IN_HAND, StructuredLogger

log = StructuredLogger.get_logger(
    name="runtime", service="aiops_core", version=aiops_core.__version__
)

Handler = Callable[[Any], Awaitable[Sequence[Message]]]
Merge = Callable[[Sequence[Outgoing]], Sequence[Outgoing]]
Tick = Callable[[datetime], Sequence[Outgoing]]
Background = Callable[[], Awaitable[None]]

BACKOFF = (1.0, 5.0, 30.0, 120.0)  # seconds before the 2nd, 3rd, ... delivery; then dead letter
COMMIT_RETRY = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries while the store is away
LAG_EVERY = 5.0  # seconds
BREATHE = 4  # messages handled without letting others of the process have a turn


@dataclass(frozen=True)
class Service:
    """What a service is made of; ``recipe()`` builds it, the runtime and the tests run it.

    *group* is its durable consumer, by default its name; a process with two needs two. *stage* is
    stamped on every effect. With ``concurrency=1`` messages are handled one after the other
    in the order of the stream, at most *batch* of them before what they cause may go; with more, each
    on its own. *recover* rebuilds state before the first message. *merge* may join the effects of one
    batch. *commit* makes a batch durable before it is acknowledged; with *settled*, acknowledgements
    wait for that as well, while the next batches go on: until all that has been handled so far is
    durable; at most *unsettled* messages may wait so. Messages of a *patient* one stay with the broker until
    it takes them. *sees* hears of each message just before it is handled. *tick* lets time pass.
    *background* are loops that live with the service.
    """

    name: str
    handlers: Mapping[type[Message], Handler]
    group: str | None = None
    stage: str | None = None
    path: Literal["fast", "insight"] = "fast"
    concurrency: int = 1
    batch: int = 32
    pace: float = (
        0.0  # seconds between the starts of two batches at least; what arrives waits together
    )
    patient: bool = False
    grace: float = 8.0  # seconds that messages in flight get to finish after a stop
    recover: Callable[[Bus], Awaitable[None]] | None = None
    merge: Merge | None = None
    commit: Callable[[], Awaitable[None]] | None = None
    settled: Callable[[], Awaitable[None]] | None = None
    unsettled: int = UNSETTLED
    sees: Callable[[Delivery], None] | None = None
    tick: Tick | None = None
    tick_every: float = 1.0  # seconds
    background: Sequence[Background] = ()

    @cached_property
    def by_subject(self) -> dict[str, type[Message]]:
        return {kind.subject: kind for kind in self.handlers}


def utc_now() -> datetime:
    return datetime.now(UTC)


def arrived(message: M, stored: Delivery | Stored) -> M:
    """*message*: an entry of a client that does not stamp was ingested when the broker stored it."""
    bare = isinstance(message, LogEntry | MetricSample) and "ingest" not in message.stages
    return message.stamped("ingest", stored.at) if bare else message


@dataclass
class Runtime:
    """Runs one service on one bus. Knows no signals and no ports, so tests can embed it."""

    service: Service
    bus: Bus
    readiness: Readiness
    clock: Callable[[], datetime] = utc_now
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    rest: float = 0.0  # seconds; see the outbox
    _inbox: Inbox = field(init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # a tick never falls into a batch
    _acks: set[asyncio.Task[None]] = field(default_factory=set)  # that wait to be settled

    def __post_init__(self) -> None:
        self._outbox = Outbox(self._send, self.rest)
        stage = self.service.stage
        self._latency = metrics.STAGE_LATENCY.labels(stage) if stage else None

    async def run(self) -> None:
        """Serve until ``stop`` is set, then finish what is in flight, at most for the grace."""
        service = self.service
        if service.recover:
            self.readiness.state = "recovering"
            await self._unless_stopped(_until_available(service.recover, self.bus))
        subjects = tuple(service.by_subject)
        group = service.group or service.name
        async with self.bus.subscribe(
            subjects,
            group=group,
            owner=service.name,
            unsettled=service.unsettled,
            patient=service.patient,
        ) as inbox:
            if not self.stop.is_set():
                self.readiness.state = "serving"
                log.info("serving", service=service.name, subjects=subjects)
                self._inbox = inbox
                await self._serve(inbox)
        self.readiness.state = "stopped"
        log.info("stopped", service=service.name)

    async def _serve(self, inbox: Inbox) -> None:
        loops: list[Awaitable[None]] = [self._watch_lag(inbox), self._outbox.run()]
        loops += [work() for work in self.service.background]
        if self.service.tick:
            loops.append(self._tick_forever(self.service.tick))
        async with _companions(loops):
            try:
                await self._consume_within_grace(inbox)
            except TimeoutError:  # a normal end: what is unsettled will be delivered again
                log.warning("grace is over", service=self.service.name, grace=self.service.grace)

    async def _consume_within_grace(self, inbox: Inbox) -> None:
        async with asyncio.timeout(None) as limit:
            drain = asyncio.create_task(self._limit_drain(limit))
            try:
                await self._consume(inbox)
                await self._outbox.empty()
                await asyncio.gather(*self._acks)
            finally:
                drain.cancel()
                for waiting in self._acks:
                    waiting.cancel()

    async def _limit_drain(self, limit: asyncio.Timeout) -> None:
        await self.stop.wait()
        self.readiness.state = "draining"
        log.info("draining", service=self.service.name, grace=self.service.grace)
        limit.reschedule(asyncio.get_running_loop().time() + self.service.grace)

    async def _unless_stopped(self, work: Awaitable[Any]) -> Any:
        """The result of *work*, or None when the stop comes first."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            for task in (working, stopping):
                task.cancel()

    async def _consume(self, inbox: Inbox) -> None:
        if self.service.concurrency == 1:
            return await self._consume_in_order(inbox)
        slots = asyncio.Semaphore(self.service.concurrency)
        async with asyncio.TaskGroup() as tasks:
            await slots.acquire()
            while batch := await self._next(inbox, 1):
                tasks.create_task(self._settle(batch)).add_done_callback(lambda _: slots.release())
                await slots.acquire()  # a full service stops pulling: back-pressure

    async def _next(self, inbox: Inbox, most: int) -> Sequence[Delivery] | None:
        """What waits, None from the stop on, however much still waits."""
        if self.stop.is_set():
            return None
        batch: Sequence[Delivery] | None = await self._unless_stopped(inbox.take(most))
        return batch

    async def _consume_in_order(self, inbox: Inbox) -> None:
        durable = self.service.commit or self.service.settled
        while batch := await self._next(inbox, self.service.batch):
            started = time.monotonic()
            async with self._turn:
                await (self._settle(batch) if durable else self._decide(batch))
            rest = self.service.pace - (time.monotonic() - started)
            if rest > 0:
                await self._unless_stopped(asyncio.sleep(rest))

    async def _decide(self, batch: Sequence[Delivery]) -> None:
        """Handle *batch* and leave the rest to the outbox: the next batch need not wait for the broker."""
        await self._outbox.put(await self._handled(batch))

    async def _send(self, parcels: Sequence[Parcel]) -> None:
        """Publish what was decided, then acknowledge what caused it."""
        await self._publish([effect for parcel in parcels for effect in parcel.effects])
        for parcel in parcels:
            await self._ack(parcel.handled)
            self._observe(parcel)

    async def _handled(self, batch: Sequence[Delivery]) -> Parcel:
        """What *batch* causes; what cannot be handled is retried later or buried."""
        started = time.perf_counter()
        handled: list[Delivery] = []
        effects: list[Outgoing] = []
        for n, delivery in enumerate(batch):
            if n % BREATHE == BREATHE - 1:
                await asyncio.sleep(0)  # handlers rarely wait: others of this process want a turn
            caused = await self._effects(delivery)
            if caused is not None:
                handled.append(delivery)
                effects += caused
        return Parcel(effects, handled, started)

    async def _settle(self, batch: Sequence[Delivery]) -> None:
        """Handle *batch*; make it durable; publish what it causes; acknowledge its messages."""
        parcel = await self._handled(batch)
        if parcel.handled and self.service.commit:
            await _until_available(self.service.commit)
        await self._publish(parcel.effects)
        if self.service.settled:
            acking = asyncio.create_task(self._ack(parcel.handled, self.service.settled()))
            self._acks.add(acking)
            acking.add_done_callback(self._acks.discard)
        else:
            await self._ack(parcel.handled)
        self._observe(parcel)

    def _observe(self, parcel: Parcel) -> None:
        if parcel.handled:
            seconds = time.perf_counter() - parcel.started
            metrics.HANDLE_SECONDS.labels(self.service.name).observe(seconds)

    async def _ack(
        self, handled: Sequence[Delivery], settled: Awaitable[None] | None = None
    ) -> None:
        if settled:
            await settled
        await self._inbox.ack(handled)
        metrics.HANDLED.labels(self.service.name, "ok").inc(len(handled))

    async def _publish(self, effects: Sequence[Outgoing]) -> None:
        if not effects:
            return
        merged = self.service.merge(effects) if self.service.merge else effects
        await self.bus.publish([self._stamped(effect) for effect in merged])

    def _stamped(self, effect: Outgoing) -> Outgoing:
        stage, message = self.service.stage, effect.message
        if stage is None or self._latency is None:
            return effect
        now = self.clock()
        if message.stages:
            waited = (now - max(message.stages.values())).total_seconds()
            self._latency.observe(max(waited, 0.0))
        return Outgoing(message.stamped(stage, now), effect.id)

    async def _effects(self, delivery: Delivery) -> list[Outgoing] | None:
        """What *delivery* causes, or None when it has been buried or put off."""
        name = self.service.name
        try:
            message = self._decode(delivery)
        except (Reject, ValueError) as exc:  # ValidationError is a ValueError
            await self._bury(delivery, "malformed", in_words(exc))
            return None
        before = IN_HAND.set(message)
        if self.service.sees:
            self.service.sees(delivery)
        try:
            caused = await self.service.handlers[type(message)](message)
        except Reject as exc:
            await self._bury(delivery, "rejected", str(exc))
        except Exception as exc:  # noqa: BLE001 - the one place where a bug may not end the service
            await self._postpone(delivery, exc)
        else:
            return [Outgoing(m, f"{name}/{delivery.id}/{n}") for n, m in enumerate(caused)]
        finally:
            IN_HAND.reset(before)
        return None

    def _decode(self, delivery: Delivery) -> Message:
        if len(delivery.data) > LARGEST:
            raise Reject(f"message has {len(delivery.data)} bytes, the limit is {LARGEST}")
        message = self.service.by_subject[delivery.subject].model_validate_json(delivery.data)
        return arrived(message, delivery)

    async def _bury(self, delivery: Delivery, outcome: str, reason: str) -> None:
        name = self.service.name
        log.warning("buried", service=name, message=delivery.id, outcome=outcome, reason=reason)
        is_new = await delivery.bury(reason)
        metrics.HANDLED.labels(name, outcome).inc()
        if not is_new:
            return  # the letter of another consumer of this service, or of this one before a kill
        metrics.DEAD_LETTERS.labels(name).inc()
        fast = self.service.path == "fast"
        (metrics.FAST_PATH_REQUESTS if fast else metrics.INSIGHT_PATH_REQUESTS).inc()
        (metrics.FAST_PATH_ERRORS if fast else metrics.INSIGHT_PATH_ERRORS).inc()

    async def _postpone(self, delivery: Delivery, exc: Exception) -> None:
        if delivery.attempt > len(BACKOFF):
            log.error("giving up", attempt=delivery.attempt, exc_info=exc)
            return await self._bury(delivery, "abandoned", repr(exc))
        delay = BACKOFF[delivery.attempt - 1]
        log.warning("will retry", attempt=delivery.attempt, delay=delay, exc_info=exc)
        await delivery.retry(delay)
        metrics.HANDLED.labels(self.service.name, "failed").inc()

    async def _tick_forever(self, tick: Tick) -> None:
        while True:
            await asyncio.sleep(self.service.tick_every)
            async with self._turn:
                if effects := tick(self.clock()):
                    await self._outbox.put(Parcel(effects))

    async def _watch_lag(self, inbox: Inbox) -> None:
        lag = metrics.CONSUMER_LAG.labels(self.service.group or self.service.name)
        while True:
            lag.set(await inbox.lag())
            await asyncio.sleep(LAG_EVERY)


async def _until_available(work: Callable[..., Awaitable[None]], *args: object) -> None:
    """Do *work*, again and again while what it needs is away."""
    tries = 0
    while True:
        try:
            return await work(*args)
        except Unavailable as exc:
            delay = COMMIT_RETRY[min(tries, len(COMMIT_RETRY) - 1)]
            log.warning("waiting", reason=str(exc), delay=delay)
            await asyncio.sleep(delay)
            tries += 1


@contextlib.asynccontextmanager
async def _companions(loops: Sequence[Awaitable[None]]) -> AsyncIterator[None]:
    """Run *loops* while the body runs; a loop that fails fails the body, which ends them all."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_forever(loop)) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _forever(loop: Awaitable[None]) -> None:
    await loop
