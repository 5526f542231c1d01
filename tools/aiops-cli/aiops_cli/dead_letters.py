"""Dead letters in the broker: read them, and put them back where they came from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
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


class NoSuchLetter(AiopsError):
    """There is no such dead letter."""


@dataclass(frozen=True)
class Letter:
    """One message that a service could not handle; *id* is its place in the stream ``OPS``."""

    id: int
    at: datetime
    service: str
    subject: str  # where it was addressed
    source: str  # STREAM/sequence of the original
    reason: str
    data: bytes
    truncated_from: int | None = None  # bytes of the original, when not all of it was kept

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
            data=data,
            truncated_from=None if cut is None else int(cut) if cut.isdecimal() else 0,
        )

    def text(self) -> str:
        """The original bytes, as far as they are text."""
        return self.data.decode(errors="backslashreplace")


class DeadLetters:
    """All dead letters of one broker. Raises Unavailable when it does not answer."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[DeadLetters]:
        with _one_line(url):
            client = await nats.connect(
                url, connect_timeout=2, max_reconnect_attempts=1, error_cb=_ignore
            )
            try:
                yield cls(client.jetstream(timeout=TIMEOUT))
            finally:
                await client.close()

    async def all(self, service: str | None = None) -> AsyncIterator[Letter]:
        """Oldest first, of one *service* or of all."""
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
                yield Letter.of(
                    meta.sequence.stream, meta.timestamp, msg.subject, msg.data, msg.headers or {}
                )
        await self._js.delete_consumer(OPS, info.name)

    async def get(self, id_: int) -> Letter:
        try:
            raw: RawStreamMsg = await self._js.get_msg(OPS, id_)
        except NotFoundError:
            raise NoSuchLetter(f"there is no dead letter {id_}") from None
        if not (raw.subject or "").startswith("dead."):
            raise NoSuchLetter(f"message {id_} of {OPS} is no dead letter")
        at = raw.time or datetime.now(UTC)
        return Letter.of(id_, at, raw.subject or "", raw.data or b"", raw.headers or {})

    async def replay(self, letter: Letter) -> None:
        """Publish it to its original subject, then remove the letter.

        In this order, so that a crash between the two repeats the message instead of losing it; the
        broker drops the repetition by its id.
        """
        if letter.truncated_from is not None:
            raise Reject(f"dead letter {letter.id} is cut, only a part of the message was kept")
        if not letter.subject:
            raise Reject(f"dead letter {letter.id} does not say where it came from")
        headers = {MSG_ID: f"replay/{OPS}/{letter.id}"}
        try:
            await self._js.publish(letter.subject, letter.data, headers=headers)
        except (BadSubjectError, NoStreamResponseError) as exc:  # anybody may have written it
            where = repr(letter.subject)
            raise Reject(f"dead letter {letter.id} is of {where}, which no stream has") from exc
        await self._js.delete_msg(OPS, letter.id)


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
    """nats-py would print it; the caller hears of it as an exception anyway."""
