"""A bus in memory that keeps the promises of the real one; see ``tests/contract/test_bus.py``."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aiops_core.errors import Reject
from aiops_core.models import Message
from aiops_core.runtime.bus import (
    LARGEST,
    MAX_ACK_PENDING,
    REASON,
    SOURCE,
    SUBJECT,
    Bucket,
    ConsumerOffset,
    Delivery,
    Inbox,
    Outgoing,
    Stored,
    too_large,
)
from aiops_core.runtime.service import utc_now

# As those of the real one, in seconds and bytes.
ACK_WAIT = 5.0
DUPLICATE_WINDOW = 120.0
MAX_PAYLOAD = 1024 * 1024


@dataclass
class MemoryDelivery:
    inbox: MemoryInbox
    stored: Stored
    attempt: int = 1

    @property
    def subject(self) -> str:
        return self.stored.subject

    @property
    def id(self) -> str:
        return f"MEMORY/{self.sequence}"

    @property
    def sequence(self) -> int:
        return self.stored.sequence

    @property
    def at(self) -> datetime:
        return self.stored.at

    @property
    def data(self) -> bytes:
        return self.stored.data

    async def retry(self, delay: float) -> None:
        self.inbox.put_off(self, delay * self.inbox.bus.retry_speed)

    async def bury(self, reason: str) -> bool:
        self.inbox.end(self)
        self.inbox.bus.buried.append((self.stored.data, reason))
        return self.inbox.bus.bury(self, self.inbox.owner, reason)


@dataclass
class MemoryInbox:
    """The messages of one group. It outlives its subscribers, like a durable consumer.

    A message in flight is not delivered again while its subscriber lives: the real one sends signs
    of life for it.
    """

    bus: MemoryBus
    subjects: tuple[str, ...]
    owner: str
    most: int = MAX_ACK_PENDING
    waiting: list[MemoryDelivery] = field(default_factory=list)
    in_flight: dict[str, MemoryDelivery] = field(default_factory=dict)
    delivered: int = 0
    later: set[int] = field(default_factory=set)  # sequences that are put off
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, delivery: MemoryDelivery) -> None:
        self.waiting.append(delivery)
        self.arrived.set()

    def put_again(self, delivery: MemoryDelivery) -> None:
        """Redeliveries come before new messages."""
        self.later.discard(delivery.sequence)
        before = sum(waiting.attempt > 1 for waiting in self.waiting)
        self.waiting.insert(before, delivery)
        self.arrived.set()

    def put_off(self, delivery: MemoryDelivery, delay: float) -> None:
        """Deliver it again after *delay*. Until then it is in flight, as for the real broker."""
        self.end(delivery)
        self.later.add(delivery.sequence)
        again = MemoryDelivery(self, delivery.stored, delivery.attempt + 1)
        asyncio.get_running_loop().call_later(delay, self.put_again, again)

    def end(self, delivery: Delivery) -> None:
        self.in_flight.pop(delivery.id, None)
        self.arrived.set()

    @property
    def free(self) -> int:
        """How many more may be in flight."""
        return self.most - len(self.in_flight) - len(self.later)

    def wants(self, subject: str) -> bool:
        return any(fnmatch.fnmatch(subject, s.replace(">", "*")) for s in self.subjects)

    async def take(self, most: int) -> Sequence[MemoryDelivery]:
        while not self.waiting or self.free <= 0:
            self.arrived.clear()
            await self.arrived.wait()
        most = min(most, self.free)
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        self.in_flight |= {d.id: d for d in taken}
        self.delivered = max(self.delivered, *(d.stored.sequence for d in taken))
        return taken

    async def ack(self, handled: Sequence[Delivery]) -> None:
        for delivery in handled:
            self.end(delivery)
            self.bus.acked.append(delivery.data)

    async def lag(self) -> int:
        return len(self.waiting) + len(self.in_flight) + len(self.later)

    def offset(self) -> ConsumerOffset:
        open_ = {d.stored.sequence for d in (*self.waiting, *self.in_flight.values())}
        first = min(open_ | self.later, default=self.bus.sequence + 1)
        wanted = (s.sequence for s in self.bus.stored if self.wants(s.subject))
        return ConsumerOffset(max((n for n in wanted if n < first), default=0), self.delivered)

    def release(self) -> None:
        """Its subscriber leaves: messages in flight wait again."""
        again = [MemoryDelivery(self, d.stored, d.attempt + 1) for d in self.in_flight.values()]
        self.in_flight.clear()
        self.waiting[:0] = again

    def abandon(self) -> None:
        """Its subscriber is killed: messages in flight wait again after the ack wait."""
        for delivery in list(self.in_flight.values()):
            self.put_off(delivery, self.bus.ack_wait)


class MemoryBucket:
    """A dict whose changes can be watched."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._changed = asyncio.Condition()

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def put(self, key: str, value: bytes) -> None:
        await self._replace(self._values | {key: value})

    async def delete(self, key: str) -> None:
        await self._replace({k: v for k, v in self._values.items() if k != key})

    async def all(self) -> Mapping[str, bytes]:
        return self._values

    async def watch(self) -> AsyncIterator[Mapping[str, bytes]]:
        while True:
            seen = self._values
            yield seen
            async with self._changed:
                while self._values is seen:
                    await self._changed.wait()

    async def _replace(self, values: dict[str, bytes]) -> None:
        async with self._changed:
            self._values = values
            self._changed.notify_all()


class MemoryBus:
    """Streams, groups, deduplication by id, redelivery and dead letters, in one process.

    *retry_speed* scales the delays of retries, so that tests do not wait. *clock* says when a
    message is stored.
    """

    def __init__(
        self,
        *,
        retry_speed: float = 1.0,
        ack_wait: float = ACK_WAIT,
        duplicate_window: float = DUPLICATE_WINDOW,
        max_payload: int = MAX_PAYLOAD,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.retry_speed, self.ack_wait = retry_speed, ack_wait
        self.duplicate_window, self.max_payload = duplicate_window, max_payload
        self.clock = clock
        self.published: list[Message] = []
        self.acked: list[bytes] = []
        self.buried: list[tuple[bytes, str]] = []
        self.stored: list[Stored] = []
        self.connected = True
        self._sequence = 0
        self._seen: dict[str, float] = {}  # ids of the duplicate window, and when they came
        self._inboxes: dict[str, MemoryInbox] = {}
        self._buckets: dict[str, MemoryBucket] = {}

    def of(self, kind: type[Message]) -> list[Message]:
        """The published messages of one kind, in order."""
        return [m for m in self.published if isinstance(m, kind) and m.subject == kind.subject]

    def put(self, subject: str, data: bytes) -> None:
        """Store raw bytes, as any client of the broker could."""
        self._put(subject, data, {})

    @property
    def sequence(self) -> int:
        """The place of the message that was stored last."""
        return self._sequence

    def discard(self, before: datetime) -> None:
        """As if the streams had been full: nothing older is there any more."""
        self.stored = [stored for stored in self.stored if stored.at >= before]

    def bury(self, delivery: MemoryDelivery, owner: str, reason: str) -> bool:
        if not self._is_new(f"{owner}/{delivery.id}/dead"):
            return False
        headers = {REASON: reason, SUBJECT: delivery.subject, SOURCE: delivery.id}
        self._put(f"dead.{owner}", delivery.data, headers)
        return True

    def _put(self, subject: str, data: bytes, headers: Mapping[str, str]) -> None:
        self._sequence += 1
        stored = Stored(subject, data, self.clock(), self._sequence, headers)
        self.stored.append(stored)
        for inbox in self._inboxes.values():
            if inbox.wants(subject):
                inbox.put(MemoryDelivery(inbox, stored))

    async def publish(self, outgoing: Sequence[Outgoing]) -> set[str]:
        dumped = [(item, item.message.model_dump_json().encode()) for item in outgoing]
        for item, data in dumped:
            if len(data) > LARGEST:
                raise too_large(item.message.subject, len(data))
            if len(data) > self.max_payload:
                raise Reject(f"message is larger than {self.max_payload} bytes")
        new: set[str] = set()
        for item, data in dumped:
            if self._is_new(item.id):
                new.add(item.id)
                self.published.append(item.message)
                self.put(item.message.subject, data)
        return new

    def _is_new(self, id_: str) -> bool:
        """Whether no message with that id came within the duplicate window; remembers it."""
        now = time.monotonic()
        while self._seen and now - next(iter(self._seen.values())) > self.duplicate_window:
            del self._seen[next(iter(self._seen))]
        if id_ in self._seen:
            return False
        self._seen[id_] = now
        return True

    def kill(self, group: str) -> None:
        """As if the subscriber of *group* had been killed: nothing is handed back."""
        self._inboxes[group].abandon()

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
        if group not in self._inboxes:
            inbox = self._inboxes[group] = MemoryInbox(
                self, tuple(subjects), owner or group, max_ack_pending
            )
            for stored in filter(lambda s: inbox.wants(s.subject), self.stored):
                inbox.put(MemoryDelivery(inbox, stored))
        inbox = self._inboxes[group]
        try:
            yield inbox
        finally:
            inbox.release()

    async def history(
        self, subjects: Sequence[str], *, since: datetime | None
    ) -> AsyncIterator[Stored]:
        for stored in list(self.stored):
            if stored.subject in subjects and (since is None or stored.at >= since):
                yield stored

    async def newest(self, subject: str) -> Stored | None:
        return next((s for s in reversed(self.stored) if s.subject == subject), None)

    async def offset(self, subjects: Sequence[str], *, group: str) -> ConsumerOffset:
        return self._inboxes[group].offset() if group in self._inboxes else ConsumerOffset()

    def bucket(self, name: str) -> Bucket:
        return self._buckets.setdefault(name, MemoryBucket())
