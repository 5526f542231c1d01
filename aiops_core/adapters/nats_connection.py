"""One connection to NATS for the life of a process, and what the broker refuses to do meanwhile.

nats-py reconnects by itself, but it closes the client for good after most errors that the broker
sends (``-ERR``), and it knows nothing of streams. So one task of each connection opens a new
client when nats-py has given up the old one, and it ensures the streams after every connection and
after every refusal. ``/ready`` shows what the broker refuses; the log says it once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from aiops_core.adapters.nats_problems import CONNECTION, BrokerProblems, first_line
from aiops_core.adapters.nats_requests import OpenRequests
from aiops_core.errors import Unavailable
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import AWAY

T = TypeVar("T")
EnsureStreams = Callable[[JetStreamContext], Awaitable[None]]
ANSWER_WITHIN = 5.0  # seconds that the broker may take to answer a request
RECONNECT = 0.25  # seconds between two tries to connect
CHECK_EVERY = 5.0  # seconds between two looks at the client
GIVEN_UP = 15.0  # seconds without a connection, after which a new client is opened

# What nats-py raises when the broker is away or refuses (TimeoutError is an OSError). Everything
# else is a bug.
FAILURES = (NatsError, OSError, Unavailable)


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """Raise a cancellation that the body has swallowed.

    nats-py swallows it while it flushes, ``asyncio.wait_for`` does before Python 3.12.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


@contextlib.contextmanager
def unavailable(problem: str) -> Iterator[None]:
    """Raise Unavailable with *problem* for every failure of the broker."""
    try:
        with cancellable():
            yield
    except Unavailable:
        raise
    except FAILURES as exc:
        raise Unavailable(f"nats: {problem}: {first_line(exc)}") from exc


class NatsConnection:
    """*ensure_streams* is awaited after every connection, before the broker counts as reached, and
    after every refusal. The functions in *on_loss* are called when the connection is lost."""

    def __init__(
        self, url: str, name: str, readiness: Readiness, ensure_streams: EnsureStreams
    ) -> None:
        self._url, self._name, self._ensure_streams = url, name, ensure_streams
        self._problems = BrokerProblems(readiness)
        self._client: Client | None = None
        self.js: JetStreamContext
        self.requests: OpenRequests
        self.on_loss: list[Callable[[], None]] = []
        self._losses, self._changed_at = 0, time.monotonic()  # when it was connected, or lost
        self._online = asyncio.Event()
        self._reached = asyncio.Event()  # JetStream has answered and the streams exist
        self._wakeup = asyncio.Event()  # the upkeep has something to do
        self._upkeep: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def client(self) -> Client:
        """The present client; a former one and its subscriptions are closed."""
        if self._client is None:
            raise Unavailable("nats: the bus is not open")
        return self._client

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    async def connect(self) -> None:
        """Return when JetStream has answered and the streams exist, however long that takes."""
        self._upkeep = asyncio.create_task(self._keep_up(), name="nats connection")
        await self._wait(self._reached)

    async def close(self) -> None:
        """Raises what ended the upkeep, if that was a bug."""
        upkeep, self._closing = self._upkeep, True
        while upkeep and not upkeep.done():  # nats-py may swallow a cancellation
            upkeep.cancel()
            await asyncio.wait({upkeep}, timeout=1)
        # Not drain(): nats-py 2.16 waits 30 s for pull subscriptions that timed out once.
        if self.connected:
            with contextlib.suppress(*FAILURES):
                await self.client.flush(timeout=2)
        await self._close_client()
        if upkeep and not upkeep.cancelled():
            upkeep.result()

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        with cancellable():
            await self.client.publish(subject, data, reply, dict(headers) if headers else None)

    async def ensure_streams(self) -> None:
        await self._ensure_streams(self.js)

    async def persistently(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of *work*, which is tried again while the broker is away or refuses it."""
        failures = 0
        try:
            while True:
                await self._wait(self._online)
                losses = self._losses
                try:
                    with cancellable():
                        return await work()
                except FAILURES as exc:
                    failures += 1
                    if losses == self._losses:
                        self.refused(operation, exc)
                    await asyncio.sleep(AWAY.after(failures) if losses == self._losses else 0)
        finally:
            self.works(operation)

    def refused(self, operation: str, exc: Exception) -> None:
        """Show that the broker, if it is connected, did not do *operation*."""
        age = time.monotonic() - self._changed_at
        if self.connected and not (isinstance(exc, TimeoutError) and age < ANSWER_WITHIN):
            self._problems.add(operation, f"refuses to {operation}: {self._problems.reason(exc)}")
            self._wakeup.set()

    def works(self, operation: str) -> None:
        self._problems.clear(operation)

    async def failure(self) -> None:
        """Raises what ended the upkeep; never returns."""
        await self._wait(asyncio.Event())

    async def _wait(self, event: asyncio.Event) -> None:
        """Return when *event* is set; raises what ended the upkeep."""
        upkeep = self._upkeep
        if upkeep and not upkeep.done() and not event.is_set():
            waiting = asyncio.create_task(event.wait())
            try:
                await asyncio.wait({waiting, upkeep}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        if upkeep is None or upkeep.cancelled():
            raise Unavailable("nats: the bus is not open")
        if upkeep.done():
            upkeep.result()

    async def _keep_up(self) -> None:
        await self._open_client()
        while True:
            if self._wakeup.is_set():
                self._wakeup.clear()
                await self._keep_streams()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY):
                    await self._wakeup.wait()
            away = not self.connected and time.monotonic() - self._changed_at > GIVEN_UP
            if self.client.is_closed or away:
                await self._close_client()
                await self._open_client()

    async def _open_client(self) -> None:
        failures = 0
        while True:
            self._client = Client()
            try:
                with cancellable():
                    await self._connect(self._client)
                break
            except FAILURES as exc:
                failures += 1
                await self._on_error(exc)
                await self._close_client()
                await asyncio.sleep(AWAY.after(failures))
        self.js = self._client.jetstream(timeout=ANSWER_WITHIN)
        self.requests = OpenRequests(self._client)
        await self._on_connect()

    async def _connect(self, client: Client) -> None:
        """Tries again by itself while nothing listens at the address."""
        await client.connect(
            self._url,
            name=self._name,
            max_reconnect_attempts=-1,
            allow_reconnect=True,
            reconnect_time_wait=RECONNECT,  # type: ignore[arg-type]
            connect_timeout=2,
            ping_interval=10,
            max_outstanding_pings=3,
            skip_subject_validation=True,  # they are constants and reply addresses
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_connect,
            closed_cb=self._on_disconnect,
        )

    async def _close_client(self) -> None:
        # RuntimeError: uvloop's, when it writes to a connection that broke just now.
        with contextlib.suppress(*FAILURES, RuntimeError):
            if self._client:
                await self._client.close()

    async def _keep_streams(self) -> None:
        """Return when the streams exist or the connection is lost."""
        failures = 0
        while self.connected:
            losses = self._losses
            try:
                with cancellable():
                    await self.ensure_streams()
            except FAILURES as exc:
                failures += 1
                problem = f"refuses to show or make its streams: {self._problems.reason(exc)}"
                self._problems.add(CONNECTION, problem)
                await asyncio.sleep(AWAY.after(failures))
            else:
                if losses == self._losses:
                    self._problems.clear(CONNECTION)
                    self._reached.set()
                return

    async def _on_connect(self) -> None:
        self._changed_at = time.monotonic()
        self._online.set()
        self._wakeup.set()

    async def _on_disconnect(self) -> None:
        """nats-py has lost the connection, or has closed the client for good."""
        if self.connected:
            return  # it was the former client
        if self._online.is_set():
            self.requests.give_up()
            self._changed_at = time.monotonic()
        self._losses += 1
        self._online.clear()
        self._wakeup.set()
        if not self._closing:
            self._problems.add(CONNECTION, "connection lost, reconnecting")
            for lost in self.on_loss:
                lost()

    async def _on_error(self, exc: Exception) -> None:
        """Called for every failed try to connect, and for every error that the broker sends."""
        reason = first_line(exc)
        if not self.connected:
            self._problems.add(CONNECTION, f"not connected: {reason}")
            return
        self._problems.complained(reason)
