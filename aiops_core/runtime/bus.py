"""The port between services and the broker. ``tests/contract/test_bus.py`` is its contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from aiops_core.errors import Reject
from aiops_core.models import Message

MAX_ACK_PENDING = 2048  # messages delivered and not acknowledged, of each stream
LARGEST = 512 * 1024  # bytes of a message as JSON; its dead letter must still fit


def too_large(subject: str, size: int) -> Reject:
    return Reject(f"{subject} with {size} bytes is larger than {LARGEST}")


# Headers of a dead letter: why, where it was addressed, STREAM/sequence of the original.
REASON, SUBJECT, SOURCE = "Aiops-Reason", "Aiops-Subject", "Aiops-Source"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; of several with the same *id* only the first arrives."""

    message: Message
    id: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in a stream: *at* is when the broker stored it, *sequence* its place."""

    subject: str
    data: bytes
    at: datetime
    sequence: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConsumerOffset:
    """The offset of a consumer group. Everything up to the sequence *ack_floor* is acknowledged,
    nothing beyond *delivered* was ever delivered. 0: nothing yet."""

    ack_floor: int = 0
    delivered: int = 0


class Delivery(Protocol):
    """One delivered message. It ends in one of three ways: ``Inbox.ack``, ``retry`` or ``bury``."""

    @property
    def subject(self) -> str: ...

    @property
    def id(self) -> str:
        """``STREAM/sequence``: the same on every delivery of the same message."""

    @property
    def sequence(self) -> int:
        """Its place in its stream; those of two streams cannot be compared."""

    @property
    def attempt(self) -> int:
        """1 on first delivery."""

    @property
    def at(self) -> datetime:
        """When the broker stored the message."""

    @property
    def data(self) -> bytes: ...

    async def retry(self, delay: float) -> None:
        """Not now: deliver it again after *delay* seconds."""

    async def bury(self, reason: str) -> bool:
        """Never: move it to the owner's dead letters with *reason*, and do not deliver it again.

        False when another group of the same owner has buried it already.
        """


class Inbox(Protocol):
    """What waits for one consumer group, in the order in which the broker stored it."""

    async def take(self, most: int) -> Sequence[Delivery]:
        """Wait for at least one delivery; return all that have arrived, up to *most*."""

    async def ack(self, handled: Sequence[Delivery]) -> None:
        """They are handled: never deliver them again."""

    async def lag(self) -> int:
        """Messages that wait for this group or are not acknowledged."""


class Bucket(Protocol):
    """Small state that processes share (silences, the ship's mode): the last value of each key.

    Keys consist of letters, digits and ``-_=./``. All raise Unavailable while the broker is away.
    """

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes) -> None:
        """Return when it is stored durably."""

    async def delete(self, key: str) -> None:
        """Forget *key*; one that is not there is no error."""

    async def all(self) -> Mapping[str, bytes]: ...

    def watch(self) -> AsyncIterator[Mapping[str, bytes]]:
        """All that is there now, and again all of it after every change, for ever: changes that
        come together are seen together, and it waits while the broker is away."""


class Bus(Protocol):
    async def publish(self, outgoing: Sequence[Outgoing]) -> set[str]:
        """Return when all are stored, in this order. Tries again while the broker is away.

        Returns the ids that were not stored before. Raises Reject when one is larger than LARGEST,
        and stores none of them; or when one is larger than the broker takes.
        """

    def subscribe(
        self,
        subjects: Sequence[str],
        *,
        group: str,
        owner: str | None = None,
        max_ack_pending: int = MAX_ACK_PENDING,
        pull_on_demand: bool = False,
    ) -> AbstractAsyncContextManager[Inbox]:
        """Join the durable consumer *group* of *subjects*, in each stream that holds some of them.

        Its dead letters go to ``dead.<owner>``, by default the group itself. Of each stream at
        most *max_ack_pending* messages are delivered and not acknowledged. With *pull_on_demand*
        messages come when they are taken, up to 0.25 s later and with fewer wake-ups.
        """

    def history(self, subjects: Sequence[str], *, since: datetime | None) -> AsyncIterator[Stored]:
        """All that is stored on *subjects* up to now, from *since* on, in that order. It
        acknowledges nothing."""

    async def newest(self, subject: str) -> Stored | None:
        """The last message stored on *subject*."""

    async def offset(self, subjects: Sequence[str], *, group: str) -> ConsumerOffset:
        """How far *group* has come in the one stream that holds *subjects*."""

    def bucket(self, name: str) -> Bucket:
        """The bucket *name* of the key-value store, made when it is used first."""

    @property
    def connected(self) -> bool: ...
