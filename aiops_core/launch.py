"""From a service's recipe to a process: settings, logs, probe, bus, signals, one line on a mistake."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import uvloop
from structlog.contextvars import bind_contextvars

from aiops_core.adapters.nats import NatsBus
from aiops_core.bus import Bus
from aiops_core.errors import Misconfigured
from aiops_core.outbox import REST
from aiops_core.probe import Readiness, probe
from aiops_core.retention import RetentionPolicy
from aiops_core.runtime import Runtime, Service
from aiops_core.services import PORTS
from aiops_core.settings import Settings
from aiops_core.turns import take_turns
from aiops_core.utils import StructuredLogger

Web = Callable[[str, int], AbstractAsyncContextManager[None]]


@dataclass
class Context:
    """What a recipe may wire: where things are, the bus, and the process's readiness.

    A service that speaks HTTP itself sets *web*, which then also answers the probe's paths. *beside*
    are further consumers of the same process, which may go at a pace of their own.
    """

    settings: Settings
    bus: Bus
    readiness: Readiness
    web: Web | None = None
    beside: list[Service] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


Recipe = Callable[[Context], AbstractAsyncContextManager[Service]]


def launch(name: str, recipe: Recipe) -> None:
    """Run the service that *recipe* builds until SIGTERM or SIGINT; ends the process."""
    take_turns()
    _favour_latency()
    try:
        uvloop.run(serve(name, recipe, Settings.read()))
    except Misconfigured as exc:
        sys.stderr.write(f"{name}: {exc}\n")
        sys.exit(2)


def _favour_latency() -> None:
    """Rare and short pauses: a full collection of a large heap takes longer than a whole stage may,
    and a thread that encodes rows must not keep the event loop waiting for 5 ms.

    What waits for a second to be written is no garbage: looking at 50,000 objects of it took incident-api 100 ms.
    """
    gc.set_threshold(250_000, 20, 100)
    gc.freeze()
    sys.setswitchinterval(0.001)


async def serve(name: str, recipe: Recipe, settings: Settings) -> None:
    StructuredLogger.configure(settings.log_level)
    bind_contextvars(service=name)
    readiness = Readiness(name)
    limits = RetentionPolicy.load(settings.policies).streams
    bus = NatsBus(settings.nats_url, limits, readiness, name)
    context = Context(settings, bus, readiness)
    async with recipe(context) as service:
        port = PORTS[name] if settings.probe_port is None else settings.probe_port
        web = context.web or _probe_only(readiness)
        async with web(settings.probe_host, port):
            parts = [(service, readiness), *((s, Readiness(name)) for s in context.beside)]
            stop = context.stop
            await _run([Runtime(s, bus, r, stop=stop, rest=REST) for s, r in parts], bus)


def _probe_only(readiness: Readiness) -> Web:
    @contextlib.asynccontextmanager
    async def web(host: str, port: int) -> AsyncIterator[None]:
        async with probe(readiness, host, port):
            yield

    return web


async def _run(runtimes: Sequence[Runtime], bus: NatsBus) -> None:
    loop, stop = asyncio.get_running_loop(), runtimes[0].stop
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    connecting = asyncio.ensure_future(bus.connect())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            connecting.result()
            async with asyncio.TaskGroup() as group:
                for runtime in runtimes:
                    group.create_task(runtime.run())
    finally:
        connecting.cancel()
        stopping.cancel()
        await bus.close()
