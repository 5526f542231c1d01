"""The whole API over a store of devices and a bus in memory, for tests of devices and ship."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import FastAPI
from structlog.testing import capture_logs

from aiops_core.runtime.service import utc_now
from aiops_lab.memory_bus import MemoryBus
from incident_api.app import build
from incident_api.web import web
from tests.api_parts import platform
from tests.conftest import free_port
from tests.memory_stores import MemoryDevices


@dataclass
class Aboard:
    """One ship. *now* is its clock, which stands still when it is set."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    store: MemoryDevices = field(default_factory=MemoryDevices)
    now: datetime | None = None

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what is in memory, as a kill does."""
        made = platform(devices=self.store, bus=self.bus, clock=self.clock)
        self.components = made.components
        self.devices, self.ship = made.components.devices, made.components.ship
        self.suggestions = made.components.suggestions

    def clock(self) -> datetime:
        return self.now or utc_now()

    async def recover(self) -> None:
        await self.devices.recover()
        await self.ship.recover()

    def app(self) -> FastAPI:
        return build(self.components)


@contextmanager
def served(aboard: Aboard) -> Iterator[str]:
    """The address of a real server, in a thread of its own."""
    port, started, loop = free_port(), threading.Event(), asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        await aboard.recover()
        async with web(aboard.app())("127.0.0.1", port):
            started.set()
            await stopping.wait()

    with capture_logs():  # its standard output is the command's
        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        try:
            assert started.wait(10)
            yield f"http://127.0.0.1:{port}"
        finally:
            loop.call_soon_threadsafe(stopping.set)
            thread.join()
            loop.close()
