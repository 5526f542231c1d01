"""incident-api put together for tests: in memory, or over a real ClickHouse with empty tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import httpx

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.errors import Unavailable
from aiops_core.models import Message
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.spread import SpreadPolicy
from aiops_core.runtime.service import utc_now
from aiops_core.suppression.policy import SuppressPolicy
from aiops_lab.memory_bus import MemoryBus
from incident_api.app import build
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.devices.commands import DeviceCommands
from incident_api.devices.published import PublishedDevices, PublishedSuggestions
from incident_api.devices.store import DeviceStore
from incident_api.devices.suggestions import SuggestionCommands
from incident_api.digest.queries import DigestQueries
from incident_api.guard import parse_tokens
from incident_api.incidents.commands import IncidentCommands
from incident_api.ledger.auditor import Auditor
from incident_api.ledger.broker import BrokerRecords
from incident_api.ledger.queries import LedgerQueries
from incident_api.migrate import migrate
from incident_api.parameters import Components
from incident_api.policy import PathSlo, ShipPolicy, SloPolicy
from incident_api.reads import Reads, SqlQueries
from incident_api.recorder import Recorder
from incident_api.recurrence.commands import ProblemCommands
from incident_api.recurrence.queries import ClickHouseProblems
from incident_api.recurrence.store import ProblemStore
from incident_api.ship.commands import ShipCommands
from incident_api.silences.repository import SilenceRepository
from incident_api.stats.queries import StatsQueries
from incident_api.store import IncidentStore
from incident_api.trace.queries import TraceQueries
from tests.conftest import ROOT
from tests.incident_cases import receive
from tests.memory_stores import MemoryDevices, MemoryProblems, MemoryStore

SHIP_POLICY = ShipPolicy.load(ROOT / "policies")
TABLES = (
    "anomalies",
    "anomalies_digested",
    "incidents",
    "incident_members",
    "incident_events",
    "devices",
    "problem_occurrences",
    "problem_edits",
)


class NoClickHouse:
    """``SqlQueries`` while ClickHouse is away."""

    async def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        raise Unavailable("clickhouse does not answer")


@dataclass
class Platform:
    """incident-api with its bus in memory."""

    components: Components
    bus: MemoryBus

    @property
    def recorder(self) -> Recorder:
        return self.components.recorder

    @property
    def store(self) -> MemoryStore:
        assert isinstance(self.components.store, MemoryStore)
        return self.components.store

    async def after(self, *messages: Message) -> None:
        await receive(self.recorder, self.components.store, *messages)

    def client(
        self, peer: str = "127.0.0.1", tokens: str = "", **headers: str
    ) -> httpx.AsyncClient:
        app = build(replace(self.components, tokens=parse_tokens(tokens)))
        transport = httpx.ASGITransport(app, client=(peer, 4711), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


def platform(
    store: IncidentStore | None = None,
    queries: SqlQueries | None = None,
    recorder: Recorder | None = None,
    devices: DeviceStore | None = None,
    bus: MemoryBus | None = None,
    clock: Callable[[], datetime] = utc_now,
    problems: ProblemStore | None = None,
) -> Platform:
    store, bus, queries = store or MemoryStore(), bus or MemoryBus(), queries or NoClickHouse()
    recorder = recorder or Recorder(store)
    suppress = SuppressPolicy.load(ROOT / "policies")
    inventory = DeviceCommands(devices or MemoryDevices(), bus, clock)
    problems = problems or MemoryProblems(store)
    components = Components(
        recorder=recorder,
        store=store,
        incidents=IncidentCommands(recorder, bus, "ship-1", clock),
        problem_store=problems,
        problems=ProblemCommands(recorder, bus, problems, clock),
        stats=StatsQueries(queries),
        traces=TraceQueries(queries),
        auditor=Auditor(LedgerQueries(queries), BrokerRecords(bus), timedelta(seconds=60), clock),
        digest=DigestQueries(queries),
        devices=inventory,
        suggestions=SuggestionCommands(
            inventory, PublishedSuggestions(bus), PublishedDevices(bus), clock
        ),
        ship=ShipCommands(bus, SHIP_POLICY, lambda: inventory.inventory, clock),
        silences=SilenceRepository(bus, suppress, clock),
        suppress=suppress,
        slo=SloPolicy(fast_path=PathSlo(latency_ms=100), insight_path=PathSlo(latency_ms=5000)),
        readiness=Readiness("incident-api", state="serving"),
        tokens={},
        spread=SpreadPolicy.load(ROOT / "policies").problems.spread,
        clock=clock,
    )
    return Platform(components, bus)


async def recovered(platform: Platform) -> Platform:
    await platform.recorder.recover(platform.bus)
    await platform.components.ship.recover()
    return platform


def platform_on(clickhouse: ClickHouse, clock: Callable[[], datetime] = utc_now) -> Platform:
    """With the parts on ClickHouse, as the service has them."""
    recorder = Recorder(ClickHouseStore(clickhouse))
    written = Reads(clickhouse, write=recorder.write_shown)
    store = ClickHouseStore(clickhouse, whole=written)
    problems = ClickHouseProblems(written)
    return platform(store, written, recorder, clock=clock, problems=problems)


@asynccontextmanager
async def empty_tables(url: str) -> AsyncIterator[ClickHouse]:
    async with ClickHouse.open(url) as clickhouse:
        days = RetentionPolicy.load(ROOT / "policies").tables_days
        await migrate(clickhouse, ROOT / "clickhouse", days)
        for table in TABLES:
            await clickhouse.execute(f"TRUNCATE TABLE aiops.{table}")
        yield clickhouse
