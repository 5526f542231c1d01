"""The connection to the broker, kept up for ever, and what the broker refuses to do at the moment.

nats-py reconnects by itself, but for most errors that the broker sends (``-ERR``) it closes the
client for good, and it knows nothing of streams. The keeper, one task of each bus, opens a new
client then, and sees to the streams after every connection and whenever something was refused.
``/ready`` says what does not work; the log says it once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError

import aiops_core
from aiops_core.adapters.nats_client import LeanClient, cancellable
from aiops_core.errors import Unavailable
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.backoff import AWAY, SAID_EVERY
from aiops_core.utils import StructuredLogger

T = TypeVar("T")
log = StructuredLogger.get_logger(name="nats", service="aiops_core", version=aiops_core.__version__)

DEPENDENCY = "nats"
CONNECTION, NOT_YET = "connection", "not reached yet"  # the trouble from which all others follow
ANSWER_WITHIN = 5.0  # seconds that the broker may take to acknowledge a publication or a request
RECONNECT = 0.25  # seconds between two tries to connect, for ever
LOOK_EVERY = 5.0  # seconds between looks whether nats-py still works on the connection
SAY_MOST = 100  # different lines in a minute; reasons may quote what a stranger sent

FORBIDDEN = "permissions violation"  # how the broker's complaint begins
FORBIDDEN_FOR = 2 * ANSWER_WITHIN  # seconds for which it explains why no answer came

# What a broker that is away or refuses makes nats-py raise; TimeoutError is an OSError. All else
# is a bug.
FAILURES = (NatsError, OSError, Unavailable)


def line(exc: BaseException | None) -> str:
    """What went wrong, without the rest of it."""
    if isinstance(exc, APIError) and exc.description:
        return exc.description
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


class Troubles:
    """What does not work now, by what was asked of the broker."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._open = {CONNECTION: NOT_YET}
        self._said: dict[str, float] = {}
        readiness.needs(DEPENDENCY, required=True)

    def add(self, what: str, problem: str) -> None:
        self.show(what, problem)
        self.say("nats does not work", problem)

    def show(self, what: str, problem: str) -> None:
        self._open[what] = problem
        self._show()

    def over(self, what: str) -> None:
        problem = self._open.pop(what, None)
        if problem:
            self._show()
        if problem and problem != NOT_YET:
            self.say("nats works again", problem, "info")

    def say(self, event: str, problem: str, level: str = "warning") -> None:
        """Log it, unless that was done within the last minute."""
        now, text = time.monotonic(), f"{event}: {problem}"
        self._said = {said: at for said, at in self._said.items() if now - at < SAID_EVERY}
        if text not in self._said and len(self._said) < SAY_MOST:
            self._said[text] = now
            getattr(log, level)(event, reason=problem)

    def _show(self) -> None:
        problem = self._open.get(CONNECTION) or "; ".join(self._open.values())
        if problem:
            self._readiness.down(DEPENDENCY, problem)
        else:
            self._readiness.up(DEPENDENCY)


class Broker:
    """One connection to the broker, until it is closed. *prepare* is awaited after every
    connection, before the broker counts as reached, and after every refusal: it sees that the
    streams are there. *lost* is called when the connection is."""

    def __init__(
        self,
        url: str,
        name: str,
        readiness: Readiness,
        *,
        prepare: Callable[[], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        self._url, self._name, self._prepare, self._lost = url, name, prepare, lost
        self._troubles = Troubles(readiness)
        self.client = LeanClient()
        self.js: JetStreamContext
        self._losses, self._connected_at = 0, 0.0  # of connections; when the present one began
        self._online = asyncio.Event()  # while connected
        self._reached = asyncio.Event()  # once JetStream has answered and the streams exist
        self._look = asyncio.Event()  # the keeper has something to do
        self._forbidden, self._forbidden_at = "", 0.0  # the newest permissions violation
        self._keeper: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    async def connect(self) -> None:
        """Return when JetStream has answered and the streams exist, however long that takes."""
        self._keeper = asyncio.create_task(self._keep(), name="nats keeper")
        await self._wait(self._reached)

    async def close(self) -> None:
        """Raises what ended the keeper, if that was a bug."""
        keeper, self._lost = self._keeper, _nothing
        while keeper and not keeper.done():  # nats-py may swallow a cancellation
            keeper.cancel()
            await asyncio.wait({keeper}, timeout=1)
        # Not drain(): nats-py 2.16 waits 30 s for pull subscriptions that timed out once.
        if self.client.is_connected:
            with contextlib.suppress(*FAILURES):
                await self.client.flush(timeout=2)
        await _close(self.client)
        if keeper and not keeper.cancelled():
            keeper.result()

    async def persistently(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """What *work* returns. It is tried again for as long as the broker is away or refuses to
        do *what*."""
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
                        self.refused(what, exc)
                    await asyncio.sleep(AWAY.after(failures) if losses == self._losses else 0)
        finally:
            self.works(what)

    def refused(self, what: str, exc: Exception) -> None:
        """The broker, if it is there, did not do *what*."""
        age = time.monotonic() - self._connected_at
        if self.connected and not (isinstance(exc, TimeoutError) and age < ANSWER_WITHIN):
            self._troubles.add(what, f"refuses to {what}: {self._reason(exc)}")
            self._look.set()

    def _reason(self, exc: Exception) -> str:
        """What is not permitted gets no answer: the broker has said so before."""
        recently = time.monotonic() - self._forbidden_at < FORBIDDEN_FOR
        return self._forbidden if recently and isinstance(exc, TimeoutError) else line(exc)

    def preparing(self, problem: str) -> None:
        """What *prepare* is at, when it takes long."""
        self._troubles.show(CONNECTION, problem)

    def works(self, what: str) -> None:
        self._troubles.over(what)

    async def failure(self) -> None:
        """Raises what ends the keeper; never returns."""
        await self._wait(asyncio.Event())

    async def _wait(self, event: asyncio.Event) -> None:
        """Return when *event* is set; raises what ended the keeper."""
        keeper = self._keeper
        if keeper and not keeper.done() and not event.is_set():
            waiting = asyncio.create_task(event.wait())
            try:
                await asyncio.wait({waiting, keeper}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        if keeper is None or keeper.cancelled():
            raise Unavailable("nats: the bus is not open")
        if keeper.done():
            keeper.result()

    async def _keep(self) -> None:
        await self._open()
        while True:
            if self._look.is_set():
                self._look.clear()
                await self._see_to_streams()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._look.wait()
            if self.client.abandoned:
                await self._open()

    async def _open(self) -> None:
        """Connect with a new client: one that nats-py has closed keeps parts of its former life."""
        await _close(self.client)
        failures = 0
        while True:
            self.client = LeanClient()
            try:
                with cancellable():
                    await self._connect(self.client)
                break
            except FAILURES as exc:
                failures += 1
                await self._on_error(exc)
                await _close(self.client)
                await asyncio.sleep(AWAY.after(failures))
        self.js = self.client.jetstream(timeout=ANSWER_WITHIN)
        await self._on_connect()

    async def _connect(self, client: LeanClient) -> None:
        """nats-py tries again by itself while nobody listens there."""
        await client.connect(
            self._url,
            name=self._name,
            max_reconnect_attempts=-1,
            allow_reconnect=True,
            reconnect_time_wait=RECONNECT,  # type: ignore[arg-type]
            connect_timeout=2,
            ping_interval=10,
            max_outstanding_pings=3,
            error_cb=self._on_error,
            disconnected_cb=self._on_loss,
            reconnected_cb=self._on_connect,
            closed_cb=self._on_loss,
        )

    async def _see_to_streams(self) -> None:
        """Return when they exist or the connection is lost."""
        failures = 0
        while self.connected:
            losses = self._losses
            try:
                with cancellable():
                    await self._prepare()
            except FAILURES as exc:
                failures += 1
                problem = f"refuses to show or make its streams: {self._reason(exc)}"
                self._troubles.add(CONNECTION, problem)
                await asyncio.sleep(AWAY.after(failures))
            else:
                if losses == self._losses:
                    self._troubles.over(CONNECTION)
                    self._reached.set()
                return

    async def _on_connect(self) -> None:
        self._connected_at = time.monotonic()
        self._online.set()
        self._look.set()

    async def _on_loss(self) -> None:
        """The client has lost its connection, or is closed for good."""
        if self.connected:
            return  # it was the former client
        self.client.give_up_answers()
        self._losses += 1
        self._online.clear()
        self._look.set()
        if self._lost is not _nothing:
            self._troubles.add(CONNECTION, "connection lost, reconnecting")
        self._lost()

    async def _on_error(self, exc: Exception) -> None:
        """Called for every failed try to connect, and for what the broker complains of."""
        reason = line(exc)
        if not self.connected:
            self._troubles.add(CONNECTION, f"not connected: {reason}")
            return
        if FORBIDDEN in reason.lower():
            self._forbidden, self._forbidden_at = reason, time.monotonic()
        self._troubles.say("nats complains", reason)


async def _close(client: LeanClient) -> None:
    # RuntimeError: uvloop's, of a connection that broke just now and is written to once more.
    with contextlib.suppress(*FAILURES, RuntimeError):
        await client.close()


def _nothing() -> None:
    """Nobody asks any more."""
