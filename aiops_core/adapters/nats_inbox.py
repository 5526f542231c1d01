"""What waits for one durable consumer: standing pull requests, deliveries, signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, TypeVar

from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, SequenceInfo

from aiops_core.adapters.nats_broker import FAILURES
from aiops_core.adapters.nats_client import LeanClient, answer
from aiops_core.adapters.nats_overtaken import Look, Overtaken
from aiops_core.adapters.nats_parser import NEWLINE, Frame
from aiops_core.adapters.nats_progress import POSITIONS, Progress
from aiops_core.errors import Unavailable, first_of
from aiops_core.observability import discarded
from aiops_core.runtime.bus import Bucket, Delivery

T = TypeVar("T")

KEEPALIVE = 1.5  # seconds between signs of life for what is still being handled
REQUEST = 512  # messages that one standing pull request asks for
REQUEST_EXPIRES = 30.0  # seconds
HEARTBEAT = 5.0  # seconds between the broker's signs of life while nothing arrives
NOTE_EVERY = 5.0  # seconds between notes of the group's position
RENEW_APART = 0.2  # seconds at least between two looks at a consumer that the broker says is gone

# Of an inbox that is patient, in seconds: how long a request gathers, when it is given up, and
# the rest after nothing came.
GATHER, ANSWER_WITHIN, LOOK_EVERY = 0.02, 2.0, 0.25

# The address for the acknowledgement is $JS.ACK.<stream>.<consumer>.<deliveries>.<place in the
# stream>.<place for the consumer>.<nanoseconds since 1970>.<pending>, or has a domain and an
# account before the stream. nats-py reads all of it at once, which takes as long as reading a log
# line.
ADDRESS = b"$JS.ACK"
TOKENS, DELIVERIES, PLACE, STORED_AT, PENDING = 9, 4, 5, 7, 8

HEARTBEAT_CODE, EXPIRED, NO_RESPONDERS = "100", "408", "503"
DELETED = b"Consumer Deleted"
TERM = b"+TERM"
UNFILLED = "Nats-Pending-Messages"


class Home(Protocol):
    """What an inbox needs of the bus that it belongs to."""

    @property
    def connection(self) -> LeanClient: ...

    @property
    def js(self) -> JetStreamContext: ...

    @property
    def connected(self) -> bool: ...

    async def ensure_consumer(self, stream: str, group: str, progress: Progress) -> None: ...

    async def persistently(self, what: str, work: Callable[[], Awaitable[T]]) -> T: ...

    def refused(self, what: str, exc: Exception) -> None: ...

    def works(self, what: str) -> None: ...

    async def failure(self) -> None: ...

    def bucket(self, name: str) -> Bucket: ...

    async def bury(self, delivery: NatsDelivery, owner: str, reason: str) -> bool: ...


class Status(NamedTuple):
    """What the broker says in place of a message; *unfilled* is what a request still asked for
    when it ended, None when that is not said. *gone*: there is no such consumer."""

    code: str
    unfilled: int | None
    gone: bool = False

    @classmethod
    def of(cls, frame: Frame) -> Status | None:
        """None for what is no status."""
        first, _, lines = frame.headers.partition(NEWLINE)
        _, _, said = first.partition(b" ")
        if not said:
            return None
        unfilled = LeanClient._parse_header_lines(lines).get(UNFILLED)
        code = said[:3].decode()
        gone = code == NO_RESPONDERS or said.endswith(DELETED)
        return cls(code, None if unfilled is None else int(unfilled), gone)


class NatsDelivery:
    """A message that the broker has delivered; *address* is where it waits for the answer,
    *taken* the moment, in monotonic seconds, of the last sign of life for it, *life* the stream
    that it came from, of several of one name."""

    __slots__ = (
        "_tokens",
        "address",
        "data",
        "id",
        "inbox",
        "life",
        "sequence",
        "subject",
        "taken",
    )

    def __init__(self, frame: Frame, inbox: NatsInbox, taken: float) -> None:
        self.subject = frame.subject.decode()
        self.address = frame.reply.decode()
        self.data = frame.data
        self.inbox, self.taken, self.life = inbox, taken, inbox.progress.life
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
        await self.inbox.settle(self, TERM)
        return is_new


class NatsInbox:
    """The standing pull requests of one durable consumer, and what has arrived: it comes as soon
    as it is stored."""

    def __init__(
        self, bus: Home, stream: str, group: str, owner: str, arrived: asyncio.Event | None = None
    ) -> None:
        """*arrived* is set when something does; inboxes that are read together share it."""
        self.bus, self.stream, self.group, self.owner = bus, stream, group, owner
        self.more = False  # the stream has more for the group than has arrived
        self.progress = Progress(f"{stream}.{group}")
        self._arrived: list[NatsDelivery] = []
        self._unsettled: dict[str, NatsDelivery] = {}
        self._put_off: set[int] = set()  # sequences that the broker will deliver again later
        self._overtaken = Overtaken()
        self._wakeup = arrived or asyncio.Event()
        self._requested = 0
        self._heard = time.monotonic()
        self._subscribed: tuple[LeanClient, Subscription] | None = None
        self._sure = False  # that the consumer is there; nothing is requested otherwise
        self._doubts = 0
        self._look = asyncio.Event()  # for the upkeep: there is something to do
        self._mute = False  # the consumer is there, and nothing is heard of it
        self._life = 0  # of the stream, whose messages these are
        self._again: list[NatsDelivery] = []  # that were settled before they came

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
        with contextlib.suppress(*FAILURES):
            info = await self._position()
            return (info.num_pending or 0) + (info.num_ack_pending or 0)
        return len(self._unsettled)

    async def _position(self) -> ConsumerInfo:
        """Where the consumer is; counts what its stream has discarded meanwhile."""
        state = (await self.bus.js.stream_info(self.stream)).state
        info: ConsumerInfo = await self.bus.js.consumer_info(self.stream, self.group)
        self.progress.reached(info.ack_floor.stream_seq if info.ack_floor else 0)
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
        if delivery.life == self.progress.life:
            self._put_off.add(delivery.sequence)
        await self.settle(delivery, f'-NAK {{"delay": {int(delay * 1e9)}}}'.encode())

    async def ack(self, handled: Sequence[Delivery]) -> None:
        """Of a message that was delivered twice meanwhile the second delivery is settled."""
        known = [
            self._unsettled.pop(delivery.id, None)
            for delivery in handled
            if isinstance(delivery, NatsDelivery) and delivery.life == self.progress.life
        ]
        for delivery in filter(None, known):
            self.progress.settle(delivery.sequence)
        await self._tell([delivery for delivery in known if delivery], b"+ACK")

    async def settle(self, delivery: NatsDelivery, verdict: bytes) -> None:
        if delivery.life != self.progress.life:
            return
        self._unsettled.pop(delivery.id, None)
        if verdict == TERM:
            self.progress.settle(delivery.sequence)
        await self._tell([delivery], verdict)

    async def _tell(self, deliveries: Sequence[NatsDelivery], verdict: bytes) -> None:
        """If that is lost, the broker delivers again, and the ids keep effects single."""
        frames = [answer(delivery.address, verdict) for delivery in deliveries]
        if frames:
            with contextlib.suppress(*FAILURES):
                await self.bus.connection.send(frames)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[NatsInbox]:
        """Its upkeep runs meanwhile; a bug in that ends the body."""
        discarded.count(self.stream, self.group, 0)
        try:
            await self.bus.persistently(self._keeping, self._ensure)
            with contextlib.suppress(*FAILURES):
                self.more = bool((await self._position()).num_pending)
            async with _beside(self._keep_up, self._keep_alive, self._keep_note, self.bus.failure):
                yield self
        finally:
            self.bus.works(self._delivering)
            await self._leave()

    @property
    def _keeping(self) -> str:
        return f"keep the consumer {self.group} of {self.stream}"

    @property
    def _delivering(self) -> str:
        return f"deliver {self.stream} to {self.group}"

    async def _subscribe(self) -> None:
        """With the client that is connected now; a former one is closed, and its subscriptions
        with it."""
        client = self.bus.connection
        if self._subscribed is None or self._subscribed[0] is not client:
            self._subscribed = client, await client.receive(client.new_inbox(), self._receive)

    async def _leave(self) -> None:
        """What has not been settled is delivered again at once, not after the ack wait."""
        if self._subscribed:
            with contextlib.suppress(*FAILURES):
                await self._subscribed[1].unsubscribe()
        await self._tell(list(self._unsettled.values()), b"-NAK")

    def _receive(self, frame: Frame) -> None:
        if frame.reply.startswith(ADDRESS):
            self._hear()
            self._requested -= 1
            delivery = NatsDelivery(frame, self, self._heard)
            self._put_off.discard(delivery.sequence)
            self.more = delivery.pending > 0
            self._wakeup.set()
            if self.progress.is_settled(delivery.sequence):
                self._again.append(delivery)
                self._look.set()
            else:
                self._unsettled[delivery.id] = delivery
                self._arrived.append(delivery)
        elif status := Status.of(frame):
            self._note(status)

    def _note(self, status: Status) -> None:
        """A pull request has ended before it was filled, or the consumer has nothing to say, or
        there is none."""
        if status.code in (HEARTBEAT_CODE, EXPIRED):
            self._hear()
        if status.code != HEARTBEAT_CODE:
            self._requested -= self._requested if status.unfilled is None else status.unfilled
        if status.code == EXPIRED:
            self._wakeup.set()  # others are asked again with the next look after it
        if status.gone:
            self.doubt()

    def _hear(self) -> None:
        self._heard = time.monotonic()
        if self._mute:
            self._mute = False
            self.bus.works(self._delivering)

    def doubt(self) -> None:
        """The consumer may be gone, and what was requested with it: the upkeep looks."""
        self._sure = False
        self._doubts += 1
        self._look.set()

    async def _request_more(self) -> None:
        if self._requested <= REQUEST // 2 and self._sure:
            self._requested += REQUEST
            await self._request(REQUEST, REQUEST_EXPIRES, idle_heartbeat=int(HEARTBEAT * 1e9))

    async def _request(self, batch: int, expires: float, **more: int) -> None:
        if self._subscribed is None or not self._sure:
            return
        body = {"batch": batch, "expires": int(expires * 1e9)} | more
        with contextlib.suppress(*FAILURES):
            await self.bus.connection.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.group}",
                json.dumps(body).encode(),
                reply=self._subscribed[1].subject,
            )

    async def _renew(self) -> None:
        """Return when the consumer is there and asked: what was requested before is forgotten."""
        await self._ensure()
        self._requested = 0
        self._heard = time.monotonic()
        self._wakeup.set()
        await self._request_more()

    async def _ensure(self) -> None:
        """Return when the consumer is there; it goes on where the group was."""
        await self._subscribe()
        doubts = self._doubts
        await self.bus.ensure_consumer(self.stream, self.group, self.progress)
        if (
            self._life != self.progress.life
        ):  # what came of a stream that is gone has no address any more
            self._life = self.progress.life
            self._unsettled.clear()
            self._put_off.clear()
            self._again.clear()
            self._overtaken = Overtaken()
        self._sure = doubts == self._doubts

    @property
    def _silent(self) -> bool:
        """Nothing was heard for longer than the broker may be silent."""
        return (
            self.bus.connected
            and not self._arrived
            and time.monotonic() - self._heard > 3 * HEARTBEAT
        )

    async def _keep_up(self) -> None:
        """Keep the consumer, and requests to it."""
        while True:
            self._look.clear()
            if self._silent:
                self._mute = True
                self.bus.refused(
                    self._delivering, TimeoutError("nothing comes, no heartbeat either")
                )
                self.doubt()
            if not self._sure:
                await self.bus.persistently(self._keeping, self._renew)
                await asyncio.sleep(RENEW_APART)
            again, self._again = self._again, []
            await self._tell(again, b"+ACK")
            if not self._arrived:
                await self._request_more()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEPALIVE / 3):
                    await self._look.wait()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE / 3)
            await self._stay_alive()

    async def _keep_note(self) -> None:
        positions = self.bus.bucket(POSITIONS)
        while True:
            await asyncio.sleep(NOTE_EVERY)
            if note := self.progress.note:
                with contextlib.suppress(Unavailable):
                    await positions.put(self.progress.key, note)
                    self.progress.noted(note)

    async def _stay_alive(self) -> None:
        now = time.monotonic()
        late = [d for d in self._unsettled.values() if now - d.taken >= KEEPALIVE]
        for delivery in late:
            delivery.taken = now
        await self._tell(late, b"+WPI")


class PatientInbox(NatsInbox):
    """Asks for what waits when somebody takes, so that many come at once: the broker and this
    process then wake up for all of them together, not for each few."""

    _unanswered = False  # the last request

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
        self._unanswered = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN):
                while self._requested > 0:
                    await self._wakeup.wait()
                    self._wakeup.clear()
                self._unanswered = False

    @property
    def _silent(self) -> bool:
        return self._unanswered and super()._silent

    async def _request_more(self) -> None:
        """Nobody asked."""


@contextlib.asynccontextmanager
async def _beside(*loops: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run *loops* while the body runs; what ends one of them ends the body. An error comes out as
    it is."""

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
