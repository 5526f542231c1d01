"""One client: packets in, answers out. A session lives in a thread of its own."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from . import wire
from .columns import blocks, header, read_block, skip_block_info
from .engine import Engine, EngineConnection, InsertTarget, insert_target
from .wire import (
    NOT_IMPLEMENTED,
    EngineError,
    FromClient,
    FromServer,
    Incoming,
    ProtocolError,
    QueryPacket,
)

logger = logging.getLogger(__name__)

_RECEIVE = 1 << 18


class Session:
    """The conversation with one client. Only `hang_up` and `stop_if_abandoned` are called from
    another thread.
    """

    def __init__(
        self, client: socket.socket, engine: Engine, version: tuple[int, int, int]
    ) -> None:
        self._socket = client
        self._engine = engine
        self._version = version
        self._in = Incoming(partial(client.recv, _RECEIVE))
        self._running_since: float | None = None
        self._gate = threading.Lock()
        self._connection: EngineConnection = engine.connect()

    def serve(self) -> None:
        """Talk until the client leaves. Raises ProtocolError, or OSError when the connection
        breaks.
        """
        try:
            if self._in.varint() == FromClient.HELLO and self._welcome():
                while True:
                    self._in.forget()
                    self._answer(self._in.varint())
        except EOFError:
            return
        finally:
            self._connection.close()

    def hang_up(self) -> None:
        """End the conversation, and the query that is running."""
        with self._gate:
            if self._running_since is not None:
                self._engine.kill(self._connection.tag)
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("the client had gone already")

    def stop_if_abandoned(self, after: float) -> None:
        """Kill a query that has been running for `after` seconds and whose client left.

        The gate keeps the query from ending in between, so that the next one is never hit.
        """
        since = self._running_since
        if since is None or time.monotonic() - since < after:
            return
        with self._gate:
            if self._running_since is not None and self._client_left():
                self._engine.kill(self._connection.tag)

    def _client_left(self) -> bool:
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _welcome(self) -> bool:
        database = wire.read_hello(self._in)
        try:
            if database:
                self._connection.use(database)
        except EngineError as error:
            self._send(wire.exception(error.code, error.message))
            return False
        self._send(wire.hello(self._version))
        return True

    def _answer(self, packet: int) -> None:
        if packet == FromClient.QUERY:
            self._query(wire.read_query(self._in))
        elif packet == FromClient.PING:
            self._send(wire.varint(FromServer.PONG))
        elif packet != FromClient.CANCEL:  # it came too late: nothing is running
            raise ProtocolError(f"unknown packet {packet}")

    def _query(self, query: QueryPacket) -> None:
        try:
            self._refuse_unserved(query)
            self._connection.apply(query.settings)
            target = insert_target(query.sql)
            if target:
                self._insert(target)
            else:
                self._run(query.sql)
        except EngineError as error:
            self._send(wire.exception(error.code, error.message))
        else:
            self._send(wire.varint(FromServer.END_OF_STREAM))

    def _refuse_unserved(self, query: QueryPacket) -> None:
        """After a refusal of compression the connection ends: its blocks cannot be read.

        The external tables of a query follow it; an empty block says that there are no (more).
        """
        if query.compressed:
            unserved = "Compression is not served by the embedded engine"
            self._send(wire.exception(NOT_IMPLEMENTED, unserved))
            raise ProtocolError(unserved)
        if list(self._incoming_blocks()):
            unserved = "External tables are not served by the embedded engine"
            raise EngineError(NOT_IMPLEMENTED, unserved)

    def _run(self, sql: str) -> None:
        with self._running():
            result = self._connection.query(sql)
        for block in blocks(result):
            self._send(wire.data(block))

    def _insert(self, target: InsertTarget) -> None:
        """Tell the client the columns, take its blocks, and commit them together."""
        self._send(wire.data(header(self._connection.columns_of(target))))
        rows = list(self._incoming_blocks())
        if rows:
            with self._running():
                self._connection.insert(target, rows)

    def _incoming_blocks(self) -> Iterator[bytes]:
        """The blocks that the client sends, up to the empty one."""
        while True:
            self._in.forget()
            packet = self._in.varint()
            if packet != FromClient.DATA:
                raise ProtocolError(f"packet {packet} where blocks are expected")
            self._in.text()  # name of an external table
            skip_block_info(self._in)
            block = read_block(self._in)
            if not block:
                return
            yield block

    def _send(self, packet: bytes) -> None:
        self._socket.sendall(packet)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """While the engine works, the client may leave."""
        with self._gate:
            self._running_since = time.monotonic()
        try:
            yield
        finally:
            with self._gate:
                self._running_since = None
