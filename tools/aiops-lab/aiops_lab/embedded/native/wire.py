"""Bytes in and out: varints, texts and the packets of ClickHouse's native protocol. Knows no SQL
and no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

REVISION = 54453
"""The newest revision whose blocks look exactly like the engine's `Native` format: from 54454 on
every column carries
its kind of serialization, from 54456 on every inserted block is answered by profile events."""

_PIECE = 1 << 18


class FromClient(IntEnum):
    """Packets that a client sends."""

    HELLO = 0
    QUERY = 1
    DATA = 2
    CANCEL = 3
    PING = 4


class FromServer(IntEnum):
    """Packets that the server sends."""

    HELLO = 0
    DATA = 1
    EXCEPTION = 2
    PROGRESS = 3
    PONG = 4
    END_OF_STREAM = 5
    PROFILE_INFO = 6


class ProtocolError(Exception):
    """The client sent what this server cannot follow; the connection is of no more use."""


class Incoming:
    """A buffered reader over `receive`, which returns the next bytes, or none at the end.

    Every method raises EOFError when the bytes end too early.
    """

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self._at = 0

    def fill(self, size: int) -> None:
        """Have at least `size` unread bytes in the buffer."""
        while len(self._buffer) - self._at < size:
            piece = self._receive()
            if not piece:
                raise EOFError
            del self._buffer[: self._at]
            self._at = 0
            self._buffer += piece

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        self.fill(size)
        start, self._at = self._at, self._at + size
        return bytes(self._buffer[start : self._at])

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in pieces that never need the whole in memory."""
        while size:
            piece = self.take(min(size, _PIECE))
            size -= len(piece)
            yield piece

    def peek(self) -> int | None:
        """The next byte if it is here already; never waits."""
        return self._buffer[self._at] if self._at < len(self._buffer) else None

    def byte(self) -> int:
        """One byte as a number."""
        return self.take(1)[0]

    def number(self, size: int) -> int:
        """An unsigned little-endian number of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        """An unsigned number, seven bits a byte."""
        value = shift = 0
        while (byte := self.byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def text(self) -> str:
        """A UTF-8 string with its length in front. Raises ProtocolError when it is not UTF-8."""
        try:
            return self.take(self.varint()).decode()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"not UTF-8: {error}") from error

    def strings(self, count: int) -> Iterator[bytes]:
        """The bytes of `count` strings with their lengths, in pieces: for passing on, not for
        reading.
        """
        while count:
            walked, end = walk_strings(self._buffer, self._at, count)
            piece, self._at = bytes(self._buffer[self._at : end]), end
            count -= walked
            if piece:
                yield piece
            if count:
                self.fill(len(self._buffer) - self._at + 1)


def walk_strings(buffer: bytearray, at: int, count: int) -> tuple[int, int]:
    """How many of `count` strings lie completely in `buffer` from `at`, and where the last of them
    ends.

    The one hot loop of this server (a million rows of text pass here), hence inlined and not split.
    """
    end = len(buffer)
    for walked in range(count):
        start = at
        size = shift = 0
        byte = 0x80
        while byte & 0x80:
            if at >= end:
                return walked, start
            byte = buffer[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        at += size
        if at > end:
            return walked, start
    return count, at


def varint(value: int) -> bytes:
    """An unsigned number, seven bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str) -> bytes:
    """A UTF-8 string with its length in front."""
    raw = value.encode()
    return varint(len(raw)) + raw


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client says first."""

    client: str
    revision: int
    database: str
    user: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of one query. Only an `important` unknown one is an error, as in ClickHouse."""

    name: str
    value: str
    important: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A query packet."""

    query_id: str
    settings: tuple[Setting, ...]
    compressed: bool
    sql: str


def read_hello(source: Incoming) -> Hello:
    """The hello after its packet number; the password is read and not looked at: the server is
    loopback only.
    """
    client = source.text()
    source.varint(), source.varint()
    revision = source.varint()
    database, user, _password = source.text(), source.text(), source.text()
    return Hello(client, min(revision, REVISION), database, user)


def read_query(source: Incoming, revision: int) -> Query:
    """The query after its packet number. Raises ProtocolError for clients older than settings as
    text (2019).
    """
    if revision < 54429:
        raise ProtocolError(
            f"client revision {revision} is too old, 54429 is the oldest understood"
        )
    query_id = source.text()
    _skip_client_info(source, revision)
    settings = tuple(_read_settings(source))
    if revision >= 54441:
        source.text()  # the secret between servers of a cluster
    source.varint()  # the stage: a client always asks for the complete result
    compressed = bool(source.varint())
    return Query(query_id, settings, compressed, source.text())


def _read_settings(source: Incoming) -> Iterator[Setting]:
    while name := source.text():
        important = bool(source.varint() & 1)
        yield Setting(name, source.text(), important)


def _skip_client_info(source: Incoming, revision: int) -> None:
    if not source.byte():
        return
    source.text(), source.text(), source.text()  # initial user, query id, address
    source.take(8 if revision >= 54449 else 0)  # start time
    source.byte()  # interface
    source.text(), source.text(), source.text()  # OS user, host, client name
    source.varint(), source.varint(), source.varint()  # version, revision
    source.text()  # quota key
    if revision >= 54448:
        source.varint()  # distributed depth
    source.varint()  # patch version
    if revision >= 54442 and source.byte():
        source.take(24), source.text(), source.byte()  # OpenTelemetry
    if revision >= 54453:
        source.varint(), source.varint(), source.varint()  # parallel replicas


def hello(version: tuple[int, int, int], revision: int) -> bytes:
    """The server's hello to a client of `revision`."""
    major, minor, patch = version
    start = (
        varint(FromServer.HELLO)
        + text("ClickHouse")
        + varint(major)
        + varint(minor)
        + varint(REVISION)
    )
    return start + text("UTC") + text("embedded") + (varint(patch) if revision >= 54401 else b"")


def exception(code: int, message: str) -> bytes:
    """An exception without stack trace and without nested ones."""
    body = text("DB::Exception") + text("DB::Exception: " + message) + text("") + b"\0"
    return varint(FromServer.EXCEPTION) + code.to_bytes(4, "little", signed=True) + body


def progress(
    read_rows: int, read_bytes: int, written_rows: int = 0, written_bytes: int = 0
) -> bytes:
    """What was done since the progress before."""
    counts = (read_rows, read_bytes, 0, written_rows, written_bytes)
    return varint(FromServer.PROGRESS) + b"".join(map(varint, counts))


def profile_info(rows: int, blocks: int, size: int) -> bytes:
    """The totals of a result: rows, blocks and bytes."""
    counts = varint(rows) + varint(blocks) + varint(size)
    return varint(FromServer.PROFILE_INFO) + counts + b"\0" + varint(0) + b"\0"
