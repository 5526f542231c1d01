"""Sentences from a multiplexer, over UDP or TCP → messages for a sink."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiops_core
from aiops_cli.ingest.lines import IngestMessage, LineOrigin, messages_of
from aiops_cli.ingest.nmea.reader import NmeaReader
from aiops_cli.ingest.sink import MessageSink
from aiops_core.errors import Misconfigured
from aiops_core.normaliser.parsed import Unreadable
from aiops_core.runtime.service import utc_now
from aiops_core.utils import StructuredLogger

QUEUE = 10_000  # sentences at most; when it is full the oldest are lost, which is counted
LINGER = 0.2  # seconds in which sentences gather before they are sent
LONGEST = 1024  # bytes of a line; a sentence has 82, a tag block some more
SENDERS = 32  # multiplexers that are told apart
RETRY = (1.0, 2.0, 5.0, 10.0)  # seconds before a connection is tried again
REPORT_EVERY = 60.0  # seconds between log lines about refused and lost sentences

log = StructuredLogger.get_logger(name="nmea", service="nmea", version=aiops_core.__version__)


@dataclass
class ListenerStats:
    """Counts since the start. Field names are the keys of ``aiops nmea --json``."""

    sentences: int = 0
    samples: int = 0
    refused: int = 0
    lost: int = 0
    newest_refusal: str = ""


@dataclass(frozen=True, slots=True)
class _ReceivedSentence:
    sender: str
    text: str
    at: datetime


class Listener:
    """Takes sentences from any number of senders, and sends their readings to *sink*."""

    def __init__(
        self, origin: LineOrigin, sink: MessageSink, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.stats = ListenerStats()
        self._origin, self._sink, self._clock = origin, sink, clock
        self._readers: OrderedDict[str, NmeaReader] = OrderedDict()
        self._queue: asyncio.Queue[_ReceivedSentence] = asyncio.Queue(QUEUE)

    def take(self, sender: str, data: bytes) -> None:
        """Queue the lines of one datagram, or one line of a stream."""
        for line in data.decode("ascii", "replace").splitlines():
            if not line.strip():
                continue
            if self._queue.full():
                self._queue.get_nowait()
                self.stats.lost += 1
            self._queue.put_nowait(_ReceivedSentence(sender, line, self._clock()))

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            first = await self._queue.get()
            await asyncio.sleep(LINGER)
            await self._send([first, *self._queued()])

    async def flush(self) -> None:
        """Send what is queued."""
        await self._send(self._queued())

    async def report(self) -> None:
        """Log refused and lost sentences when there are new ones; until cancelled."""
        reported = (0, 0)
        while True:
            await asyncio.sleep(REPORT_EVERY)
            stats = self.stats
            if (now := (stats.refused, stats.lost)) != reported:
                reported = now
                log.warning(
                    "refused", total=stats.refused, lost=stats.lost, newest=stats.newest_refusal
                )

    def _queued(self) -> list[_ReceivedSentence]:
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    async def _send(self, sentences: Sequence[_ReceivedSentence]) -> None:
        entries = [entry for sentence in sentences for entry in self._messages(sentence)]
        if entries:
            await self._sink.send(entries)
            self.stats.samples += len(entries)

    def _messages(self, sentence: _ReceivedSentence) -> Sequence[IngestMessage]:
        sender, text = sentence.sender, sentence.text
        if sender not in self._readers and len(self._readers) >= SENDERS:
            self._readers.popitem(last=False)
        reader = self._readers.setdefault(sender, NmeaReader(live=True))
        self.stats.sentences += 1
        try:
            return messages_of(reader.read(text, sentence.at), self._origin, sentence.at)
        except Unreadable as exc:
            self.stats.refused += 1
            self.stats.newest_refusal = f"{sender}: {exc}: {text[:100]}"
            return ()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._listener.take(addr[0], data)


@contextlib.asynccontextmanager
async def udp(listener: Listener, host: str, port: int) -> AsyncIterator[int]:
    """Receive datagrams that are sent to *host*:*port*; yields the port."""
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


async def tcp(
    listener: Listener,
    host: str,
    port: int,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Read from the multiplexer at *host*:*port*, and reconnect, until cancelled."""
    address, failed = f"{host}:{port}", 0
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port, limit=LONGEST)
            with contextlib.closing(writer):
                while line := await reader.readline():  # ValueError: longer than the limit
                    if failed:
                        log.info("hears again", address=address)
                        failed = 0
                    listener.take(host, line)
            reason = "the connection was closed"
        except (OSError, asyncio.IncompleteReadError, ValueError) as exc:
            reason = str(exc) or type(exc).__name__
        if not failed:
            log.warning("not connected", address=address, reason=reason)
        failed += 1
        await sleep(RETRY[min(failed, len(RETRY)) - 1])
