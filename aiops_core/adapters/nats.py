"""The bus over NATS JetStream.

Pulling keeps standing requests open and takes what arrives by callback: ``fetch(n)`` of nats-py can
wait out its timeout on a partial batch, which would be the p99. Publishing sends a whole batch
before it waits for the first acknowledgement (``nats_store``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple, TypeVar

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from aiops_core.adapters.nats_broker import ANSWER_WITHIN, FAILURES, Broker, line
from aiops_core.adapters.nats_bucket import NatsBucket
from aiops_core.adapters.nats_client import LeanClient, cancellable, check_version
from aiops_core.adapters.nats_inbox import NatsDelivery, NatsInbox, PatientInbox
from aiops_core.adapters.nats_merged import MergedInbox, in_order
from aiops_core.adapters.nats_progress import POSITIONS, Progress
from aiops_core.adapters.nats_store import MSG_ID, Letter, Storing
from aiops_core.adapters.nats_streams import by_stream, ensure_streams, stream_of
from aiops_core.errors import Unavailable
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import Streams
from aiops_core.runtime.bus import (
    REASON,
    SOURCE,
    SUBJECT,
    UNSETTLED,
    Bucket,
    Inbox,
    Outgoing,
    Reached,
    Stored,
)

T = TypeVar("T")

ACK_WAIT = 5.0  # seconds after which an unsettled message is delivered again
HISTORY_PAGE = 500

TRUNCATED = "Aiops-Truncated-From"


class Group(NamedTuple):
    """What a durable consumer takes, and how much of it may be out."""

    subjects: tuple[str, ...]
    unsettled: int


class NatsBus:
    """One connection to the broker, for ever: it reconnects until it is closed."""

    def __init__(self, url: str, limits: Streams, readiness: Readiness, name: str) -> None:
        check_version()
        self._limits = limits
        self._inboxes: list[NatsInbox] = []
        self._groups: dict[tuple[str, str], Group] = {}  # by stream and name
        self._broker = Broker(
            url, name, readiness, prepare=self._ensure_streams, lost=self._doubt_consumers
        )

    @property
    def connection(self) -> LeanClient:
        return self._broker.client

    @property
    def js(self) -> JetStreamContext:
        return self._broker.js

    @property
    def connected(self) -> bool:
        return self._broker.connected

    async def connect(self) -> None:
        """Returns when the broker has answered and the streams exist; waits for that for ever."""
        await self._broker.connect()

    async def close(self) -> None:
        await self._broker.close()

    async def publish(self, outgoing: Sequence[Outgoing]) -> set[str]:
        new: set[str] = set()
        for _, items in groupby(outgoing, key=lambda item: stream_of(item.message.subject)):
            new |= await self.store([_letter(item) for item in items])
        return new

    async def bury(self, delivery: NatsDelivery, owner: str, reason: str) -> bool:
        """Store a dead letter: the original bytes, with the reason and where they came from.

        False when another consumer of *owner* had stored it already.
        """
        headers = {
            MSG_ID: f"{owner}/{delivery.id}/dead",  # of two consumers of one owner only one letter
            REASON: _header(reason),
            SUBJECT: delivery.subject,
            SOURCE: delivery.id,
        }
        data, room = delivery.data, self.connection.max_payload - 4096
        if len(data) > room:
            headers[TRUNCATED] = str(len(data))
            data = data[:room]
        return bool(await self.store([Letter(f"dead.{owner}", data, headers)]))

    async def store(self, letters: Sequence[Letter]) -> set[str]:
        """Store all, which belong to one stream, in order; however long it takes. Returns the ids
        that were new."""
        if not letters:
            return set()
        storing = Storing(letters)
        what = f"publish to {letters[0].subject}"
        await self.persistently(what, lambda: storing.go_on(self.connection))
        return storing.new

    async def persistently(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        return await self._broker.persistently(what, work)

    def refused(self, what: str, exc: Exception) -> None:
        self._broker.refused(what, exc)

    def works(self, what: str) -> None:
        self._broker.works(what)

    async def failure(self) -> None:
        await self._broker.failure()

    @contextlib.asynccontextmanager
    async def subscribe(
        self,
        subjects: Sequence[str],
        *,
        group: str,
        owner: str | None = None,
        unsettled: int = UNSETTLED,
        patient: bool = False,
    ) -> AsyncIterator[Inbox]:
        parts = by_stream(subjects)
        for stream, of_stream in parts.items():
            self._groups[stream, group] = Group(of_stream, unsettled)
        arrived = asyncio.Event()
        kind = PatientInbox if patient and len(parts) == 1 else NatsInbox
        inboxes = [kind(self, stream, group, owner or group, arrived) for stream in parts]
        self._inboxes += inboxes
        try:
            async with AsyncExitStack() as stack:
                for inbox in inboxes:
                    await stack.enter_async_context(inbox.open())
                yield inboxes[0] if len(inboxes) == 1 else MergedInbox(inboxes, arrived)
        finally:
            for inbox in inboxes:
                self._inboxes.remove(inbox)

    async def ensure_consumer(self, stream: str, group: str, progress: Progress) -> None:
        """Update the durable consumer, or make it where the group was: the stream too, if it is
        gone."""
        info = await self._stream(stream)
        progress.of(info)
        try:
            there = await self.js.consumer_info(stream, group)
            config = there.config
            progress.reached(there.ack_floor.stream_seq if there.ack_floor else 0)
        except NotFoundError:
            note = await self.bucket(POSITIONS).get(progress.key) if info.state.last_seq else None
            progress.recall(note, info.state.last_seq)
            config = _from(progress.next).evolve(durable_name=group)
        wanted = self._groups[stream, group]
        await self.js.add_consumer(
            stream,
            config,
            filter_subjects=list(wanted.subjects),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_ack_pending=wanted.unsettled,
        )

    async def _stream(self, name: str) -> StreamInfo:
        try:
            return await self.js.stream_info(name)
        except NotFoundError:
            await self._ensure_streams()
            return await self.js.stream_info(name)

    async def history(
        self, subjects: Sequence[str], *, since: datetime | None
    ) -> AsyncIterator[Stored]:
        """Raises Unavailable when the broker goes away meanwhile: the reader starts again."""
        parts = by_stream(subjects).items()
        async for stored in in_order([self._history(*part, since) for part in parts]):
            yield stored

    async def _history(
        self, stream: str, subjects: Sequence[str], since: datetime | None
    ) -> AsyncGenerator[Stored, None]:
        config = ConsumerConfig(
            filter_subjects=list(subjects),
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_TIME if since else DeliverPolicy.ALL,
            opt_start_time=since,
            inactive_threshold=60,
            mem_storage=True,
        )
        with self._reachable(f"the history of {stream} broke off"):
            info = await self.js.add_consumer(stream, config)
            async for msg in self._pages(stream, info.name, info.num_pending or 0):
                meta = msg.metadata
                at = meta.timestamp.astimezone(UTC)
                yield Stored(msg.subject, msg.data, at, meta.sequence.stream, msg.headers or {})

    async def _pages(self, stream: str, consumer: str, left: int) -> AsyncIterator[Msg]:
        reader = await self.js.pull_subscribe_bind(consumer, stream)
        try:
            while left > 0:
                for msg in await reader.fetch(min(left, HISTORY_PAGE), timeout=ANSWER_WITHIN):
                    left -= 1
                    yield msg
        finally:
            with contextlib.suppress(*FAILURES):
                await reader.unsubscribe()
                await self.js.delete_consumer(stream, consumer)

    async def newest(self, subject: str) -> Stored | None:
        with self._reachable(f"the newest {subject} is out of reach"):
            try:
                raw = await self.js.get_last_msg(stream_of(subject), subject)
            except NotFoundError:
                return None
        return Stored(subject, raw.data or b"", raw.time or datetime.now(UTC), raw.seq or 0)

    async def reached(self, subjects: Sequence[str], *, group: str) -> Reached:
        [stream] = by_stream(subjects)
        with self._reachable(f"how far {group} came is out of reach"):
            try:
                info = await self.js.consumer_info(stream, group)
            except NotFoundError:
                return Reached()
        settled, delivered = info.ack_floor, info.delivered
        return Reached(
            settled.stream_seq if settled else 0, delivered.stream_seq if delivered else 0
        )

    @contextlib.contextmanager
    def _reachable(self, problem: str) -> Iterator[None]:
        try:
            with cancellable():
                yield
        except FAILURES as exc:
            raise Unavailable(f"nats: {problem}: {line(exc)}") from exc

    def bucket(self, name: str) -> Bucket:
        return NatsBucket(self, name)

    async def _ensure_streams(self) -> None:
        await ensure_streams(self.js, self._limits, self._broker.preparing)

    def _doubt_consumers(self) -> None:
        for inbox in self._inboxes:
            inbox.doubt()


def _letter(item: Outgoing) -> Letter:
    message = item.message
    return Letter(message.subject, message.model_dump_json().encode(), {MSG_ID: item.id})


def _from(sequence: int) -> ConsumerConfig:
    if sequence == 1:
        return ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    return ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=sequence)


def _header(text: str) -> str:
    return " ".join(text.split())[:1000].encode("ascii", "backslashreplace").decode()
