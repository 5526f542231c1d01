"""The bus over NATS JetStream; ``docs/decisions`` 14, 18 and 19 have the reasons."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import groupby

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from aiops_core.adapters.nats_bucket import NatsBucket
from aiops_core.adapters.nats_connection import NatsConnection, unavailable
from aiops_core.adapters.nats_consumer import DurableConsumer
from aiops_core.adapters.nats_inbox import NatsDelivery, NatsInbox
from aiops_core.adapters.nats_publish import PreparedMessage, prepared, store
from aiops_core.adapters.nats_streams import by_stream, ensure_streams, history, in_order, stream_of
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import Streams
from aiops_core.runtime.bus import (
    MAX_ACK_PENDING,
    Bucket,
    ConsumerOffset,
    Delivery,
    Inbox,
    Outgoing,
    Stored,
)

WAIT_FOR_EARLIER = 1.0  # seconds that messages of one stream wait for earlier ones of another


class NatsBus:
    """One connection to the broker; it reconnects until it is closed."""

    def __init__(self, url: str, limits: Streams, readiness: Readiness, name: str) -> None:
        self._connection = NatsConnection(
            url, name, readiness, lambda js: ensure_streams(js, limits)
        )

    @property
    def client(self) -> Client:
        return self._connection.client

    @property
    def js(self) -> JetStreamContext:
        return self._connection.js

    @property
    def connected(self) -> bool:
        return self._connection.connected

    async def connect(self) -> None:
        """Return when the broker has answered and the streams exist, however long that takes."""
        await self._connection.connect()

    async def close(self) -> None:
        await self._connection.close()

    async def publish(self, outgoing: Sequence[Outgoing]) -> set[str]:
        new: set[str] = set()
        messages = [prepared(item) for item in outgoing]
        for _, of_stream in groupby(messages, key=lambda message: stream_of(message.subject)):
            new |= await self.store(list(of_stream))
        return new

    async def store(self, messages: Sequence[PreparedMessage]) -> set[str]:
        """Store *messages*, which belong to one stream; returns the ids that were new."""
        return await store(self._connection, messages)

    @contextlib.asynccontextmanager
    async def subscribe(
        self,
        subjects: Sequence[str],
        *,
        group: str,
        owner: str | None = None,
        max_ack_pending: int = MAX_ACK_PENDING,
        pull_on_demand: bool = False,
    ) -> AsyncIterator[Inbox]:
        parts = by_stream(subjects)
        arrived = asyncio.Event()
        on_demand = pull_on_demand and len(parts) == 1
        inboxes = []
        async with AsyncExitStack() as stack:
            for part in parts.items():
                consumer = DurableConsumer(self._connection, group, *part, max_ack_pending)
                inbox = NatsInbox(
                    self._connection, consumer, owner or group, arrived, on_demand=on_demand
                )
                inboxes.append(await stack.enter_async_context(inbox.open()))
            yield inboxes[0] if len(inboxes) == 1 else MergedInbox(inboxes, arrived)

    async def history(
        self, subjects: Sequence[str], *, since: datetime | None
    ) -> AsyncIterator[Stored]:
        """Raises Unavailable when the broker goes away meanwhile: the reader starts again."""
        parts = by_stream(subjects).items()
        async for stored in in_order([history(self.js, *part, since) for part in parts]):
            yield stored

    async def newest(self, subject: str) -> Stored | None:
        with unavailable(f"the newest {subject} is out of reach"):
            try:
                raw = await self.js.get_last_msg(stream_of(subject), subject)
            except NotFoundError:
                return None
        return Stored(subject, raw.data or b"", raw.time or datetime.now(UTC), raw.seq or 0)

    async def offset(self, subjects: Sequence[str], *, group: str) -> ConsumerOffset:
        [stream] = by_stream(subjects)
        with unavailable(f"the ack floor of {group} is out of reach"):
            try:
                info = await self.js.consumer_info(stream, group)
            except NotFoundError:
                return ConsumerOffset()
        floor, delivered = info.ack_floor, info.delivered
        return ConsumerOffset(
            floor.stream_seq if floor else 0, delivered.stream_seq if delivered else 0
        )

    def bucket(self, name: str) -> Bucket:
        return NatsBucket(self._connection, name)


class MergedInbox:
    """One inbox over *inboxes*, of one stream each, which share *arrived*.

    Deliveries come in the order in which the broker stored them, across the streams too, as Kafka
    Streams merges its partitions. While one stream has more that has not arrived, later messages
    of another wait for it, a second at most. So a backlog is read as it happened.
    """

    def __init__(self, inboxes: Sequence[NatsInbox], arrived: asyncio.Event) -> None:
        self._inboxes, self._arrived = inboxes, arrived

    async def take(self, most: int) -> Sequence[Delivery]:
        for inbox in self._inboxes:
            await inbox.request()
        while not any(inbox.first for inbox in self._inboxes):
            await self._arrival()
        try:
            async with asyncio.timeout(WAIT_FOR_EARLIER):
                while not (taken := self._next(most)):
                    await self._arrival()
                return taken
        except TimeoutError:
            for inbox in self._inboxes:
                inbox.more = inbox.more and inbox.first is not None
            return self._next(most)

    async def ack(self, handled: Sequence[Delivery]) -> None:
        for inbox in self._inboxes:
            await inbox.ack([one for one in handled if one.id.startswith(f"{inbox.stream}/")])

    async def lag(self) -> int:
        return sum([await inbox.lag() for inbox in self._inboxes])

    async def _arrival(self) -> None:
        self._arrived.clear()
        for inbox in self._inboxes:
            await inbox.request()
        await self._arrived.wait()

    def _next(self, most: int) -> list[NatsDelivery]:
        """The earliest that have arrived, while no stream has an earlier one to come."""
        taken: list[NatsDelivery] = []
        while len(taken) < most and not any(i.more and not i.first for i in self._inboxes):
            here = [(first.at, inbox) for inbox in self._inboxes if (first := inbox.first)]
            if not here:
                break
            taken.append(min(here, key=lambda one: one[0])[1].pop())
        return taken
