"""Bytes in and out: numbers, texts, errors and packets of the native protocol. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

REVISION = 54453
"""Announced to clients: the newest one whose blocks look like the engine's ``Native`` format."""
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Before each block on the wire: no overflow rows, no bucket."""
# Numbers of errors.
NO_SUCH_COLUMN = 16
NOT_IMPLEMENTED = 48
UNKNOWN_TYPE = 50
UNKNOWN_SETTING = 115
UNKNOWN = 1002

_REPORT = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_TAIL = re.compile(r"(?: \([A-Z][A-Z0-9_]*\))?(?: \(version [^)]*\))?\s*$")


class EngineError(Exception):
    """ClickHouse's error, sent to the client; ``code`` as in ``system.errors``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def parsed(cls, report: str) -> EngineError:
        """From ``Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)``."""
        match = _REPORT.search(report)
        if not match:
            return cls(UNKNOWN, report)
        return cls(int(match.group(1)), _TAIL.sub("", match.group(2)).rstrip("."))


class ProtocolError(Exception):
    """The client sent bytes that the server cannot follow; the connection has to end."""


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
    PONG = 4
    END_OF_STREAM = 5


class Incoming:
    """A buffered reader over `receive`, which returns the next bytes, or none at the end.

    Bytes that were read stay in the buffer until `forget`, so that a whole block can be copied by
    `since`. Every method raises EOFError when the bytes end too early.
    """

    def __init__(self, receive: Callable[[], bytes], buffer: bytes = b"") -> None:
        self._receive = receive
        self._buffer = bytearray(buffer)
        self.at = 0

    def forget(self) -> None:
        """Drop the bytes that were read."""
        del self._buffer[: self.at]
        self.at = 0

    def since(self, start: int) -> bytes:
        """The bytes between the position `start` and this one."""
        return bytes(self._buffer[start : self.at])

    def at_end(self) -> bool:
        """Whether the buffer holds no unread byte."""
        return self.at >= len(self._buffer)

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        while len(self._buffer) - self.at < size:
            piece = self._receive()
            if not piece:
                raise EOFError
            self._buffer += piece
        self.at += size

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        self.skip(size)
        return self.since(self.at - size)

    def byte(self) -> int:
        """One byte as a number."""
        return self.take(1)[0]

    def varint(self) -> int:
        """An unsigned number, seven bits a byte."""
        value = shift = 0
        while (byte := self.byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def text(self) -> str:
        """A UTF-8 string with its length in front."""
        try:
            return self.take(self.varint()).decode()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"not UTF-8: {error}") from error

    def skip_strings(self, count: int) -> None:
        """Pass over `count` strings with their lengths."""
        while count:
            walked, self.at = _walk_strings(self._buffer, self.at, count)
            count -= walked
            if count:
                unread = len(self._buffer) - self.at
                self.skip(unread + 1)
                self.at -= unread + 1


def _walk_strings(buffer: bytearray, at: int, count: int) -> tuple[int, int]:
    """How many of `count` strings lie completely in `buffer` from `at`, and the end of the last.

    The one hot loop of this server (all rows of text pass here), hence inlined and not split.
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
class QueryPacket:
    """A statement, and the settings that hold for it alone."""

    sql: str
    settings: dict[str, str]
    compressed: bool


def read_hello(source: Incoming) -> str:
    """The database that the client wants, from the hello after its packet number.

    User and password are not looked at: the server listens on loopback only.
    """
    source.text()  # name of the client
    source.varint(), source.varint()  # its version
    revision = source.varint()
    if revision < REVISION:
        raise ProtocolError(f"client revision {revision} is too old, {REVISION} is the oldest")
    database, _user, _password = source.text(), source.text(), source.text()
    return database


def read_query(source: Incoming) -> QueryPacket:
    """The query after its packet number."""
    source.text()  # id of the query
    _skip_client_info(source)
    settings = {}
    while name := source.text():
        source.varint()  # flags
        settings[name] = source.text()
    source.text()  # secret between the servers of a cluster
    source.varint()  # stage: a client asks for the complete result
    compressed = bool(source.varint())
    return QueryPacket(source.text(), settings, compressed)


def _skip_client_info(source: Incoming) -> None:
    if not source.byte():
        return
    source.text(), source.text(), source.text()  # initial user, query id, address
    source.skip(8)  # start time
    source.byte()  # interface
    source.text(), source.text(), source.text()  # OS user, host, client name
    source.varint(), source.varint(), source.varint()  # version, revision
    source.text()  # quota key
    source.varint(), source.varint()  # distributed depth, patch version
    if source.byte():  # OpenTelemetry
        source.skip(24)
        source.text(), source.byte()
    source.varint(), source.varint(), source.varint()  # parallel replicas


def hello(version: tuple[int, int, int]) -> bytes:
    """The server's hello."""
    major, minor, patch = version
    numbers = varint(major) + varint(minor) + varint(REVISION)
    names = text("UTC") + text("embedded")
    return varint(FromServer.HELLO) + text("ClickHouse") + numbers + names + varint(patch)


def data(block: bytes) -> bytes:
    """A packet with a block of the engine's ``Native`` format."""
    return varint(FromServer.DATA) + text("") + BLOCK_INFO + block


def exception(code: int, message: str) -> bytes:
    """An exception without stack trace and without nested ones."""
    body = text("DB::Exception") + text("DB::Exception: " + message) + text("") + b"\0"
    return varint(FromServer.EXCEPTION) + code.to_bytes(4, "little", signed=True) + body
