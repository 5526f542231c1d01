"""``/health``, ``/ready`` and ``/metrics``, the same for every service.

``/health`` is 200 while the event loop answers. ``/ready`` is 200 only while messages are handled
and no required dependency is down. It names each dependency, and why one is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from aiops_core.errors import Misconfigured
from aiops_core.observability import metrics
from aiops_core.observability.discarded import DISCARDED
from aiops_core.runtime.unreadable import SKIPPED

REQUEST_TIMEOUT = 5.0  # seconds a client may take to send its request


@dataclass
class Dependency:
    """Something outside of the process. Without a *required* one the service is not ready."""

    required: bool
    problem: str | None = "not reached yet"


@dataclass
class Readiness:
    """The state of one process, kept by the runtime and by the adapters of its dependencies."""

    service: str
    state: str = "starting"
    dependencies: dict[str, Dependency] = field(default_factory=dict)
    parts: dict[str, Readiness] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)  # that make nobody unready

    def part(self, name: str) -> Readiness:
        """The readiness of *name*, a further consumer of this process, which must be ready as well."""
        return self.parts.setdefault(name, Readiness(name))

    def needs(self, dependency: str, *, required: bool) -> None:
        self.dependencies[dependency] = Dependency(required)
        metrics.DEPENDENCY_UP.labels(dependency).set(0)

    def up(self, dependency: str) -> None:
        self.dependencies[dependency].problem = None
        metrics.DEPENDENCY_UP.labels(dependency).set(1)

    def down(self, dependency: str, problem: str) -> None:
        self.dependencies[dependency].problem = problem
        metrics.DEPENDENCY_UP.labels(dependency).set(0)

    @property
    def ready(self) -> bool:
        missing = any(d.required and d.problem for d in self.dependencies.values())
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
                name: f"down: {d.problem}" if d.problem else "up"
                for name, d in self.dependencies.items()
            },
            "notes": dict(self.notes),
            "unreadable": {
                where: f"{skipped.count} skipped, the newest is {skipped.newest}"
                for where, skipped in SKIPPED.items()
            },
            "discarded": {
                f"{stream} {consumer}": f"{lost.count} discarded before they were read"
                for (stream, consumer), lost in DISCARDED.items()
            },
        }


@dataclass(frozen=True)
class ProbeAnswer:
    status: int
    content_type: str
    body: bytes


def answer(path: str, readiness: Readiness) -> ProbeAnswer:
    """The answer to a GET of *path*."""
    if path == "/health":
        body = json.dumps({"service": readiness.service, "status": "ok"}).encode()
        return ProbeAnswer(200, "application/json", body)
    if path == "/ready":
        status = 200 if readiness.ready else 503
        return ProbeAnswer(status, "application/json", json.dumps(readiness.report()).encode())
    if path == "/metrics":
        return ProbeAnswer(200, CONTENT_TYPE_LATEST, generate_latest())
    return ProbeAnswer(404, "text/plain", b"try /health, /ready or /metrics\n")


@contextlib.asynccontextmanager
async def probe(readiness: Readiness, host: str, port: int) -> AsyncIterator[int]:
    """ProbeAnswer on *host*:*port* (0: a free one) while the context lasts; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError), contextlib.closing(writer):
            async with asyncio.timeout(REQUEST_TIMEOUT):
                words = (await reader.readline()).split()
                while (await reader.readline()).strip():
                    pass
            path = words[1].split(b"?")[0].decode(errors="replace") if len(words) > 1 else ""
            writer.write(_http(answer(path, readiness)))
            await writer.drain()

    try:
        server = await asyncio.start_server(serve, host, port)
    except OSError as exc:
        raise Misconfigured(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    async with server:
        yield server.sockets[0].getsockname()[1]


def _http(reply: ProbeAnswer) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + reply.body
