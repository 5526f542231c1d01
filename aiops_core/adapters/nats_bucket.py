"""A bucket of JetStream's key-value store: small state that processes share, such as silences.

A watcher gets the whole bucket after every change. nats-py's own watcher falls silent when the
broker restarts. This one subscribes to the bucket's subject, which survives a reconnection, and
compares sequences once a second in case it missed a change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy, KeyValueConfig
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from aiops_core.adapters.nats_connection import FAILURES, NatsConnection, cancellable, unavailable
from aiops_core.adapters.nats_streams import read
from aiops_core.errors import Unavailable

BUCKET_BYTES = 64 * 1024 * 1024  # at most on disk
CHECK_EVERY = 1.0  # seconds between two looks at the sequence
OPERATION = "KV-Operation"  # header of the message that deletes a key
SETTLE = 0.02  # seconds: a change is published just before it is stored


class NatsBucket:
    """Created when it is used first. Methods raise Unavailable while the broker is away."""

    def __init__(self, connection: NatsConnection, name: str) -> None:
        self._connection, self._name = connection, name
        self._opened_by: tuple[JetStreamContext, KeyValue] | None = None

    async def get(self, key: str) -> bytes | None:
        with self._reachable("read"):
            try:
                return (await (await self._opened()).get(key)).value
            except KeyNotFoundError:
                return None

    async def put(self, key: str, value: bytes) -> None:
        with self._reachable("write"):
            await (await self._opened()).put(key, value)

    async def delete(self, key: str) -> None:
        with self._reachable("write"):
            await (await self._opened()).delete(key)

    async def all(self) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        with self._reachable("read"):
            await self._opened()
            config = ConsumerConfig(
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, filter_subject=f"{self._subject}>"
            )
            async for message in read(self._connection.js, self._stream, config):
                if OPERATION not in (message.headers or {}):
                    found[message.subject.removeprefix(self._subject)] = message.data
        return found

    async def watch(self) -> AsyncIterator[Mapping[str, bytes]]:
        changed = asyncio.Event()

        async def hear(_: Msg) -> None:
            changed.set()

        operation, seen = f"show the bucket {self._name}", -1
        client: Client | None = None
        heard: Subscription | None = None
        try:
            while True:
                try:
                    with self._reachable("watch"):
                        if client is not self._connection.client:
                            client = self._connection.client
                            heard = await client.subscribe(f"{self._subject}>", cb=hear)
                    sequence = await self._sequence()
                    if sequence != seen:
                        yield await self.all()
                        seen = sequence
                    self._connection.works(operation)
                except Unavailable as exc:
                    cause = exc.__cause__ if isinstance(exc.__cause__, Exception) else exc
                    self._connection.refused(operation, cause)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_EVERY):
                        await changed.wait()
                    changed.clear()
                    await asyncio.sleep(SETTLE)
        finally:
            self._connection.works(operation)
            if heard:
                with contextlib.suppress(*FAILURES), cancellable():
                    await heard.unsubscribe()

    @property
    def _stream(self) -> str:
        return f"KV_{self._name}"

    @property
    def _subject(self) -> str:
        return f"$KV.{self._name}."

    async def _opened(self) -> KeyValue:
        js = self._connection.js
        if self._opened_by is None or self._opened_by[0] is not js:
            try:
                store = await js.key_value(self._name)
            except (BucketNotFoundError, NotFoundError):
                config = KeyValueConfig(bucket=self._name, history=1, max_bytes=BUCKET_BYTES)
                store = await js.create_key_value(config)
            self._opened_by = js, store
        return self._opened_by[1]

    async def _sequence(self) -> int:
        """Of the last change; read before the bucket, so that no change is missed."""
        with self._reachable("read"):
            await self._opened()
            return (await self._connection.js.stream_info(self._stream)).state.last_seq

    @contextlib.contextmanager
    def _reachable(self, verb: str) -> Iterator[None]:
        try:
            with unavailable(f"cannot {verb} bucket {self._name}"):
                yield
        except Unavailable:
            self._opened_by = None  # a broker that lost its disk has lost the bucket
            raise
