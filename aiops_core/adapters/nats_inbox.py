"""The messages of one durable consumer: what has arrived, what is in flight, and its upkeep."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

from nats.aio.msg import Msg

from aiops_core.adapters.nats_connection import FAILURES, NatsConnection, cancellable
from aiops_core.adapters.nats_consumer import DurableConsumer
from aiops_core.adapters.nats_publish import dead_letter, store
from aiops_core.adapters.nats_pull import PullRequests, PullsOnDemand
from aiops_core.errors import first_of
from aiops_core.runtime.bus import Delivery

KEEPALIVE = 1.5  # seconds between two signs that a message is still being handled
RENEW_APART = 0.2  # seconds at least between two looks whether the consumer exists
ACK, IN_PROGRESS, NAK, TERM = b"+ACK", b"+WPI", b"-NAK", b"+TERM"


class NatsDelivery:
    """*generation* is the one of its stream, *touched* the moment (monotonic seconds) of its
    arrival or of the last sign that it is in progress."""

    def __init__(self, message: Msg, inbox: NatsInbox, generation: int) -> None:
        metadata = message.metadata
        self.subject, self.data, self.address = message.subject, message.data, message.reply
        self.sequence = metadata.sequence.stream
        self.id = f"{metadata.stream}/{self.sequence}"
        self.attempt = metadata.num_delivered
        self.at: datetime = metadata.timestamp
        self.pending = metadata.num_pending  # for the group, after this one
        self.generation, self.touched = generation, time.monotonic()
        self._inbox = inbox

    async def retry(self, delay: float) -> None:
        await self._inbox.retry(self, delay)

    async def bury(self, reason: str) -> bool:
        return await self._inbox.bury(self, reason)


class NatsInbox:
    """Inboxes that are read together share *arrived*, which is set when something arrives."""

    def __init__(
        self,
        connection: NatsConnection,
        consumer: DurableConsumer,
        owner: str,
        arrived: asyncio.Event,
        *,
        on_demand: bool = False,
    ) -> None:
        self.stream = consumer.stream
        self.more = False  # the stream has more for the group than has arrived
        self._connection, self._consumer, self._owner = connection, consumer, owner
        self._floor = consumer.ack_floor
        self._waiting: list[NatsDelivery] = []  # arrived and not taken
        self._in_flight: dict[str, NatsDelivery] = {}  # arrived and not acknowledged
        self._repeated: list[NatsDelivery] = []  # acknowledged before, and delivered again
        self._doubts = 0
        self._wakeup = asyncio.Event()  # the upkeep has something to do
        self._pulls = (PullsOnDemand if on_demand else PullRequests)(
            connection,
            consumer.stream,
            consumer.group,
            deliver=self._add,
            gone=self._doubt,
            arrived=arrived,
        )

    async def take(self, most: int) -> Sequence[Delivery]:
        await self._pulls.top_up()
        while not self._waiting:
            await self._pulls.wait(most)
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        return taken

    async def request(self) -> None:
        """Let the broker send more."""
        await self._pulls.top_up()

    @property
    def first(self) -> NatsDelivery | None:
        return self._waiting[0] if self._waiting else None

    def pop(self) -> NatsDelivery:
        """Take the first message that has arrived."""
        return self._waiting.pop(0)

    async def lag(self) -> int:
        with contextlib.suppress(*FAILURES):
            info = await self._consumer.info()
            return (info.num_pending or 0) + (info.num_ack_pending or 0)
        return len(self._in_flight)

    async def ack(self, handled: Sequence[Delivery]) -> None:
        """Of a message that was delivered twice meanwhile the second delivery is acknowledged."""
        present = [self._in_flight.pop(one.id, None) for one in handled if self._knows(one)]
        deliveries = [delivery for delivery in present if delivery]
        for delivery in deliveries:
            self._floor.acked(delivery.sequence)
        await self._answer(deliveries, ACK)

    async def retry(self, delivery: NatsDelivery, delay: float) -> None:
        if self._knows(delivery):
            self._in_flight.pop(delivery.id, None)
            self._consumer.retried(delivery.sequence)
            await self._answer([delivery], NAK + f' {{"delay": {int(delay * 1e9)}}}'.encode())

    async def bury(self, delivery: NatsDelivery, reason: str) -> bool:
        most = self._connection.client.max_payload
        new = await store(self._connection, [dead_letter(delivery, self._owner, reason, most)])
        if self._knows(delivery):
            self._in_flight.pop(delivery.id, None)
            self._floor.acked(delivery.sequence)
            await self._answer([delivery], TERM)
        return bool(new)

    def _knows(self, delivery: Delivery) -> bool:
        """Not one of a former stream: its answer would be about another message."""
        generation = self._floor.generation
        return isinstance(delivery, NatsDelivery) and delivery.generation == generation

    async def _answer(self, deliveries: Sequence[NatsDelivery], answer: bytes) -> None:
        """An answer that is lost means one delivery more; ids keep the effects single."""
        with contextlib.suppress(*FAILURES), cancellable():
            for delivery in deliveries:
                await self._connection.client.publish(delivery.address, answer)

    def _add(self, message: Msg) -> None:
        delivery = NatsDelivery(message, self, self._floor.generation)
        self._consumer.delivered(delivery.sequence)
        self.more = delivery.pending > 0
        if self._floor.is_acked(delivery.sequence):
            self._repeated.append(delivery)
            self._wakeup.set()
        else:
            self._in_flight[delivery.id] = delivery
            self._waiting.append(delivery)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[NatsInbox]:
        """The upkeep runs meanwhile; a bug in it ends the body."""
        self._connection.on_loss.append(self._doubt)
        try:
            await self._persistently(self._ensure)
            with contextlib.suppress(*FAILURES):
                self.more = bool((await self._consumer.info()).num_pending)
            async with _beside(
                self._keep_up,
                self._keep_alive,
                self._consumer.keep_ack_floor,
                self._connection.failure,
            ):
                yield self
        finally:
            self._connection.on_loss.remove(self._doubt)
            await self._pulls.unsubscribe()
            # Handed back, messages in flight are delivered again at once.
            await self._answer(list(self._in_flight.values()), NAK)

    def _doubt(self) -> None:
        """The consumer may be gone, and the pull requests with it: the upkeep looks."""
        self._pulls.allowed = False
        self._doubts += 1
        self._wakeup.set()

    async def _persistently(self, work: Callable[[], Awaitable[None]]) -> None:
        operation = f"keep the consumer {self._consumer.group} of {self.stream}"
        await self._connection.persistently(operation, work)

    async def _ensure(self) -> None:
        await self._pulls.subscribe()
        doubts = self._doubts
        if await self._consumer.ensure():  # in a new stream, which knows no former delivery
            self._in_flight.clear()
            self._repeated.clear()
        self._pulls.allowed = doubts == self._doubts

    async def _renew(self) -> None:
        await self._ensure()
        await self._pulls.renew()

    async def _keep_up(self) -> None:
        """Keep the consumer, and pull requests to it."""
        while True:
            self._wakeup.clear()
            if not self._waiting:
                self._pulls.check()
            if not self._pulls.allowed:
                await self._persistently(self._renew)
                await asyncio.sleep(RENEW_APART)
            repeated, self._repeated = self._repeated, []
            await self._answer(repeated, ACK)
            if not self._waiting:
                await self._pulls.top_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEPALIVE / 3):
                    await self._wakeup.wait()

    async def _keep_alive(self) -> None:
        """Tell the broker that the messages in flight are in progress."""
        while True:
            await asyncio.sleep(KEEPALIVE / 3)
            now = time.monotonic()
            late = [one for one in self._in_flight.values() if now - one.touched >= KEEPALIVE]
            for delivery in late:
                delivery.touched = now
            await self._answer(late, IN_PROGRESS)


@contextlib.asynccontextmanager
async def _beside(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run *loops* while the body runs. The end of one ends the body; its error is raised as is."""

    async def run(loop: Callable[[], Awaitable[None]]) -> None:
        await loop()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(loop)) for loop in loops]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as problems:
        raise first_of(problems) from problems
