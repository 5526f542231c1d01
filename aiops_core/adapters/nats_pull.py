"""Pull requests to one consumer, and the heartbeats that show that it answers.

A request stays open and its messages arrive by callback, as soon as they are stored: ``fetch(n)``
of nats-py can wait out its timeout on a partial batch, which would be the p99.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from aiops_core.adapters.nats_connection import FAILURES, NatsConnection, cancellable

REQUEST = 512  # messages that one open request asks for
REQUEST_EXPIRES = 30.0  # seconds
HEARTBEAT = 5.0  # seconds between the broker's heartbeats while nothing arrives

# On demand, in seconds: how long a request gathers messages, when it counts as unanswered, and the
# pause after an empty one.
GATHER, ANSWER_WITHIN, PULL_AGAIN = 0.02, 2.0, 0.25

ACK_ADDRESS = "$JS.ACK."  # the reply address of every delivered message begins so
IDLE, EXPIRED, NO_RESPONDERS = "100", "408", "503"
DELETED = "Consumer Deleted"
UNFILLED = "Nats-Pending-Messages"


class PullStatus(NamedTuple):
    """Comes in place of a message. *unfilled*: messages that a request still asked for when it
    ended, None when that is not said. *gone*: the consumer does not exist."""

    code: str
    unfilled: int | None
    gone: bool = False

    @classmethod
    def of(cls, message: Msg) -> PullStatus | None:
        """None for a message that is no status."""
        headers = message.headers or {}
        code = headers.get(Header.STATUS)
        if not code:
            return None
        unfilled = headers.get(UNFILLED)
        gone = code == NO_RESPONDERS or headers.get(Header.DESCRIPTION) == DELETED
        return cls(code, None if unfilled is None else int(unfilled), gone)


class PullRequests:
    """Keeps a request open. *deliver* gets each message, *gone* is called when the consumer does
    not exist, *arrived* is set when there may be something to read."""

    def __init__(
        self,
        connection: NatsConnection,
        stream: str,
        group: str,
        *,
        deliver: Callable[[Msg], None],
        gone: Callable[[], None],
        arrived: asyncio.Event,
    ) -> None:
        self.allowed = False  # the consumer exists
        self._connection, self._arrived = connection, arrived
        self._deliver, self._gone = deliver, gone
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{group}"
        self._operation = f"deliver {stream} to {group}"
        self._subscribed: tuple[Client, Subscription] | None = None
        self._requested, self._delivered = 0, 0  # messages
        self._heard_at = time.monotonic()
        self._was_silent = False

    async def subscribe(self) -> None:
        """With the present client; the subscriptions of a former one are closed."""
        client = self._connection.client
        if self._subscribed is None or self._subscribed[0] is not client:
            subscription = await client.subscribe(client.new_inbox(), cb=self._receive)
            self._subscribed = client, subscription

    async def unsubscribe(self) -> None:
        self._connection.works(self._operation)
        if self._subscribed:
            await asyncio.sleep(0)  # nats-py drops what it has not handed over yet
            with contextlib.suppress(*FAILURES), cancellable():
                await self._subscribed[1].unsubscribe()

    async def wait(self, most: int) -> None:
        """Return when something may have arrived."""
        self._arrived.clear()
        await self.top_up()
        await self._arrived.wait()

    async def top_up(self) -> None:
        """Request more when half of the last request has arrived."""
        if self._requested <= REQUEST // 2:
            await self._pull(REQUEST, REQUEST_EXPIRES, idle_heartbeat=int(HEARTBEAT * 1e9))

    async def renew(self) -> None:
        """Make a new request: the consumer has forgotten those before."""
        self._requested = 0
        self._heard_at = time.monotonic()
        self._arrived.set()
        await self.top_up()

    def check(self) -> None:
        """Report a consumer of which neither a message nor a heartbeat has come for too long."""
        if self._silent and self._connection.connected:
            self._was_silent = True
            problem = TimeoutError("nothing comes, no heartbeat either")
            self._connection.refused(self._operation, problem)
            self._gone()

    @property
    def _silent(self) -> bool:
        return time.monotonic() - self._heard_at > 3 * HEARTBEAT

    async def _pull(self, batch: int, expires: float, **more: int) -> None:
        if self._subscribed is None or not self.allowed:
            return
        self._requested += batch
        body = {"batch": batch, "expires": int(expires * 1e9)} | more
        reply = self._subscribed[1].subject
        with contextlib.suppress(*FAILURES):
            await self._connection.publish(self._subject, json.dumps(body).encode(), reply)

    async def _receive(self, message: Msg) -> None:
        if message.reply.startswith(ACK_ADDRESS):
            self._heard()
            self._requested -= 1
            self._delivered += 1
            self._deliver(message)
            self._arrived.set()
        elif status := PullStatus.of(message):
            self._handle(status)

    def _handle(self, status: PullStatus) -> None:
        if status.code in (IDLE, EXPIRED):
            self._heard()
        if status.code != IDLE:  # the request has ended
            self._requested -= self._requested if status.unfilled is None else status.unfilled
        if status.code == EXPIRED:
            self._arrived.set()  # a reader that waits makes the next request
        if status.gone:
            self._gone()

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        if self._was_silent:
            self._was_silent = False
            self._connection.works(self._operation)


class PullsOnDemand(PullRequests):
    """Requests only while somebody reads, so that many messages come at once: fewer wake-ups of
    the broker and of this process, for up to a quarter of a second more latency."""

    _unanswered = False  # the last request

    async def wait(self, most: int) -> None:
        """Return when the request is filled or has expired, or the broker does not answer."""
        self._requested, before = 0, self._delivered
        self._arrived.clear()
        await self._pull(most, GATHER)
        self._unanswered = self._requested > 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN):
                while self._requested > 0:
                    await self._arrived.wait()
                    self._arrived.clear()
                self._unanswered = False
        if self._delivered == before:
            await asyncio.sleep(PULL_AGAIN)

    async def top_up(self) -> None:
        """No request stays open."""

    @property
    def _silent(self) -> bool:
        return self._unanswered and super()._silent
