"""One client: its packets in, the answers out. A session lives in a thread of its own; only
`abandoned` is called from
another one."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial

from . import wire
from .blocks import INFO, Column, Types, columns_in, copy_block, header, skip_info, split
from .connection import EngineConnection
from .embedded import Chunk
from .engine import Engine
from .faults import CANCELLED, NOT_IMPLEMENTED, Fault
from .feed import Feed
from .frames import compressed, decompressing
from .layout import Sink
from .statements import Kind, Statement, Target, understand
from .wire import FromClient, FromServer, Incoming, ProtocolError, Query, Setting

logger = logging.getLogger(__name__)

_RECEIVE = 1 << 18
_INLINE = {"insert_deduplication_token"}
"""Settings that differ between one insert and the next: to set and to reset them apart would take as
long as a third of the insert."""


class Session:
    """The conversation with one client."""

    def __init__(
        self, client: socket.socket, engine: Engine, version: tuple[int, int, int]
    ) -> None:
        self._socket = client
        self._engine = engine
        self._version = version
        self._in = Incoming(partial(client.recv, _RECEIVE))
        self._revision = wire.REVISION
        self._compressed = False
        self._cancelled = False
        self._running_since: float | None = None
        self._gate = threading.Lock()
        self._lane: EngineConnection = engine.connect()

    def serve(self) -> None:
        """Talk until the client leaves. Raises ProtocolError, or OSError when the connection
        breaks.
        """
        try:
            if self._in.varint() == FromClient.HELLO and self._welcome():
                while True:
                    self._answer(self._in.varint())
        except EOFError:
            return
        finally:
            self._lane.close()

    def hang_up(self) -> None:
        """From another thread: end the conversation, whatever it is doing."""
        with self._gate:
            if self._running_since is not None:
                self._engine.kill(self._lane.tag)
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("the client had gone already")

    def stop_if_abandoned(self, patience: float) -> None:
        """From another thread: kill a query running for `patience` seconds whose client cancelled
        it or left.

        The gate keeps the query from ending in between, so that never the next one is hit.
        """
        since = self._running_since
        if since is None or time.monotonic() - since < patience:
            return
        with self._gate:
            if self._running_since is not None and not self._cancelled and self._abandoned():
                self._cancelled = True
                self._engine.kill(self._lane.tag)

    def _abandoned(self) -> bool:
        buffered = self._in.peek()
        if buffered is not None:
            return buffered == FromClient.CANCEL
        try:
            seen = self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not seen or seen[0] == FromClient.CANCEL

    def _welcome(self) -> bool:
        hello = wire.read_hello(self._in)
        self._revision = hello.revision
        try:
            if hello.database:
                self._lane.use(hello.database)
        except Fault as refused:
            self._send(wire.exception(refused.code, refused.message))
            return False
        self._send(wire.hello(self._version, self._revision))
        return True

    def _answer(self, packet: int) -> None:
        if packet == FromClient.QUERY:
            self._query(wire.read_query(self._in, self._revision))
        elif packet == FromClient.PING:
            self._send(wire.varint(FromServer.PONG))
        elif packet == FromClient.DATA:
            self._receive_block(lambda: _nowhere)
        elif packet != FromClient.CANCEL:  # a cancel that comes too late has nothing to cancel
            raise ProtocolError(f"unknown packet {packet}")

    def _query(self, query: Query) -> None:
        self._compressed, self._cancelled = query.compressed, False
        try:
            self._refuse_external_tables()
            statement = understand(query.sql)
            inline = tuple(s for s in query.settings if statement.target and s.name in _INLINE)
            self._lane.apply(tuple(s for s in query.settings if s not in inline))
            self._execute(statement, inline)
        except Fault as refused:
            if not self._cancelled or refused.code != CANCELLED:
                self._send(wire.exception(refused.code, refused.message))
                return
        self._send(wire.varint(FromServer.END_OF_STREAM))

    def _execute(self, statement: Statement, inline: Sequence[Setting]) -> None:
        if statement.target:
            self._feed(statement.target, inline)
        elif statement.kind is Kind.ROWS:
            self._stream(statement.sql)
        else:
            self._run(statement)

    def _stream(self, sql: str) -> None:
        """A result part by part; one without rows still tells its columns."""
        with self._cancellable(), closing(self._lane.stream(sql)) as parts:
            rows = self._send_result(parts, partial(self._lane.columns_aside, sql))
        if not rows:
            self._send_block(header(self._lane.columns_of_query(sql)))

    def _run(self, statement: Statement) -> None:
        """Everything that is not streamed: SHOW, SET, USE, DDL, inserts with data in the text."""
        special = {Kind.SET: self._lane.set, Kind.USE: self._lane.move}
        try:
            with self._cancellable():
                done = special.get(statement.kind, self._lane.run)(statement.sql)
        finally:
            if statement.kind is Kind.CHANGE:
                self._engine.generation += 1
        describe = partial(self._lane.columns_of_facts, statement.sql)
        if not self._send_result(iter([done]), describe) and statement.kind is Kind.FACTS:
            self._send_block(header(describe()))

    def _send_result(self, parts: Iterator[Chunk], describe: Callable[[], list[Column]]) -> int:
        """Send the columns, all parts and their totals; returns the number of rows.

        On a busy machine the engine forgets to count the last block as read: what was sent was.
        """
        rows = blocks = size = read = 0
        types: Types | None = None
        for part in parts:
            self._send(wire.progress(*part.work()))
            read += part.read_rows
            if part.data and types is None:
                types = self._send_columns(columns_in(part.data), describe)
            for count, block in split(part.data, part.rows, types or ()) if part.data else ():
                self._send_block(block)
                rows, blocks, size = rows + count, blocks + 1, size + len(block)
        if rows > read:
            self._send(wire.progress(rows - read, 0))
        self._send(wire.profile_info(rows, blocks, size))
        return rows

    def _send_columns(
        self, columns: Sequence[Column], describe: Callable[[], list[Column]]
    ) -> Types:
        """Send the header of a result; returns the types to put into its blocks, if they differ.

        The engine's `Native` format drops the timezone of DateTime: only then it is asked.
        """
        true: Sequence[Column] = columns
        if any(column.type == "DateTime" for column in columns):
            with suppress(Fault):
                true = describe()
        self._send_block(header(true))
        return [] if list(true) == list(columns) else [column.type for column in true]

    def _feed(self, target: Target, settings: Sequence[Setting]) -> None:
        """Describe the columns, then pass the client's blocks to the engine as they come.

        After an error the rest is read and thrown away, so that the connection stays in step.
        """
        columns = self._columns_of(target)
        self._send_block(header(columns))
        with closing(Feed(partial(self._lane.insert, target, settings))) as feed:
            while self._next_block(feed.open):
                pass
            with self._cancellable():
                done = feed.finish()
        self._send(wire.progress(*done.work()))

    def _columns_of(self, target: Target) -> list[Column]:
        return self._lane.columns_of(target, self._engine.generation)

    def _next_block(self, open_sink: Callable[[], Sink]) -> bool:
        """Receive one packet of an insert; False after the last one."""
        packet = self._in.varint()
        if packet == FromClient.CANCEL:
            self._cancelled = True
            raise Fault(CANCELLED, "Query was cancelled")
        if packet != FromClient.DATA:
            raise ProtocolError(f"packet {packet} in the middle of an insert")
        return self._receive_block(open_sink)

    def _refuse_external_tables(self) -> None:
        """Clients send the tables of a query right after it; an empty block says that there are
        none (any more).
        """
        found = False
        while self._next_block(lambda: _nowhere):
            found = True
        if found:
            raise Fault(NOT_IMPLEMENTED, "External tables are not supported by the embedded server")

    def _receive_block(self, open_sink: Callable[[], Sink]) -> bool:
        """Pass one block on; False for the empty one."""
        self._in.text()  # the name of an external table
        source = decompressing(self._in) if self._compressed else self._in
        skip_info(source)
        return bool(copy_block(source, open_sink).columns)

    def _send_block(self, block: bytes) -> None:
        self._send(wire.varint(FromServer.DATA) + wire.text(""))
        pieces = compressed(INFO + block) if self._compressed else (INFO, block)
        for piece in pieces:
            self._send(piece)

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    @contextmanager
    def _cancellable(self) -> Iterator[None]:
        """While the engine works, the client may only cancel or leave."""
        with self._gate:
            self._running_since = time.monotonic()
        try:
            yield
        finally:
            with self._gate:
                self._running_since = None


def _nowhere(_piece: bytes, /) -> None:
    return
