"""The parts of the process, put together once; ``recipe()`` and the tests use the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Self

from aiops_core.adapters.clickhouse import DEPENDENCY, ClickHouse, QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.launch import Context, Web
from aiops_core.suppression.policy import SuppressPolicy
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
from incident_api.outage import DependencyOutages, keep_doing
from incident_api.policy import SloPolicy
from incident_api.reads import SLACK, Reads
from incident_api.recorder import Recorder
from incident_api.ship.desk import ShipDesk
from incident_api.ship.policy import ShipPolicy
from incident_api.silences.queries import ClickHouseSilences
from incident_api.silences.shelf import Shelf
from incident_api.stats.queries import ClickHouseStats
from incident_api.trace.queries import ClickHouseTrace
from incident_api.web import web
from incident_api.written import WrittenFirst

WRITERS = 6  # threads: four tables at once, anomalies and look-ups beside them
READERS = 4  # threads: requests that read for long keep others of them waiting, and no write
WATCH_EVERY = 3.0  # seconds after which /ready knows that ClickHouse has gone or come back
LOOK = "SELECT id FROM aiops.incidents LIMIT 1"


class Wiring:
    def __init__(
        self,
        context: Context,
        clickhouse: ClickHouse,
        readers: ClickHouse,
        troubles: DependencyOutages,
    ) -> None:
        settings = context.settings
        self._clickhouse, self._settings = clickhouse, settings
        self._retention = RetentionPolicy.load(settings.policies)
        read(settings.migrations)  # a missing folder shows at once, not when ClickHouse is there
        self._looks = Reads(clickhouse)
        self._start = troubles.outage("start")
        self._sight = troubles.outage("reads")
        store = ClickHouseStore(clickhouse, self._looks)
        self.recorder = Recorder(store, outage=troubles.outage("rows of incidents wait"))
        self.history = History(store, self.recorder, troubles.outage("rows of anomalies wait"))
        slo = SloPolicy.load(settings.policies)
        letters = Letters(context.bus)
        self._reads = Reads(readers, settings.read_timeout)
        self._written = WrittenFirst(self._reads, self.recorder.write_shown)
        self._auditor = Auditor(
            ClickHouseLedger(self._written), letters, Published(context.bus), slo.ledger.settle
        )
        patient = WrittenFirst(Reads(readers), self.recorder.write_shown)
        self.audit = Watch(replace(self._auditor, store=ClickHouseLedger(patient))).keep_looking
        self.devices = DeviceDesk(ClickHouseDevices(clickhouse, self._looks), context.bus)
        self.ship = ShipDesk(context.bus, ShipPolicy.load(settings.policies), self.devices)
        self._suppress = SuppressPolicy.load(settings.policies)
        self.silences = Shelf(context.bus, self._suppress)
        self.web: Web = web(build(self._parts(context, settings, slo)))

    @classmethod
    @asynccontextmanager
    async def open(cls, context: Context) -> AsyncIterator[Self]:
        context.readiness.needs(DEPENDENCY, required=True)
        troubles = DependencyOutages(DEPENDENCY, partial(_report, context.readiness))
        url, limit = context.settings.clickhouse_url, context.settings.read_timeout
        async with (
            ClickHouse.open(url, threads=WRITERS, on_state=troubles.of("connection")) as clickhouse,
            ClickHouse.open(url, threads=READERS, receive_timeout=limit + SLACK) as readers,
        ):
            yield cls(context, clickhouse, readers, troubles)

    async def recover(self, bus: Bus) -> None:
        """What is in the broker, then the schema, then the state."""
        await self.ship.recover()
        with self._start.noticed():
            await self._set_up()
            await self.recorder.recover(bus)
            await self.devices.recover()

    async def _set_up(self) -> None:
        try:
            days = self._retention.tables_days
            await migrate(self._clickhouse, self._settings.migrations, days)
        except QueryFailed as exc:
            raise Unavailable(str(exc)) from exc

    async def watch(self) -> None:
        """Ask ClickHouse for a sign of life, also while there is nothing to store."""
        await keep_doing(
            lambda: self._looks.query(LOOK), lambda: asyncio.sleep(WATCH_EVERY), self._sight
        )

    def _parts(self, context: Context, settings: Settings, slo: SloPolicy) -> Parts:
        return Parts(
            recorder=self.recorder,
            store=ClickHouseStore(self._clickhouse, self._reads, self._written),
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
