"""What waits for one durable consumer: standing pull requests, deliveries, signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, SequenceInfo

from aiops_core import discarded
from aiops_core.adapters.nats_client import LeanClient, answer
from aiops_core.adapters.nats_overtaken import Look, Overtaken
from aiops_core.adapters.nats_parser import NEWLINE, Frame
from aiops_core.bus import Delivery

KEEPALIVE = 1.5  # seconds between signs of life for what is still being handled
REQUEST = 512  # messages that one standing pull request asks for
REQUEST_EXPIRES = 30.0  # seconds
HEARTBEAT = 5.0  # seconds between the broker's signs of life while nothing arrives

# Of an inbox that is patient, in seconds: how long a request gathers, when it is given up, and the rest after nothing came.
GATHER, ANSWER_WITHIN, LOOK_EVERY = 0.02, 2.0, 0.25

# The address for the acknowledgement is $JS.ACK.<stream>.<consumer>.<deliveries>.<place in the stream>.<place for the
# consumer>.<nanoseconds since 1970>.<pending>, or has a domain and an account before the stream. nats-py reads all of
# it at once, which takes as long as reading a log line.
ADDRESS = b"$JS.ACK"
TOKENS, DELIVERIES, PLACE, STORED_AT, PENDING = 9, 4, 5, 7, 8

HEARTBEAT_CODE, EXPIRED = "100", "408"
UNFILLED = "Nats-Pending-Messages"


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


class Status(NamedTuple):
    """What the broker says in place of a message; *unfilled* is what a request still asked for when it ended, None
    when that is not said."""

    code: str
    unfilled: int | None

    @classmethod
    def of(cls, frame: Frame) -> Status | None:
        """None for what is no status."""
        first, _, lines = frame.headers.partition(NEWLINE)
        _, _, said = first.partition(b" ")
        if not said:
            return None
        unfilled = LeanClient._parse_header_lines(lines).get(UNFILLED)
        return cls(said[:3].decode(), None if unfilled is None else int(unfilled))


class NatsDelivery:
    """A message that the broker has delivered; *address* is where it waits for the answer, *taken* the moment, in
    monotonic seconds, of the last sign of life for it."""

    __slots__ = ("_tokens", "address", "data", "id", "inbox", "sequence", "subject", "taken")

    def __init__(self, frame: Frame, inbox: NatsInbox, taken: float) -> None:
        self.subject = frame.subject.decode()
        self.address = frame.reply.decode()
        self.data = frame.data
        self.inbox, self.taken = inbox, taken
        self._tokens = self.address.split(".")
        self.sequence = int(self._token(PLACE))
        self.id = f"{inbox.stream}/{self.sequence}"

    def _token(self, place: int) -> str:
        return self._tokens[place if len(self._tokens) == TOKENS else place + 2]

    @property
    def attempt(self) -> int:
        return int(self._token(DELIVERIES))

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(int(self._token(STORED_AT)) / 1e9, UTC)

    @property
    def pending(self) -> int:
        """Messages for the group that came after it and had not been delivered then."""
        return int(self._token(PENDING))

    async def retry(self, delay: float) -> None:
        await self.inbox.put_off(self, delay)

    async def bury(self, reason: str) -> bool:
        is_new = await self.inbox.bus.bury(self, self.inbox.owner, reason)
        await self.inbox.settle(self, b"+TERM")
        return is_new


class NatsInbox:
    """The standing pull requests of one durable consumer, and what has arrived: it comes as soon as it is stored."""

    def __init__(
        self, bus: Home, stream: str, group: str, owner: str, arrived: asyncio.Event | None = None
    ) -> None:
        """*arrived* is set when something does; inboxes that are read together share it."""
        self.bus, self.stream, self.group, self.owner = bus, stream, group, owner
        self.more = False  # the stream has more for the group than has arrived
        self._arrived: list[NatsDelivery] = []
        self._unsettled: dict[str, NatsDelivery] = {}
        self._put_off: set[int] = set()  # sequences that the broker will deliver again later
        self._overtaken = Overtaken()
        self._wakeup = arrived or asyncio.Event()
        self._requested = 0
        self._heard = time.monotonic()
        self._subscription: Subscription | None = None

    async def take(self, most: int) -> Sequence[Delivery]:
        await self._request_more()
        while not self._arrived:
            self._wakeup.clear()
            await self._request_more()
            await self._wakeup.wait()
        taken, self._arrived = self._arrived[:most], self._arrived[most:]
        return taken

    async def ask(self) -> None:
        """Let the broker send more, as far as there is room."""
        await self._request_more()

    @property
    def first(self) -> NatsDelivery | None:
        return self._arrived[0] if self._arrived else None

    def pop(self) -> NatsDelivery:
        """Take the first of what has arrived."""
        return self._arrived.pop(0)

    async def lag(self) -> int:
        with contextlib.suppress(NatsError, asyncio.TimeoutError):
            info = await self._position()
            return (info.num_pending or 0) + (info.num_ack_pending or 0)
        return len(self._unsettled)

    async def _position(self) -> ConsumerInfo:
        """Where the consumer is; counts what its stream has discarded meanwhile."""
        state = (await self.bus.js.stream_info(self.stream)).state
        info: ConsumerInfo = await self.bus.js.consumer_info(self.stream, self.group)
        given = info.delivered or SequenceInfo(0, 0)
        pending = info.num_pending or 0
        now = Look(state.first_seq, state.last_seq, given.stream_seq, given.consumer_seq, pending)
        never_again = {place for place in self._put_off if place < state.first_seq}
        self._put_off -= never_again
        if lost := self._overtaken.look(now) + len(never_again):
            discarded.count(self.stream, self.group, lost)
        return info

    async def put_off(self, delivery: NatsDelivery, delay: float) -> None:
        """Let the broker deliver it again after *delay* seconds."""
        self._put_off.add(delivery.sequence)
        await self.settle(delivery, f'-NAK {{"delay": {int(delay * 1e9)}}}'.encode())

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
            await self.bus.connection.send([answer(d.address, verdict) for d in deliveries])

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[NatsInbox]:
        discarded.count(self.stream, self.group, 0)
        with contextlib.suppress(NatsError, TimeoutError):
            self.more = bool((await self._position()).num_pending)
        address = self.bus.connection.new_inbox()
        self._subscription = await self.bus.connection.receive(address, self._receive)
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

    def _receive(self, frame: Frame) -> None:
        if frame.reply.startswith(ADDRESS):
            self._heard = time.monotonic()
            self._requested -= 1
            delivery = NatsDelivery(frame, self, self._heard)
            self._unsettled[delivery.id] = delivery
            self._put_off.discard(delivery.sequence)
            self._arrived.append(delivery)
            self.more = delivery.pending > 0
            self._wakeup.set()
        elif status := Status.of(frame):
            self._note(status)

    def _note(self, status: Status) -> None:
        """A pull request has ended before it was filled, or the consumer has nothing to say, or there is none."""
        if status.code in (HEARTBEAT_CODE, EXPIRED):
            self._heard = time.monotonic()
        if status.code != HEARTBEAT_CODE:
            self._requested -= self._requested if status.unfilled is None else status.unfilled
        if status.code == EXPIRED:
            self._wakeup.set()  # others are asked again with the next look after it

    async def _request_more(self) -> None:
        if self._requested <= REQUEST // 2:
            self._requested += REQUEST
            await self._request(REQUEST, REQUEST_EXPIRES, idle_heartbeat=int(HEARTBEAT * 1e9))

    async def _request(self, batch: int, expires: float, **more: int) -> None:
        if self._subscription is None:
            return
        body = {"batch": batch, "expires": int(expires * 1e9)} | more
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
        self._wakeup.set()
        await self._request_more()

    async def _keep_up(self) -> None:
        while True:
            if not self._arrived:
                await self._request_more()
            await asyncio.sleep(KEEPALIVE / 3)
            await self._stay_alive()
            silent = time.monotonic() - self._heard > 3 * HEARTBEAT
            if silent and not self._arrived and self.bus.connected:
                await self.bus.ensure_consumer(self.stream, self.group)
                await self.restart()

    async def _stay_alive(self) -> None:
        now = time.monotonic()
        late = [d for d in self._unsettled.values() if now - d.taken >= KEEPALIVE]
        for delivery in late:
            delivery.taken = now
        if late:
            await self._tell(late, b"+WPI")


class PatientInbox(NatsInbox):
    """Asks for what waits when somebody takes, so that many come at once: the broker and this process then wake up
    for all of them together, not for each few."""

    async def take(self, most: int) -> Sequence[Delivery]:
        while not self._arrived:
            await self._fetch(most)
            if not self._arrived:
                await asyncio.sleep(LOOK_EVERY)
        return await super().take(most)

    async def _fetch(self, most: int) -> None:
        """Return when the request is filled or over, or the broker does not answer."""
        self._requested = most
        self._wakeup.clear()
        await self._request(most, GATHER)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN):
                while self._requested > 0:
                    await self._wakeup.wait()
                    self._wakeup.clear()

    async def _request_more(self) -> None:
        """Nobody asked."""
