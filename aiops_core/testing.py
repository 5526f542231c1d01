"""A bus in memory that keeps the promises of the real one; see ``tests/contract/test_bus.py``."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aiops_core.bus import (
    REASON,
    SOURCE,
    SUBJECT,
    UNSETTLED,
    Bucket,
    Delivery,
    Inbox,
    Outgoing,
    Reached,
    Stored,
)
from aiops_core.models import Message
from aiops_core.runtime import utc_now


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
        self.inbox.settle(self)
        self.inbox.put_off.add(self.stored.sequence)
        again = MemoryDelivery(self.inbox, self.stored, self.attempt + 1)
        asyncio.get_running_loop().call_later(
            delay * self.inbox.bus.retry_speed, self.inbox.put, again
        )

    async def bury(self, reason: str) -> bool:
        self.inbox.settle(self)
        self.inbox.bus.buried.append((self.stored.data, reason))
        return self.inbox.bus.bury(self, self.inbox.owner, reason)


@dataclass
class MemoryInbox:
    """What waits for one group; it outlives its subscribers, like a durable consumer."""

    bus: MemoryBus
    subjects: tuple[str, ...]
    owner: str
    most: int = UNSETTLED
    waiting: list[MemoryDelivery] = field(default_factory=list)
    unsettled: dict[str, MemoryDelivery] = field(default_factory=dict)
    delivered: int = 0
    put_off: set[int] = field(default_factory=set)  # sequences that will be delivered again later
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, delivery: MemoryDelivery) -> None:
        self.put_off.discard(delivery.stored.sequence)
        self.waiting.append(delivery)
        self.arrived.set()

    def settle(self, delivery: Delivery) -> None:
        self.unsettled.pop(delivery.id, None)
        self.arrived.set()

    def wants(self, subject: str) -> bool:
        return any(fnmatch.fnmatch(subject, s.replace(">", "*")) for s in self.subjects)

    async def take(self, most: int) -> Sequence[MemoryDelivery]:
        while not self.waiting or len(self.unsettled) >= self.most:
            self.arrived.clear()
            await self.arrived.wait()
        most = min(most, self.most - len(self.unsettled))
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        self.unsettled |= {d.id: d for d in taken}
        self.delivered = max(self.delivered, *(d.stored.sequence for d in taken))
        return taken

    async def ack(self, handled: Sequence[Delivery]) -> None:
        for delivery in handled:
            self.settle(delivery)
            self.bus.acked.append(delivery.data)

    async def lag(self) -> int:
        return len(self.waiting) + len(self.unsettled)

    def reached(self) -> Reached:
        open_ = {d.stored.sequence for d in (*self.waiting, *self.unsettled.values())}
        first = min(open_ | self.put_off, default=len(self.bus.stored) + 1)
        wanted = (s.sequence for s in self.bus.stored if self.wants(s.subject))
        return Reached(max((n for n in wanted if n < first), default=0), self.delivered)

    def release(self) -> None:
        """Its subscriber is gone: what it had not settled waits again."""
        again = [MemoryDelivery(self, d.stored, d.attempt + 1) for d in self.unsettled.values()]
        self.unsettled.clear()
        self.waiting[:0] = again


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

    *retry_speed* scales the delays of retries, so that tests do not wait. *clock* says when a message is stored.
    """

    def __init__(
        self, *, retry_speed: float = 1.0, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.retry_speed = retry_speed
        self.clock = clock
        self.published: list[Message] = []
        self.acked: list[bytes] = []
        self.buried: list[tuple[bytes, str]] = []
        self.stored: list[Stored] = []
        self.connected = True
        self._seen: set[str] = set()
        self._inboxes: dict[str, MemoryInbox] = {}
        self._buckets: dict[str, MemoryBucket] = {}

    def of(self, kind: type[Message]) -> list[Message]:
        """What was published of one kind, in order."""
        return [m for m in self.published if isinstance(m, kind) and m.subject == kind.subject]

    def put(self, subject: str, data: bytes) -> None:
        """Store raw bytes, as any client of the broker could."""
        self._put(subject, data, {})

    def bury(self, delivery: MemoryDelivery, owner: str, reason: str) -> bool:
        id_ = f"{owner}/{delivery.id}/dead"
        if id_ in self._seen:
            return False
        self._seen.add(id_)
        headers = {REASON: reason, SUBJECT: delivery.subject, SOURCE: delivery.id}
        self._put(f"dead.{owner}", delivery.data, headers)
        return True

    def _put(self, subject: str, data: bytes, headers: Mapping[str, str]) -> None:
        stored = Stored(subject, data, self.clock(), len(self.stored) + 1, headers)
        self.stored.append(stored)
        for inbox in self._inboxes.values():
            if inbox.wants(subject):
                inbox.put(MemoryDelivery(inbox, stored))

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        for item in outgoing:
            if item.id not in self._seen:
                self._seen.add(item.id)
                self.published.append(item.message)
                self.put(item.message.subject, item.message.model_dump_json().encode())

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
        if group not in self._inboxes:
            inbox = self._inboxes[group] = MemoryInbox(
                self, tuple(subjects), owner or group, unsettled
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

    async def reached(self, subjects: Sequence[str], *, group: str) -> Reached:
        return self._inboxes[group].reached() if group in self._inboxes else Reached()

    def bucket(self, name: str) -> Bucket:
        return self._buckets.setdefault(name, MemoryBucket())
