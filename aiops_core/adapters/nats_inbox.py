"""What waits for one durable consumer: standing pull requests, deliveries, signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Protocol

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from aiops_core.adapters.nats_client import LeanClient, answer
from aiops_core.bus import Delivery

KEEPALIVE = 1.5  # seconds between signs of life for what is still being handled
REQUEST = 512  # messages that one standing pull request asks for
REQUEST_EXPIRES = 30.0  # seconds
HEARTBEAT = 5.0  # seconds between the broker's signs of life while nothing arrives

# The address for the acknowledgement is $JS.ACK.<stream>.<consumer>.<deliveries>.<place in the stream>.<place for the
# consumer>.<time>.<pending>, or has a domain and an account before the stream. nats-py reads all of it at once, which
# takes as long as reading a log line.
TOKENS, PLACE = 9, 5


class Home(Protocol):
    """What an inbox needs of the bus that it belongs to."""

    @property
    def connection(self) -> LeanClient: ...

    @property
    def js(self) -> JetStreamContext: ...

    @property
    def connected(self) -> bool: ...

    async def ensure_consumer(self, stream: str, group: str) -> None: ...

    async def bury(self, delivery: NatsDelivery, owner: str, reason: str) -> bool: ...


@dataclass
class NatsDelivery:
    msg: Msg
    inbox: NatsInbox
    taken: float = field(default_factory=time.monotonic)

    @property
    def subject(self) -> str:
        return self.msg.subject

    @cached_property
    def id(self) -> str:
        return f"{self.inbox.stream}/{self.sequence}"

    @cached_property
    def sequence(self) -> int:
        parts = self.msg.reply.split(".")
        return int(parts[PLACE if len(parts) == TOKENS else PLACE + 2])

    @property
    def attempt(self) -> int:
        return self.msg.metadata.num_delivered or 1

    @property
    def at(self) -> datetime:
        return self.msg.metadata.timestamp.astimezone(UTC)

    @property
    def data(self) -> bytes:
        return self.msg.data

    async def retry(self, delay: float) -> None:
        await self.inbox.settle(self, f'-NAK {{"delay": {int(delay * 1e9)}}}'.encode())

    async def bury(self, reason: str) -> bool:
        is_new = await self.inbox.bus.bury(self, self.inbox.owner, reason)
        await self.inbox.settle(self, b"+TERM")
        return is_new


class NatsInbox:
    """The standing pull requests of one durable consumer, and what has arrived."""

    def __init__(self, bus: Home, stream: str, group: str, owner: str) -> None:
        self.bus, self.stream, self.group, self.owner = bus, stream, group, owner
        self._arrived: list[NatsDelivery] = []
        self._unsettled: dict[str, NatsDelivery] = {}
        self._wakeup = asyncio.Event()
        self._requested = 0
        self._heard = time.monotonic()
        self._subscription: Subscription | None = None

    async def take(self, most: int) -> Sequence[Delivery]:
        while not self._arrived:
            self._wakeup.clear()
            await self._wakeup.wait()
        taken, self._arrived = self._arrived[:most], self._arrived[most:]
        return taken

    async def lag(self) -> int:
        with contextlib.suppress(NatsError, asyncio.TimeoutError):
            info = await self.bus.js.consumer_info(self.stream, self.group)
            return (info.num_pending or 0) + (info.num_ack_pending or 0)
        return len(self._unsettled)

    async def ack(self, handled: Sequence[Delivery]) -> None:
        """Of a message that was delivered twice meanwhile the second delivery is settled."""
        known = [self._unsettled.pop(delivery.id, None) for delivery in handled]
        await self._tell([delivery for delivery in known if delivery], b"+ACK")

    async def settle(self, delivery: NatsDelivery, verdict: bytes) -> None:
        self._unsettled.pop(delivery.id, None)
        await self._tell([delivery], verdict)

    async def _tell(self, deliveries: Sequence[NatsDelivery], verdict: bytes) -> None:
        """If that is lost, the broker delivers again, and the ids keep effects single."""
        with contextlib.suppress(NatsError):
            await self.bus.connection.send([answer(d.msg.reply, verdict) for d in deliveries])

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[NatsInbox]:
        address = self.bus.connection.new_inbox()
        self._subscription = await self.bus.connection.subscribe(address, cb=self._receive)
        upkeep = asyncio.create_task(self._keep_up())
        try:
            yield self
        finally:
            upkeep.cancel()
            with contextlib.suppress(NatsError, asyncio.CancelledError):
                await self._subscription.unsubscribe()
                await self._hand_back()

    async def _hand_back(self) -> None:
        """What has not been settled is delivered again at once, not after the ack wait."""
        for delivery in list(self._unsettled.values()):
            await self.settle(delivery, b"-NAK")

    async def _receive(self, msg: Msg) -> None:
        self._heard = time.monotonic()
        if msg.reply.startswith("$JS.ACK"):
            self._requested -= 1
            delivery = NatsDelivery(msg, self)
            self._unsettled[delivery.id] = delivery
            self._arrived.append(delivery)
            self._wakeup.set()
        else:
            self._status(msg.headers or {})
        if self._requested <= REQUEST // 2:
            await self.request()

    def _status(self, headers: dict[str, str]) -> None:
        """A pull request has ended before it was filled (or the idle heartbeat, code 100)."""
        if headers.get("Status") != "100":
            self._requested -= int(headers.get("Nats-Pending-Messages", self._requested))

    async def request(self) -> None:
        if self._subscription is None:
            return
        self._requested += REQUEST
        body = {
            "batch": REQUEST,
            "expires": int(REQUEST_EXPIRES * 1e9),
            "idle_heartbeat": int(HEARTBEAT * 1e9),
        }
        with contextlib.suppress(NatsError):
            await self.bus.connection.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.group}",
                json.dumps(body).encode(),
                reply=self._subscription.subject,
            )

    async def restart(self) -> None:
        """Forget what was requested of a connection that is gone, and ask anew."""
        self._requested = 0
        self._heard = time.monotonic()
        await self.request()

    async def _keep_up(self) -> None:
        await self.request()
        while True:
            await asyncio.sleep(KEEPALIVE / 3)
            await self._stay_alive()
            if time.monotonic() - self._heard > 3 * HEARTBEAT and self.bus.connected:
                await self.bus.ensure_consumer(self.stream, self.group)
                await self.restart()

    async def _stay_alive(self) -> None:
        now = time.monotonic()
        for delivery in list(self._unsettled.values()):
            if now - delivery.taken >= KEEPALIVE:
                delivery.taken = now
                with contextlib.suppress(NatsError):
                    await self.bus.connection.publish(delivery.msg.reply, b"+WPI")
