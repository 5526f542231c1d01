"""The listening socket, a thread for each client, and an orderly end."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path

from .engine import CannotServe, Engine
from .session import Session
from .wire import EngineError, ProtocolError

logger = logging.getLogger(__name__)

_TICK = 0.05
"""Seconds between two looks at long queries; also the time to notice a stop."""
_GRACE = 3.0
"""Seconds that sessions get to end."""


class Server:
    """Serves `data` on loopback `port`; 0 takes a free one. Raises CannotServe."""

    def __init__(self, data: Path, port: int) -> None:
        self._listener = _listen(port)
        try:
            self._engine = Engine(data)
        except BaseException:
            self._listener.close()
            raise
        self.port: int = self._listener.getsockname()[1]
        self._version = self._engine.version()
        self._sessions: dict[threading.Thread, Session] = {}

    def serve(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            self._accept()
            for session in list(self._sessions.values()):
                session.stop_if_abandoned(_TICK)

    def close(self) -> None:
        """End all sessions, then the engine. A query that does not end keeps the engine open until
        the process ends.
        """
        self._listener.close()
        for session in list(self._sessions.values()):
            session.hang_up()
        deadline = time.monotonic() + _GRACE
        for thread in list(self._sessions):
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._sessions:
            logger.warning("%d sessions did not end in %.0f s", len(self._sessions), _GRACE)
            return
        self._engine.close()

    def _accept(self) -> None:
        try:
            client, _address = self._listener.accept()
        except TimeoutError:
            return
        client.settimeout(None)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(client, self._engine, self._version)
        thread = threading.Thread(target=self._converse, args=(client, session), daemon=True)
        self._sessions[thread] = session
        thread.start()

    def _converse(self, client: socket.socket, session: Session) -> None:
        """The boundary of a client: whatever goes wrong with it ends its connection and nothing
        else.
        """
        try:
            session.serve()
        except (OSError, ProtocolError, EngineError) as broken:
            logger.warning("connection ended: %s", broken)
        except Exception:
            logger.exception("connection ended by a mistake of this server")
        finally:
            client.close()
            self._sessions.pop(threading.current_thread(), None)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise CannotServe(f"port {port} cannot be used: {error.strerror}") from error
    listener.listen(64)
    listener.settimeout(_TICK)
    return listener
