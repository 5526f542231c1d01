"""Dead letters in the broker: read them, and publish them to their original subject again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import nats
from nats.errors import BadSubjectError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RawStreamMsg
from nats.js.errors import NoStreamResponseError, NotFoundError

from aiops_core.adapters.nats_publish import MSG_ID, TRUNCATED
from aiops_core.adapters.nats_streams import OPS
from aiops_core.errors import AiopsError, Reject, Unavailable
from aiops_core.runtime.bus import REASON, SOURCE, SUBJECT

DEAD = "dead.>"
PAGE = 200
TIMEOUT = 5.0  # seconds


class NoSuchDeadLetter(AiopsError):
    """There is no such dead letter."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that a service could not handle. *id* is its sequence in the stream ``OPS``."""

    id: int
    at: datetime
    service: str
    subject: str  # of the original
    source: str  # STREAM/sequence of the original
    reason: str
    truncated_from: int | None  # bytes of the original, when it was cut
    data: bytes

    @classmethod
    def of(cls, id_: int, at: datetime, subject: str, data: bytes, headers: dict[str, str]) -> Self:
        cut = headers.get(TRUNCATED)
        return cls(
            id=id_,
            at=at.astimezone(UTC),
            service=subject.removeprefix("dead."),
            subject=headers.get(SUBJECT, ""),
            source=headers.get(SOURCE, ""),
            reason=headers.get(REASON, ""),
            truncated_from=None if cut is None else int(cut) if cut.isdecimal() else 0,
            data=data,
        )

    def text(self) -> str:
        """The original bytes as text; a byte that is not text is escaped."""
        return self.data.decode(errors="backslashreplace")


class DeadLetterStream:
    """The dead letters of one broker. Raises Unavailable when the broker does not answer."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[DeadLetterStream]:
        with _one_line(url):
            client = await nats.connect(
                url, connect_timeout=2, max_reconnect_attempts=1, error_cb=_ignore
            )
            try:
                yield cls(client.jetstream(timeout=TIMEOUT))
            finally:
                await client.close()

    async def all(self, service: str | None = None) -> AsyncIterator[DeadLetter]:
        """Dead letters of *service* or of all services, oldest first."""
        info = await self._js.add_consumer(
            OPS,
            ConsumerConfig(
                filter_subject=f"dead.{service}" if service else DEAD,
                ack_policy=AckPolicy.NONE,
                deliver_policy=DeliverPolicy.ALL,
                inactive_threshold=60,
                mem_storage=True,
            ),
        )
        left = info.num_pending or 0
        reader = await self._js.pull_subscribe_bind(info.name, OPS)
        while left > 0:
            for msg in await reader.fetch(min(left, PAGE), timeout=TIMEOUT):
                left -= 1
                meta = msg.metadata
                yield DeadLetter.of(
                    meta.sequence.stream, meta.timestamp, msg.subject, msg.data, msg.headers or {}
                )
        await self._js.delete_consumer(OPS, info.name)

    async def get(self, id_: int) -> DeadLetter:
        try:
            raw: RawStreamMsg = await self._js.get_msg(OPS, id_)
        except NotFoundError:
            raise NoSuchDeadLetter(f"there is no dead letter {id_}") from None
        if not (raw.subject or "").startswith("dead."):
            raise NoSuchDeadLetter(f"message {id_} of {OPS} is no dead letter")
        at = raw.time or datetime.now(UTC)
        return DeadLetter.of(id_, at, raw.subject or "", raw.data or b"", raw.headers or {})

    async def chosen(self, idents: Iterable[int], service: str | None) -> list[DeadLetter]:
        """The dead letters *idents*; without any, those of *service* or of all services."""
        found = [await self.get(ident) for ident in idents]
        return found or [one async for one in self.all(service)]

    async def replay(self, dead_letter: DeadLetter) -> None:
        """Publish the original, then remove the dead letter.

        After a crash between the two the message is published again; the broker drops the second
        one by its id.
        """
        if dead_letter.truncated_from is not None:
            raise Reject(
                f"dead letter {dead_letter.id} is cut, only a part of the message was kept"
            )
        if not dead_letter.subject:
            raise Reject(f"dead letter {dead_letter.id} does not say where it came from")
        headers = {MSG_ID: f"replay/{OPS}/{dead_letter.id}"}
        try:
            await self._js.publish(dead_letter.subject, dead_letter.data, headers=headers)
        except (
            BadSubjectError,
            NoStreamResponseError,
        ) as exc:  # any client may publish dead letters
            where = repr(dead_letter.subject)
            raise Reject(
                f"dead letter {dead_letter.id} is of {where}, which no stream has"
            ) from exc
        await self._js.delete_msg(OPS, dead_letter.id)


@contextlib.contextmanager
def _one_line(url: str) -> Iterator[None]:
    try:
        yield
    except NotFoundError as exc:
        raise Unavailable(f"nats at {url} has no stream {OPS}; has the fleet run yet?") from exc
    except (NatsError, OSError, TimeoutError) as exc:
        why = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        raise Unavailable(f"nats at {url} is not reachable ({why})") from exc


async def _ignore(exc: Exception) -> None:
    """Instead of nats-py's own handler, which prints; the caller gets the exception anyway."""
