"""Sentences as they come from a multiplexer, over UDP or TCP → messages for a sink."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiops_core
from aiops_cli.ingest.nmea.reader import NmeaReader
from aiops_cli.ingest.parsed import Unreadable
from aiops_cli.ingest.sink import Sender
from aiops_cli.ingest.stamp import Origin, Stamper
from aiops_core.errors import AiopsError, Misconfigured, first_of
from aiops_core.models import LogEntry, MetricSample
from aiops_core.runtime.service import utc_now
from aiops_core.utils import StructuredLogger

WAITING = 10_000  # sentences at most; of more the oldest are lost, which is counted
TOGETHER = 0.2  # seconds in which sentences gather before they are sent
LONGEST = 1024  # bytes of a line; a sentence has 82, with a tag block some more
SENDERS = 32  # multiplexers that are told apart
RETRY = (1.0, 2.0, 5.0, 10.0)  # seconds before a connection is tried again
SAY_EVERY = 60.0  # seconds between words about what is refused or lost

log = StructuredLogger.get_logger(name="nmea", service="nmea", version=aiops_core.__version__)


@dataclass
class Heard:
    """What became of the sentences so far."""

    sentences: int = 0
    samples: int = 0
    refused: int = 0
    lost: int = 0
    newest_refusal: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    sender: str
    text: str
    at: datetime


class Listener:
    """Takes lines from any number of senders, and gives what they measure to *sink*."""

    def __init__(
        self, origin: Origin, sink: Sender, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.heard = Heard()
        self._sink, self._clock = sink, clock
        self._stamper = Stamper(origin)
        self._readers: OrderedDict[str, NmeaReader] = OrderedDict()
        self._waiting: asyncio.Queue[_Line] = asyncio.Queue(WAITING)

    def take(self, sender: str, data: bytes) -> None:
        """Lines in one datagram, or one line of a stream."""
        for line in data.decode("ascii", "replace").splitlines():
            if not line.strip():
                continue
            if self._waiting.full():
                self._waiting.get_nowait()
                self.heard.lost += 1
            self._waiting.put_nowait(_Line(sender, line, self._clock()))

    async def run(self) -> None:
        """Ends by cancellation."""
        while True:
            first = await self._waiting.get()
            await asyncio.sleep(TOGETHER)
            await self._send([first, *self._gathered()])

    async def flush(self) -> None:
        """Send what waits."""
        await self._send(self._gathered())

    async def say(self) -> None:
        """Word of what goes wrong, now and then; ends by cancellation."""
        said = (0, 0)
        while True:
            await asyncio.sleep(SAY_EVERY)
            now = (self.heard.refused, self.heard.lost)
            if now != said:
                refused, lost = now
                log.warning("refused", total=refused, lost=lost, newest=self.heard.newest_refusal)
                said = now

    def _read(self, line: _Line) -> Sequence[LogEntry | MetricSample]:
        self.heard.sentences += 1
        try:
            return self._stamper.stamp(self._reader(line.sender).read(line.text, line.at), line.at)
        except Unreadable as exc:
            self.heard.refused += 1
            self.heard.newest_refusal = f"{line.sender}: {exc}: {line.text[:100]}"
            return ()

    def _reader(self, sender: str) -> NmeaReader:
        if sender not in self._readers and len(self._readers) >= SENDERS:
            self._readers.popitem(last=False)
        return self._readers.setdefault(sender, NmeaReader(live=True))

    def _gathered(self) -> list[_Line]:
        return [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]

    async def _send(self, lines: Sequence[_Line]) -> None:
        entries = [entry for line in lines for entry in self._read(line)]
        if entries:
            await self._sink.send(entries)
            self.heard.samples += len(entries)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._listener.take(addr[0], data)


@contextlib.asynccontextmanager
async def udp(listener: Listener, host: str, port: int) -> AsyncIterator[int]:
    """Hear datagrams that are sent to *host*:*port*; yields the port."""
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(listener), local_addr=(host, port)
        )
    except OSError as exc:
        raise Misconfigured(f"cannot listen on UDP {host}:{port}: {exc.strerror}") from exc
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@dataclass
class TcpClient:
    """Reads from a multiplexer that serves its sentences, and connects again for ever."""

    listener: Listener
    host: str
    port: int
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _failed: int = field(default=0)

    async def run(self) -> None:
        """Ends by cancellation."""
        while True:
            try:
                await self._read()
                self._trouble("the connection was closed")
            except (OSError, asyncio.IncompleteReadError, ValueError) as exc:
                self._trouble(str(exc) or type(exc).__name__)
            await self.sleep(RETRY[min(self._failed, len(RETRY)) - 1])

    async def _read(self) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=LONGEST)
        with contextlib.closing(writer):
            while line := await reader.readline():  # ValueError: longer than the limit
                if self._failed:
                    log.info("hears again", address=f"{self.host}:{self.port}")
                    self._failed = 0
                self.listener.take(self.host, line)

    def _trouble(self, reason: str) -> None:
        if not self._failed:
            log.warning("not connected", address=f"{self.host}:{self.port}", reason=reason)
        self._failed += 1


@contextlib.asynccontextmanager
async def running(loops: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run *loops* while the body runs; a loop that fails ends the body with its error."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except* AiopsError as failed:
        problem = first_of(failed)
    else:
        return
    raise problem
