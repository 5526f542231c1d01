"""Sentences from a multiplexer, over UDP or TCP → messages for a sink."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
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
_ENDS = re.compile(rb"[\r\n]+")
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
    wrong_sums: int = 0
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
            line = line.strip("\0 \t")
            if not line:
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
        """Log refused, lost and doubtful sentences when there are new ones; until cancelled."""
        reported = (0, 0, 0)
        while True:
            await asyncio.sleep(REPORT_EVERY)
            stats = self.stats
            if (now := (stats.refused, stats.lost, stats.wrong_sums)) != reported:
                reported = now
                log.warning(
                    "refused",
                    total=stats.refused,
                    lost=stats.lost,
                    wrong_sums=stats.wrong_sums,
                    newest=stats.newest_refusal,
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
        before = reader.wrong_sums
        try:
            content = reader.read(text, sentence.at)
            self.stats.wrong_sums += reader.wrong_sums - before
            return messages_of(content, self._origin, sentence.at)
        except Unreadable as exc:
            self.stats.refused += 1
            self.stats.newest_refusal = f"{sender}: {exc}: {text[:100]}"
            return ()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._listener.take(addr[0], data)


def _socket(host: str, port: int, groups: Sequence[str]) -> socket.socket:
    """A socket that has joined *groups*: on a ship's bridge all instruments are in some."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = socket.socket(family, socket.SOCK_DGRAM)
    try:
        own.setblocking(False)
        if groups:  # other listeners of this host may be in the group as well
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((host, port))
        for group in groups:
            member = socket.inet_aton(group) + socket.inet_aton("0.0.0.0")
            own.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError:
        own.close()
        raise
    return own


@contextlib.asynccontextmanager
async def udp(
    listener: Listener, host: str, port: int, groups: Sequence[str] = ()
) -> AsyncIterator[int]:
    """Receive datagrams to *host*:*port* and to multicast *groups*; yields the port."""
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(listener), sock=_socket(host, port, groups)
        )
    except OSError as exc:
        raise Misconfigured(f"cannot listen on UDP {host}:{port}: {exc.strerror}") from exc
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines that end with CR, LF or both; raises ValueError when one is too long."""
    rest = b""
    while chunk := await reader.read(LONGEST):
        *lines, rest = _ENDS.split(rest + chunk)
        for line in lines:
            yield line
        if len(rest) > LONGEST:
            raise ValueError(f"a line longer than {LONGEST} bytes")
    if rest:
        yield rest


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
                async for line in _lines(reader):
                    if failed:
                        log.info("hears again", address=address)
                        failed = 0
                    listener.take(host, line)
            reason = "the connection was closed"
        except (OSError, ValueError) as exc:
            reason = str(exc) or type(exc).__name__
        if not failed:
            log.warning("not connected", address=address, reason=reason)
        failed += 1
        await sleep(RETRY[min(failed, len(RETRY)) - 1])
