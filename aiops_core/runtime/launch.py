"""The process of a service: settings, logs, probe, bus, signals, one line on a mistake."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import uvloop
from structlog.contextvars import bind_contextvars

from aiops_core.adapters.nats import NatsBus
from aiops_core.errors import Misconfigured, first_of
from aiops_core.observability.probe import Readiness, Route, Routes, probe
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import PORTS, Settings
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.runtime import Runtime
from aiops_core.runtime.service import Service
from aiops_core.runtime.stopping import CLOSE, END, Stop
from aiops_core.utils import StructuredLogger, core_logger

log = core_logger("launch")

Web = Callable[[str, int], AbstractAsyncContextManager[None]]


@dataclass
class Context:
    """The parts that a recipe may wire.

    A service that speaks HTTP itself sets *web*, which then answers the probe's paths as well; for
    a few commands *routes* beside those of the probe are enough.
    *beside* are further consumers of the same process.
    """

    settings: Settings
    bus: Bus
    readiness: Readiness
    web: Web | None = None
    routes: dict[str, Route] = field(default_factory=dict)
    beside: list[Service] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)


Recipe = Callable[[Context], AbstractAsyncContextManager[Service]]


def launch(name: str, recipe: Recipe) -> None:
    """Run the service that *recipe* builds until SIGTERM or SIGINT; ends the process."""
    _favour_latency()
    try:
        uvloop.run(serve(name, recipe, Settings.read()))
    except (Misconfigured, BaseExceptionGroup) as exc:
        mistake = first_of(exc)
        if not isinstance(mistake, Misconfigured):
            raise
        sys.stderr.write(f"{name}: {mistake}\n")
        sys.exit(2)


def _favour_latency() -> None:
    """Make pauses rare and short: a full collection of a large heap takes longer than a stage may
    (looking at 50,000 waiting rows took incident-api 100 ms), and a thread that encodes rows must
    not keep the event loop waiting for 5 ms."""
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
    _stop_by_signal(context.stop)
    async with recipe(context) as service:
        port = PORTS[name] if settings.probe_port is None else settings.probe_port
        web = context.web or _probe_only(readiness, context.routes)
        async with web(settings.probe_host, port):
            await _run(_runtimes(service, context), bus, context.stop)


def _runtimes(service: Service, context: Context) -> Sequence[Runtime]:
    readiness = context.readiness
    parts = [(service, readiness)]
    parts += [(beside, readiness.part(beside.durable_name)) for beside in context.beside]
    return [Runtime(s, context.bus, r, stop=context.stop) for s, r in parts]


def _stop_by_signal(stop: Stop) -> None:
    def hear() -> None:
        if not stop.is_set():
            stop.set()
            last_resort = threading.Timer(END, _leave)
            last_resort.daemon = True
            last_resort.start()

    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, hear)


def _leave() -> None:
    """Something hangs that no cancellation ends, like a thread. Messages in flight come again."""
    log.error("left without an end", after=END)
    os._exit(0)


def _probe_only(readiness: Readiness, routes: Routes) -> Web:
    @contextlib.asynccontextmanager
    async def web(host: str, port: int) -> AsyncIterator[None]:
        async with probe(readiness, host, port, routes):
            yield

    return web


async def _run(runtimes: Sequence[Runtime], bus: NatsBus, stop: Stop) -> None:
    try:
        async with stop.limits():
            await bus.connect()
        if not stop.is_set():
            async with asyncio.TaskGroup() as group:
                for runtime in runtimes:
                    group.create_task(runtime.run())
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE):
                await bus.close()
