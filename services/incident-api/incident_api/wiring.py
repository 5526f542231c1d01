"""All parts of the process, put together for ``recipe()`` and the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Self

from aiops_core.adapters.clickhouse import DEPENDENCY, ClickHouse, QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.inventory.policy import LearningPolicy
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.spread import SpreadPolicy
from aiops_core.runtime.bus import Bus
from aiops_core.runtime.launch import Context, Web
from aiops_core.suppression.policy import SuppressPolicy
from incident_api.app import build
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.devices.commands import DeviceCommands
from incident_api.devices.published import PublishedDevices, PublishedSuggestions
from incident_api.devices.store import ClickHouseDevices
from incident_api.devices.suggested import ClickHouseTroubles, EdgeLearner
from incident_api.devices.suggestions import SuggestionCommands
from incident_api.digest.queries import DigestQueries
from incident_api.guard import parse_tokens
from incident_api.history import History
from incident_api.incidents.commands import IncidentCommands
from incident_api.lasting import keep_open_ones
from incident_api.ledger.auditor import Auditor, LossWatch
from incident_api.ledger.broker import BrokerRecords
from incident_api.ledger.queries import LedgerQueries
from incident_api.migrate import migrate, read
from incident_api.outage import DependencyOutages, keep_doing
from incident_api.parameters import Components
from incident_api.policy import ShipPolicy, SloPolicy
from incident_api.reads import SLACK, Reads
from incident_api.recorder import Recorder
from incident_api.recurrence.commands import ProblemCommands
from incident_api.recurrence.queries import ClickHouseProblems
from incident_api.ship.commands import ShipCommands
from incident_api.silences.repository import SilenceRepository
from incident_api.stats.queries import StatsQueries
from incident_api.trace.queries import TraceQueries
from incident_api.web import web

WRITERS = 6  # threads: four tables at once, and anomalies and look-ups beside them
READERS = 4  # threads of their own: a long read delays other reads, and no write
WATCH_EVERY = 3.0  # seconds between two looks whether ClickHouse is there, for /ready
LOOK = "SELECT id FROM aiops.incidents LIMIT 1"


class Wiring:
    def __init__(
        self,
        context: Context,
        clickhouse: ClickHouse,
        readers: ClickHouse,
        troubles: DependencyOutages,
    ) -> None:
        settings, bus = context.settings, context.bus
        self._clickhouse, self._migrations = clickhouse, settings.migrations
        self._days = RetentionPolicy.load(settings.policies).tables_days
        read(settings.migrations)  # a missing folder is an error before ClickHouse is there
        self._looks = Reads(clickhouse)
        self._start = troubles.outage("start")
        self._sight = troubles.outage("reads")
        store = ClickHouseStore(clickhouse, self._looks)
        self.recorder = Recorder(store, outage=troubles.outage("rows of incidents wait"))
        self.history = History(store, self.recorder, troubles.outage("rows of anomalies wait"))
        reads = Reads(readers, settings.read_timeout)
        written = Reads(readers, settings.read_timeout, self.recorder.write_shown)
        unlimited = Reads(readers, write=self.recorder.write_shown)
        slo, suppress = SloPolicy.load(settings.policies), SuppressPolicy.load(settings.policies)
        auditor = Auditor(LedgerQueries(written), BrokerRecords(bus), slo.ledger.settle)
        self.audit = LossWatch(replace(auditor, store=LedgerQueries(unlimited))).keep_looking
        self.devices = DeviceCommands(ClickHouseDevices(clickhouse, self._looks), bus)
        edges = PublishedSuggestions(bus)
        self.suggestions = SuggestionCommands(self.devices, edges, PublishedDevices(bus))
        self.learner = EdgeLearner(
            ClickHouseTroubles(Reads(readers, settings.read_timeout)),
            edges,
            LearningPolicy.load(settings.policies),
            lambda: self.devices.inventory,
        )
        self.ship = ShipCommands(
            bus, ShipPolicy.load(settings.policies), lambda: self.devices.inventory
        )
        self.silences = SilenceRepository(bus, suppress)
        problems = ClickHouseProblems(written)
        components = Components(
            recorder=self.recorder,
            store=ClickHouseStore(clickhouse, reads, written),
            incidents=IncidentCommands(self.recorder, bus, settings.ship_id),
            problem_store=problems,
            problems=ProblemCommands(self.recorder, bus, problems),
            stats=StatsQueries(written),
            traces=TraceQueries(written, self.history.pending),
            auditor=auditor,
            digest=DigestQueries(reads),
            devices=self.devices,
            suggestions=self.suggestions,
            ship=self.ship,
            silences=self.silences,
            suppress=suppress,
            slo=slo,
            readiness=context.readiness,
            tokens=parse_tokens(settings.api_tokens),
            spread=SpreadPolicy.load(settings.policies).problems.spread,
        )
        self.web: Web = web(build(components))

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
        """Read the bucket ``ship``, migrate the schema, load incidents and devices."""
        await self.ship.recover()
        with self._start.noticed():
            await self._set_up()
            await self.recorder.recover(bus)
            await self.devices.recover()

    async def _set_up(self) -> None:
        try:
            await migrate(self._clickhouse, self._migrations, self._days)
        except QueryFailed as exc:
            raise Unavailable(str(exc)) from exc

    async def watch(self) -> None:
        """The background loop that notices an outage while nothing is stored."""
        await keep_doing(lambda: self._looks.query(LOOK), WATCH_EVERY, self._sight)

    async def keep_open_ones(self) -> None:
        """The background loop by which open incidents outlive the retention of their table."""
        await keep_open_ones(self._clickhouse, self._days.incidents)


def _report(readiness: Readiness, problem: str | None) -> None:
    if problem:
        readiness.down(DEPENDENCY, problem)
    else:
        readiness.up(DEPENDENCY)
