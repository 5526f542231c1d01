"""The parts of the process, put together once; ``recipe()`` and the tests use the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from aiops_core.adapters.clickhouse import DEPENDENCY, ClickHouse
from aiops_core.bus import Bus
from aiops_core.errors import Unavailable
from aiops_core.launch import Context, Web
from aiops_core.probe import Readiness
from aiops_core.retention import RetentionPolicy
from aiops_core.settings import Settings
from aiops_core.suppress_policy import SuppressPolicy
from incident_api.app import Parts, build
from incident_api.auth.guard import parse_tokens
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.devices.desk import DeviceDesk
from incident_api.devices.store import ClickHouseDevices
from incident_api.history import History
from incident_api.ledger.auditor import Auditor, Watch
from incident_api.ledger.letters import Letters
from incident_api.ledger.published import Published
from incident_api.ledger.queries import ClickHouseLedger
from incident_api.migrate import migrate, read
from incident_api.policy import SloPolicy
from incident_api.recorder import Recorder
from incident_api.ship.desk import ShipDesk
from incident_api.ship.policy import ShipPolicy
from incident_api.silences.queries import ClickHouseSilences
from incident_api.silences.shelf import Shelf
from incident_api.stats.queries import ClickHouseStats
from incident_api.trace.queries import ClickHouseTrace
from incident_api.web import web
from incident_api.written import WrittenFirst

THREADS = 6  # four tables at once, and requests beside them
WATCH_EVERY = 3.0  # seconds after which /ready knows that ClickHouse has gone or come back


class Wiring:
    def __init__(self, context: Context, clickhouse: ClickHouse) -> None:
        settings = context.settings
        self._clickhouse, self._settings = clickhouse, settings
        self._retention = RetentionPolicy.load(settings.policies)
        read(settings.migrations)  # a missing folder shows at once, not when ClickHouse is there
        store = ClickHouseStore(clickhouse)
        self.recorder = Recorder(store)
        self.history = History(store, self.recorder)
        slo = SloPolicy.load(settings.policies)
        letters = Letters(context.bus)
        self._written = WrittenFirst(clickhouse, self.recorder.write_shown)
        self._auditor = Auditor(
            ClickHouseLedger(self._written), letters, Published(context.bus), slo.ledger.settle
        )
        self.audit = Watch(self._auditor).keep_looking
        self.devices = DeviceDesk(ClickHouseDevices(clickhouse), context.bus)
        self.ship = ShipDesk(context.bus, ShipPolicy.load(settings.policies), self.devices)
        self._suppress = SuppressPolicy.load(settings.policies)
        self.silences = Shelf(context.bus, self._suppress)
        self.web: Web = web(build(self._parts(context, settings, slo)))

    @classmethod
    @asynccontextmanager
    async def open(cls, context: Context) -> AsyncIterator[Self]:
        context.readiness.needs(DEPENDENCY, required=True)

        def on_state(problem: str | None) -> None:
            _report(context.readiness, problem)

        url = context.settings.clickhouse_url
        async with ClickHouse.open(url, threads=THREADS, on_state=on_state) as clickhouse:
            yield cls(context, clickhouse)

    async def recover(self, bus: Bus) -> None:
        """The schema first, then the state."""
        days = self._retention.tables_days
        await migrate(self._clickhouse, self._settings.migrations, days)
        await self.recorder.recover(bus)
        await self.devices.recover()
        await self.ship.recover()

    async def watch(self) -> None:
        """Ask ClickHouse for a sign of life, also while there is nothing to store."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            with suppress(Unavailable):
                await self._clickhouse.ping()

    def _parts(self, context: Context, settings: Settings, slo: SloPolicy) -> Parts:
        return Parts(
            recorder=self.recorder,
            store=ClickHouseStore(self._clickhouse, whole=self._written),
            stats=ClickHouseStats(self._written),
            traces=ClickHouseTrace(self._written, self.history.pending),
            auditor=self._auditor,
            bus=context.bus,
            readiness=context.readiness,
            slo=slo,
            ship_id=settings.ship_id,
            tokens=parse_tokens(settings.api_tokens),
            devices=self.devices,
            ship=self.ship,
            suppress=self._suppress,
            hidden=ClickHouseSilences(self._written),
            silences=self.silences,
        )


def _report(readiness: Readiness, problem: str | None) -> None:
    if problem:
        readiness.down(DEPENDENCY, problem)
    else:
        readiness.up(DEPENDENCY)
