"""A ClickHouse that is there and refuses, against the real engine: what passes is waited for, a bad
row is buried."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import Message, Recurrence
from aiops_core.observability.probe import Readiness
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.bus import REASON, Outgoing
from aiops_core.runtime.runtime import Runtime
from aiops_lab.memory_bus import MemoryBus
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.history import History
from incident_api.migrate import migrate
from incident_api.outage import DependencyOutages
from incident_api.reads import Reads
from incident_api.recorder import Recorder
from tests import clickhouse_server as embedded
from tests.conftest import ROOT
from tests.incident_cases import created, detected, enriched, incidents_service, suppressed, updated

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/"


@pytest.fixture
async def clickhouse(engine: str) -> AsyncIterator[ClickHouse]:
    async with ClickHouse.open(engine) as store:
        await store.execute("DROP DATABASE IF EXISTS aiops")
        days = RetentionPolicy.load(ROOT / "policies").tables_days
        await migrate(store, ROOT / "clickhouse", days)
        yield store


class Serving:
    """incident-api's message side on a bus in memory, *problem* as ``/ready`` says it."""

    def __init__(self, clickhouse: ClickHouse, bus: MemoryBus) -> None:
        self.clickhouse, self.bus = clickhouse, bus
        self.problem: str | None = None
        troubles = DependencyOutages(
            "clickhouse", lambda problem: setattr(self, "problem", problem)
        )
        store = ClickHouseStore(clickhouse, Reads(clickhouse))
        self.recorder = Recorder(store, outage=troubles.outage("rows of incidents wait"))
        self.history = History(store, self.recorder, troubles.outage("anomalies wait"))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Serving]:
        recorder = self.recorder
        service = incidents_service(recorder)
        services = (service, self.history.service())
        runs = [Runtime(one, self.bus, Readiness(one.name)) for one in services]
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(run.run())
            yield self
            for run in runs:
                run.stop.set()

    async def publish(self, *messages: Message) -> None:
        first = len(self.bus.published)
        await self.bus.publish([Outgoing(m, str(first + n)) for n, m in enumerate(messages)])

    async def settled(self) -> None:
        async with asyncio.timeout(20):
            while len(set(self.bus.acked)) + len(self.bus.buried) < len(self.bus.published):
                await asyncio.sleep(0.02)

    async def count(self, table: str) -> int:
        sql = f"SELECT count() FROM aiops.{table} FINAL"  # noqa: S608
        [(number,)] = await self.clickhouse.query(sql)
        return int(number)

    def dead_letters(self) -> list[str]:
        dead = [one for one in self.bus.stored if one.subject == "dead.incident-api"]
        return [one.headers[REASON] for one in dead]


async def until(is_so) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "table",
    ["anomalies", "incident_members", "incidents", "incident_events", "problem_occurrences"],
)
async def test_a_table_that_is_missing_is_waited_for(clickhouse, table):
    async with Serving(clickhouse, MemoryBus()).running() as service:
        await service.publish(created(), detected(0))
        await service.settled()
        await clickhouse.execute(f"RENAME TABLE aiops.{table} TO aiops.elsewhere")
        again = created("i2", 5, recurrence=Recurrence(problem_id="p"))
        await service.publish(again, updated(2, 1), suppressed(9), enriched(5))
        await until(lambda: service.problem and table in service.problem)
        known = service.recorder.registry.known
        await until(lambda: known("i2"))
        assert known("i2").incident.anomaly_count == 1
        await clickhouse.execute(f"RENAME TABLE aiops.elsewhere TO aiops.{table}")
        await service.settled()
        await until(lambda: service.problem is None)
        tables = ("incidents", "incident_members", "anomalies", "problem_occurrences")
        assert [await service.count(one) for one in tables] == [2, 4, 2, 1]
        assert service.dead_letters() == []


async def test_rows_that_no_column_can_hold_are_buried_and_all_others_stored(clickhouse):
    bus = MemoryBus()
    async with Serving(clickhouse, bus).running() as service:
        poison = created("bad", 7, anomaly_count=1 << 70)
        await service.publish(created(), poison, updated(2, 1), created("i2", 5), detected(3))
        await service.settled()
        (reason,) = service.dead_letters()
        assert "incidents is refused" in reason
        rows = await clickhouse.query("SELECT id, anomaly_count FROM aiops.incidents FINAL")
        assert sorted(rows) == [("i1", 2), ("i2", 1)]
        assert await service.count("anomalies") == 1
        assert service.problem is None
    async with Serving(clickhouse, bus).running() as again:
        await again.publish(updated(3, 2))
        await again.settled()
        assert len(again.dead_letters()) == 1


async def test_a_row_that_the_server_refuses_is_buried(clickhouse):
    await clickhouse.execute("ALTER TABLE aiops.anomalies ADD CONSTRAINT good CHECK msg != 'bad'")
    async with Serving(clickhouse, MemoryBus()).running() as service:
        await service.publish(*(detected(n) for n in range(50)), detected(77, msg="bad"))
        await service.settled()
        (reason,) = service.dead_letters()
        assert "anomalies is refused: clickhouse code 469" in reason
        assert await service.count("anomalies") == 50


async def test_what_is_set_up_is_not_written_again(clickhouse, engine):
    """A store that takes nothing can still be started upon."""

    class Reading(ClickHouse):
        async def execute(self, sql: str) -> None:
            raise AssertionError(sql)

    async with Reading.open(engine) as store:
        days = RetentionPolicy.load(ROOT / "policies").tables_days
        await migrate(store, ROOT / "clickhouse", days)
