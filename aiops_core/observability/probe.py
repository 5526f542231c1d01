"""``/health``, ``/ready`` and ``/metrics``, the same for every service.

A service may add answers of its own, for commands: each to one method and path.

``/health`` is 200 while the event loop answers. ``/ready`` is 200 only while messages are handled
and no required dependency is down. It names each dependency, and why one is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from aiops_core.errors import Misconfigured
from aiops_core.observability import metrics
from aiops_core.runtime.unreadable import SKIPPED

REQUEST_TIMEOUT = 5.0  # seconds a client may take to send its request
DISCARDED: Counter[tuple[str, str]] = Counter()  # unread messages, by stream and consumer

# From the parameters of a request to status and JSON; by method and path: "GET /runbooks".
Route = Callable[[Mapping[str, str]], Awaitable[tuple[int, object]]]
Routes = Mapping[str, Route]
NO_ROUTES: Routes = MappingProxyType({})


@dataclass
class Readiness:
    """The state of one process, kept by the runtime and by the adapters of its dependencies."""

    service: str
    state: str = "starting"
    dependencies: dict[str, str | None] = field(default_factory=dict)  # why it is down
    required: set[str] = field(default_factory=set)  # dependencies that readiness needs
    parts: dict[str, Readiness] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)  # that make nobody unready

    def part(self, name: str) -> Readiness:
        """The readiness of *name*, a further consumer that must be ready as well."""
        return self.parts.setdefault(name, Readiness(name))

    def needs(self, dependency: str, *, required: bool) -> None:
        """It is outside of the process. The service is not ready without a *required* one."""
        self.dependencies[dependency] = "not reached yet"
        if required:
            self.required.add(dependency)
        metrics.DEPENDENCY_UP.labels(dependency).set(0)

    def up(self, dependency: str) -> None:
        self.dependencies[dependency] = None
        metrics.DEPENDENCY_UP.labels(dependency).set(1)

    def down(self, dependency: str, problem: str) -> None:
        self.dependencies[dependency] = problem
        metrics.DEPENDENCY_UP.labels(dependency).set(0)

    @property
    def ready(self) -> bool:
        missing = any(self.dependencies[name] for name in self.required)
        serving = self.state == "serving" and all(part.ready for part in self.parts.values())
        return serving and not missing

    def report(self) -> dict[str, object]:
        """The body of ``/ready``."""
        return {
            "service": self.service,
            "ready": self.ready,
            "state": self.state,
            "parts": {name: part.state for name, part in self.parts.items()},
            "dependencies": {
                name: f"down: {problem}" if problem else "up"
                for name, problem in self.dependencies.items()
            },
            "notes": dict(self.notes),
            "unreadable": {
                where: f"{skipped.count} skipped, the newest is {skipped.newest}"
                for where, skipped in SKIPPED.items()
            },
            "discarded": {
                f"{stream} {consumer}": f"{count} discarded before they were read"
                for (stream, consumer), count in DISCARDED.items()
            },
        }


def answer(path: str, readiness: Readiness) -> tuple[int, str, bytes]:
    """The answer to a GET of *path*: its status, content type and body."""
    if path == "/health":
        body = json.dumps({"service": readiness.service, "status": "ok"}).encode()
        return 200, "application/json", body
    if path == "/ready":
        status = 200 if readiness.ready else 503
        return status, "application/json", json.dumps(readiness.report()).encode()
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, generate_latest()
    return 404, "text/plain", b"try /health, /ready or /metrics\n"


@contextlib.asynccontextmanager
async def probe(
    readiness: Readiness, host: str, port: int, routes: Routes = NO_ROUTES
) -> AsyncIterator[int]:
    """Answer on *host*:*port* (0: a free one) while the context lasts; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError), contextlib.closing(writer):
            async with asyncio.timeout(REQUEST_TIMEOUT):
                method, target = await _asked(reader)
            writer.write(_http(*await _answer(method, target, readiness, routes)))
            await writer.drain()

    try:
        server = await asyncio.start_server(serve, host, port)
    except OSError as exc:
        raise Misconfigured(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _asked(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Method and target of the request."""
    try:
        words = (await reader.readline()).decode(errors="replace").split()
        while (await reader.readline()).strip():
            pass
    except ValueError:  # a line that is longer than the reader takes
        words = []
    return (words[0], words[1]) if len(words) > 1 else ("GET", "")


async def _answer(
    method: str, target: str, readiness: Readiness, routes: Routes
) -> tuple[int, str, bytes]:
    try:
        url = urlsplit(target)
    except ValueError:  # such as //[
        return answer("", readiness)
    if (route := routes.get(f"{method} {url.path}")) is None:
        return answer(url.path, readiness)
    status, body = await route(dict(parse_qsl(url.query)))
    return status, "application/json", json.dumps(body).encode()


def _http(status: int, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
