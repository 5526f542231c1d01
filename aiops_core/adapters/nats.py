"""The bus over NATS JetStream.

Pulling keeps standing requests open and takes what arrives by callback: ``fetch(n)`` of nats-py can
wait out its timeout on a partial batch, which would be the p99. Publishing sends a whole batch before
it waits for the first acknowledgement (``nats_store``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

import aiops_core
from aiops_core.adapters.nats_bucket import NatsBucket
from aiops_core.adapters.nats_client import LeanClient
from aiops_core.adapters.nats_inbox import NatsDelivery, NatsInbox, PatientInbox
from aiops_core.adapters.nats_merged import MergedInbox, in_order
from aiops_core.adapters.nats_store import ACK_TIMEOUT, MSG_ID, Letter, try_store
from aiops_core.adapters.nats_streams import by_stream, ensure_streams, stream_of
from aiops_core.bus import (
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
from aiops_core.errors import Unavailable
from aiops_core.probe import Readiness
from aiops_core.retention import Streams
from aiops_core.utils import StructuredLogger

log = StructuredLogger.get_logger(name="nats", service="aiops_core", version=aiops_core.__version__)

DEPENDENCY = "nats"
ACK_WAIT = 5.0  # seconds after which an unsettled message is delivered again
RECONNECT = 0.25  # seconds between tries, for ever
HISTORY_PAGE = 500

TRUNCATED = "Aiops-Truncated-From"


class Group(NamedTuple):
    """What a durable consumer takes, and how much of it may be out."""

    subjects: tuple[str, ...]
    unsettled: int


class NatsBus:
    """One connection to the broker, for ever: it reconnects until it is closed."""

    def __init__(self, url: str, limits: Streams, readiness: Readiness, name: str) -> None:
        self._url, self._limits, self._name = url, limits, name
        self._readiness = readiness
        self._inboxes: list[NatsInbox] = []
        self._groups: dict[tuple[str, str], Group] = {}  # by stream and name
        self._said = ""
        self.connection = LeanClient()
        readiness.needs(DEPENDENCY, required=True)

    @property
    def js(self) -> JetStreamContext:
        return self._js

    @property
    def connected(self) -> bool:
        return self.connection.is_connected

    async def connect(self) -> None:
        """Returns when the broker has answered and the streams exist; waits for that for ever."""
        while True:
            try:
                await self.connection.connect(
                    self._url,
                    name=self._name,
                    max_reconnect_attempts=-1,
                    allow_reconnect=True,
                    reconnect_time_wait=RECONNECT,  # type: ignore[arg-type]
                    connect_timeout=2,
                    ping_interval=10,
                    max_outstanding_pings=3,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                )
                self._js = self.connection.jetstream(timeout=ACK_TIMEOUT)
                await self._ensure_streams()
                break
            except (TimeoutError, NatsError, OSError) as exc:
                self._readiness.down(DEPENDENCY, _line(exc))
                log.warning("waiting for nats", url=_without_password(self._url), reason=_line(exc))
                await asyncio.sleep(1)
        self._readiness.up(DEPENDENCY)

    async def close(self) -> None:
        # Not drain(): nats-py 2.16 waits 30 s for pull subscriptions that timed out once.
        if self.connection.is_connected:
            with contextlib.suppress(NatsError, asyncio.TimeoutError):
                await self.connection.flush(timeout=2)
        # RuntimeError: uvloop's, of a connection that broke just now and is written to once more.
        with contextlib.suppress(NatsError, OSError, RuntimeError):
            await self.connection.close()

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        for _, items in groupby(outgoing, key=lambda item: stream_of(item.message.subject)):
            await self.store([_letter(item) for item in items])

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
        return await self._store_alone(f"dead.{owner}", data, headers)

    async def store(self, letters: Sequence[Letter]) -> None:
        """Store all, in order; on any failure again from the first that failed: ids keep it single."""
        rest = letters
        while rest:
            rest = await try_store(self.connection, self.js, rest)
            if rest:
                await asyncio.sleep(RECONNECT)

    async def _store_alone(self, subject: str, data: bytes, headers: dict[str, str]) -> bool:
        """Like ``store`` for one; says whether its id was new to the broker."""
        while True:
            try:
                return not (await self.js.publish(subject, data, headers=headers)).duplicate
            except (TimeoutError, NatsError) as exc:
                log.warning("publish failed, trying again", reason=_line(exc))
                await asyncio.sleep(RECONNECT)

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
            await self._patiently(partial(self.ensure_consumer, stream, group))
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

    async def ensure_consumer(self, stream: str, group: str) -> None:
        """Create the durable consumer, or update its subjects; its position stays."""
        try:
            config = (await self.js.consumer_info(stream, group)).config
        except NotFoundError:
            config = ConsumerConfig(
                durable_name=group,
                ack_policy=AckPolicy.EXPLICIT,
                deliver_policy=DeliverPolicy.ALL,
            )
        wanted = self._groups[stream, group]
        config.ack_wait = ACK_WAIT
        config.filter_subjects = list(wanted.subjects)
        config.max_ack_pending = wanted.unsettled
        await self.js.add_consumer(stream, config)

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
        try:
            info = await self.js.add_consumer(stream, config)
            async for msg in self._pages(stream, info.name, info.num_pending or 0):
                meta = msg.metadata
                at = meta.timestamp.astimezone(UTC)
                yield Stored(msg.subject, msg.data, at, meta.sequence.stream, msg.headers or {})
        except (NatsError, TimeoutError) as exc:
            raise Unavailable(f"nats: the history of {stream} broke off: {_line(exc)}") from exc

    async def _pages(self, stream: str, consumer: str, left: int) -> AsyncIterator[Msg]:
        reader = await self.js.pull_subscribe_bind(consumer, stream)
        try:
            while left > 0:
                for msg in await reader.fetch(min(left, HISTORY_PAGE), timeout=ACK_TIMEOUT):
                    left -= 1
                    yield msg
        finally:
            with contextlib.suppress(NatsError, TimeoutError):
                await reader.unsubscribe()
                await self.js.delete_consumer(stream, consumer)

    async def newest(self, subject: str) -> Stored | None:
        try:
            raw = await self.js.get_last_msg(stream_of(subject), subject)
        except NotFoundError:
            return None
        except (NatsError, TimeoutError) as exc:
            raise Unavailable(f"nats: the newest {subject} is out of reach: {_line(exc)}") from exc
        return Stored(subject, raw.data or b"", raw.time or datetime.now(UTC), raw.seq or 0)

    async def reached(self, subjects: Sequence[str], *, group: str) -> Reached:
        [stream] = by_stream(subjects)
        try:
            info = await self.js.consumer_info(stream, group)
        except NotFoundError:
            return Reached()
        except (NatsError, TimeoutError) as exc:
            raise Unavailable(f"nats: how far {group} came is out of reach: {_line(exc)}") from exc
        settled, delivered = info.ack_floor, info.delivered
        return Reached(
            settled.stream_seq if settled else 0, delivered.stream_seq if delivered else 0
        )

    def bucket(self, name: str) -> Bucket:
        return NatsBucket(self, name)

    async def _ensure_streams(self) -> None:
        await ensure_streams(self.js, self._limits, partial(self._readiness.down, DEPENDENCY))

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await work()
            except (TimeoutError, NatsError) as exc:
                log.warning("nats refused, trying again", reason=_line(exc))
                await asyncio.sleep(1)

    async def _on_error(self, exc: Exception) -> None:
        """Called for every failed try to connect; the same reason is said once."""
        if self._said != _line(exc):
            self._said = _line(exc)
            log.warning("nats connection", reason=self._said)

    async def _on_disconnect(self) -> None:
        self._readiness.down(DEPENDENCY, "connection lost, reconnecting")

    async def _on_reconnect(self) -> None:
        self._said = ""
        self._readiness.up(DEPENDENCY)
        for inbox in self._inboxes:
            await inbox.restart()


def _letter(item: Outgoing) -> Letter:
    message = item.message
    return Letter(message.subject, message.model_dump_json().encode(), {MSG_ID: item.id})


def _line(exc: BaseException | None) -> str:
    if isinstance(exc, APIError) and exc.description:
        return exc.description
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


def _header(text: str) -> str:
    return " ".join(text.split())[:1000].encode("ascii", "backslashreplace").decode()


def _without_password(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else url.rpartition("@")[2]
