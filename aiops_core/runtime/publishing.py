"""The sink of services that cause messages: effects are published, then their causes acked.

While some effects are being published the next gather, and then go together: the broker syncs its
disk once for many, and handling never waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile

from aiops_core.errors import Reject
from aiops_core.models import Message
from aiops_core.observability import metrics
from aiops_core.runtime.acks import Acks
from aiops_core.runtime.backoff import until_available
from aiops_core.runtime.bus import Bus, Outgoing
from aiops_core.runtime.received import Handled, HandledBatch
from aiops_core.utils import core_logger

log = core_logger("publishing")

WAITING = 2048  # messages and ticks whose effects may wait; then handling waits as well

Send = Callable[[Sequence[HandledBatch]], Awaitable[None]]
Merge = Callable[[Sequence[Outgoing]], Sequence[Outgoing]]


@dataclass
class Publishing:
    """*stage* is stamped on every effect. *merge* may join effects that are published together.
    *on_published* gets the messages that the broker did not have before.

    An effect that the broker refuses buries its cause, and sets ``refused``.
    """

    stage: str | None = None
    merge: Merge | None = None
    on_published: Callable[[Sequence[Message]], None] | None = None

    def bind(self, acks: Acks, bus: Bus, clock: Callable[[], datetime]) -> None:
        self._acks, self._bus, self._clock = acks, bus, clock
        self._outbox = Outbox(self._send)
        self._latency = metrics.STAGE_LATENCY.labels(self.stage) if self.stage else None
        self.refused = False

    async def put(self, batch: HandledBatch) -> None:
        await self._outbox.put(batch)

    async def run(self) -> None:
        await self._outbox.run()

    async def drain(self) -> None:
        """Return when everything that was put is published and acknowledged."""
        await self._outbox.empty()

    def mark(self, work: Callable[[], Awaitable[None]]) -> Mark:
        """Have *work* done when everything that was put so far is published and nothing later."""
        return self._outbox.mark(work)

    async def reach(self, mark: Mark) -> None:
        """Return when the work of *mark* is done."""
        await self._outbox.reach(mark)

    async def _send(self, waiting: Sequence[HandledBatch]) -> None:
        handled = [one for batch in waiting for one in batch.handled]
        refused = await self._publish(handled)
        for one, reason in refused.items():
            await self._refuse(one, reason)
        await self._acks.ack([d for one in handled if (d := one.delivery) and one not in refused])
        for batch in waiting:
            self._acks.observe(batch)

    async def _publish(self, handled: Sequence[Handled]) -> Mapping[Handled, str]:
        """Store all effects, in order. Returns those that the broker refuses, with the reason."""
        effects = [effect for one in handled for effect in one.effects]
        try:
            await self._store(self.merge(effects) if self.merge else effects)
        except Reject:
            return await self._publish_apart(handled)
        return {}

    async def _publish_apart(self, handled: Sequence[Handled]) -> Mapping[Handled, str]:
        """Store the effects of one message at a time, to know which is refused. What was stored
        before is not stored twice: its ids are the same."""
        refused = {}
        for one in handled:
            try:
                await self._store(one.effects)
            except Reject as exc:
                refused[one] = str(exc)
        return refused

    async def _store(self, effects: Sequence[Outgoing]) -> None:
        if effects:
            stamped = [self._stamped(effect) for effect in effects]
            new = await until_available(self._bus.publish, stamped)
            if self.on_published:
                self.on_published([effect.message for effect in stamped if effect.id in new])

    def _stamped(self, effect: Outgoing) -> Outgoing:
        message = effect.message
        if self.stage is None or self._latency is None:
            return effect
        now = self._clock()
        if message.stages:
            waited = (now - max(message.stages.values())).total_seconds()
            self._latency.observe(max(waited, 0.0))
        return Outgoing(message.stamped(self.stage, now), effect.id)

    async def _refuse(self, one: Handled, reason: str) -> None:
        metrics.OVERSIZED.labels(self._acks.service).inc()
        if one.delivery is None:  # no message is to blame that could be buried
            log.error("effect of a tick is lost", service=self._acks.service, reason=reason)
            return
        self.refused = True
        await self._acks.bury(one.delivery, "refused", reason)


@dataclass
class Mark:
    """A place between two batches that are never published together, and what to do there."""

    work: Callable[[], Awaitable[None]]
    reached: asyncio.Event = field(default_factory=asyncio.Event)


class Outbox:
    """A queue in order; *send* gets everything that waits, up to the next mark."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[HandledBatch | Mark] = []
        self._changed = asyncio.Condition()
        self._sending = False

    async def put(self, batch: HandledBatch) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._load < WAITING)
            self._waiting.append(batch)
            self._changed.notify_all()

    async def run(self) -> None:
        """Ends by cancellation, or with what *send* raises."""
        while True:
            match await self._take():
                case Mark() as mark:
                    await mark.work()
                    mark.reached.set()
                case batches:
                    await self._send(batches)
            async with self._changed:
                self._sending = False
                self._changed.notify_all()

    def mark(self, work: Callable[[], Awaitable[None]]) -> Mark:
        self._waiting.append(mark := Mark(work))
        return mark

    async def reach(self, mark: Mark) -> None:
        async with self._changed:
            self._changed.notify_all()  # the mark was set without a lock, and nobody may know of it
        await mark.reached.wait()

    async def empty(self) -> None:
        """Return when everything has been sent."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting and not self._sending)

    @property
    def _load(self) -> int:
        return sum(len(one.handled) for one in self._waiting if isinstance(one, HandledBatch))

    async def _take(self) -> Sequence[HandledBatch] | Mark:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting)
            self._sending = True
            self._changed.notify_all()
            if isinstance(first := self._waiting[0], Mark):
                del self._waiting[0]
                return first
            taken = [*takewhile(lambda one: isinstance(one, HandledBatch), self._waiting)]
            del self._waiting[: len(taken)]
            return [batch for batch in taken if isinstance(batch, HandledBatch)]
