"""The web server, inside the service's own event loop. Signals stay with the runtime."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from aiops_core.errors import Misconfigured
from aiops_core.runtime.launch import Web
from aiops_core.runtime.stopping import WEB

BACKLOG = 256


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM first ends the runtime, which then leaves the server's context."""
        yield


def web(app: ASGIApp) -> Web:
    """*app* as ``launch`` serves it while the service runs."""

    @contextlib.asynccontextmanager
    async def served(host: str, port: int) -> AsyncIterator[None]:
        listening = _listen(host, port)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=round(WEB),
        )
        server = _Server(config)
        with contextlib.closing(listening):
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[listening]))
                try:
                    yield  # the socket listens already: early clients wait in its backlog
                finally:
                    server.should_exit = True

    return served


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; Misconfigured in one line when the address is taken or wrong."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        is_v6 = family == socket.AF_INET6  # `::` then also means every IPv4 address
        return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=is_v6)
    except OSError as exc:
        raise Misconfigured(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
