"""``/api/v3/devices`` and ``/api/v3/ship`` as one application, over a store and a bus in memory."""

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
from incident_api import problems
from incident_api.devices import routes as devices
from incident_api.devices.desk import DeviceDesk
from incident_api.devices.memory_store import MemoryDevices
from incident_api.ship import routes as ship
from incident_api.ship.desk import ShipDesk
from incident_api.ship.policy import ShipPolicy
from incident_api.web import web
from tests.conftest import ROOT, free_port

POLICY = ShipPolicy.load(ROOT / "policies")


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
        self.devices = DeviceDesk(self.store, self.bus, self.clock)
        self.ship = ShipDesk(self.bus, POLICY, self.devices, self.clock)

    def clock(self) -> datetime:
        return self.now or utc_now()

    async def recover(self) -> None:
        await self.devices.recover()
        await self.ship.recover()

    def app(self) -> FastAPI:
        app = FastAPI()
        app.state.devices, app.state.ship = self.devices, self.ship
        app.state.clock = self.clock
        for router in (devices.router, ship.router):
            app.include_router(router)
        problems.install(app)
        return app


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
