"""What the ledger expects of its store: the same of the one in memory and of ClickHouse."""

# ruff: noqa: S608 - the texts are put together of numbers of this module

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import Evidence, Message, Role
from aiops_core.observability.tally import MINUTE, minute_of
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.runtime.service import utc_now
from aiops_lab.embedded import clickhouse as embedded
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.ledger.endings import Totals
from incident_api.ledger.queries import ClickHouseLedger, LedgerStore
from incident_api.memory_ledger import MemoryLedger
from incident_api.memory_store import MemoryStore
from incident_api.migrate import migrate
from incident_api.recorder import Recorder
from incident_api.store import IncidentStore
from tests.incident_cases import (
    cleared,
    created,
    detected,
    enriched,
    evidence,
    receive,
    suppressed,
    updated,
)

ROOT = Path(__file__).parents[2]
TABLES = ("anomalies", "incidents", "incident_members", "incident_events")
MOST = 100


@dataclass
class Kept:
    incidents: IncidentStore
    ledger: LedgerStore
    since: datetime

    async def after(self, *messages: Message) -> None:
        await receive(Recorder(self.incidents), self.incidents, *messages)

    @property
    def now(self) -> datetime:
        return utc_now() + timedelta(seconds=1)

    async def totals(self) -> Totals:
        return await self.ledger.totals(self.since, self.now)

    async def open(self, most: int = MOST) -> list[str]:
        return [one.tracking_id for one in await self.ledger.open(self.since, self.now, most)]

    async def doubled(self) -> dict[str, list[str]]:
        found = await self.ledger.doubled(self.since, self.now, MOST)
        return {one.tracking_id: sorted(one.places) for one in found}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/"


@pytest.fixture(params=["memory", "clickhouse"])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    since = utc_now() - timedelta(seconds=1)
    if request.param == "memory":
        store = MemoryStore()
        yield Kept(store, MemoryLedger(store), since)
        return
    async with ClickHouse.open(request.getfixturevalue("engine")) as clickhouse:
        await migrate(
            clickhouse, ROOT / "clickhouse", RetentionPolicy.load(ROOT / "policies").tables_days
        )
        for table in TABLES:
            await clickhouse.execute(f"TRUNCATE TABLE aiops.{table}")
        yield Kept(ClickHouseStore(clickhouse), ClickHouseLedger(clickhouse), since)


def fresh(n: int, **fields) -> Evidence:
    return evidence(n, stages={"ingest": utc_now()}, **fields)


def found(n: int) -> list[Message]:
    """The *n*-th anomaly, detected and enriched just now."""
    return [make(n, stages={"detect": utc_now()}) for make in (detected, enriched)]


async def test_nothing_has_no_ends(kept):
    assert await kept.totals() == Totals(0, 0, 0, 0, 0)
    assert await kept.open() == [] and await kept.doubled() == {}
    assert await kept.ledger.placed([]) == []


async def test_every_end_is_counted_under_its_role_and_what_has_none_is_open(kept):
    members = (fresh(0), fresh(1, role=Role.DUPLICATE, fingerprint="f0"))
    hidden = suppressed(2).model_copy(update={"stages": {"ingest": utc_now()}})
    await kept.after(*(m for n in range(5) for m in found(n)), created(evidence=members), hidden)
    assert await kept.totals() == Totals(members=1, duplicates=1, suppressed=1, open=2, doubled=0)
    assert sorted(await kept.open()) == ["t3", "t4"]
    assert len(await kept.open(most=1)) == 1


async def test_the_oldest_of_what_is_open_comes_first(kept):
    for n in (5, 3, 4):
        await kept.after(*found(n))
    assert await kept.open(most=2) == ["t5", "t3"]


async def test_an_open_anomaly_tells_who_it_is_and_how_far_it_came(kept):
    await kept.after(*found(7))
    [one] = await kept.ledger.open(kept.since, kept.now, MOST)
    assert (one.device_id, one.service, one.anomaly_type) == ("sw-7", "switchd", "link_down")
    assert set(one.stages) == {"detect"} and kept.since < one.seen_at < kept.now


async def test_where_lines_ended_is_told_by_role_and_place(kept):
    await kept.after(created(evidence=(fresh(0),)), suppressed(2))
    places = {p.tracking_id: p for p in await kept.ledger.placed(["t0", "t2", "t9"])}
    assert set(places) == {"t0", "t2"}
    assert (places["t0"].role, list(places["t0"].places)) == ("member", ["i1"])
    assert (places["t2"].role, list(places["t2"].places)) == (
        "suppressed",
        ["suppressed:dock-noise"],
    )


async def test_a_redelivered_fact_is_no_second_place(kept):
    fact = created(evidence=(fresh(0),))
    await kept.after(fact)
    await kept.after(fact)
    assert await kept.totals() == Totals(1, 0, 0, 0, 0)


async def test_an_anomaly_in_two_places_stays_visible_whatever_the_engine_merges(kept):
    await kept.after(
        created("i1", evidence=(fresh(0), fresh(1))),
        created("i2", evidence=(fresh(0),)),
        suppressed(1).model_copy(update={"stages": {"ingest": utc_now()}}),
    )
    if isinstance(kept.ledger, ClickHouseLedger):
        await kept.ledger._clickhouse.execute("OPTIMIZE TABLE aiops.incident_members FINAL")
    assert (await kept.totals()).doubled == 2
    assert await kept.doubled() == {"t0": ["i1", "i2"], "t1": ["i1", "suppressed:dock-noise"]}


async def test_members_that_a_merge_moved_are_in_one_place(kept):
    moved = updated(2, incident="i2").model_copy(update={"members": (fresh(0),)})
    await kept.after(
        created("i1", evidence=(fresh(0),)),
        created("i2", evidence=(fresh(5),)),
        moved,
        cleared(2, "i1", resolve_reason="merged", note="into i2"),
    )
    assert await kept.doubled() == {}


async def test_only_the_span_counts(kept):
    await kept.after(*found(0), created(evidence=(fresh(0),)))
    later = utc_now() + timedelta(seconds=5)
    span = (later, later + timedelta(hours=1))
    assert await kept.ledger.totals(*span) == Totals(0, 0, 0, 0, 0)
    assert list(await kept.ledger.open(*span, MOST)) == []


MILLION = 1_000_000
EVERY = 250_000  # one anomaly of so many got lost


@pytest.mark.e2e
async def test_of_a_million_anomalies_the_lost_ones_are_found(engine):
    """Ids are made by the engine itself: what is tested is counting, and that it fits in memory."""
    async with ClickHouse.open(engine) as clickhouse:
        await migrate(
            clickhouse, ROOT / "clickhouse", RetentionPolicy.load(ROOT / "policies").tables_days
        )
        for table in TABLES:
            await clickhouse.execute(f"TRUNCATE TABLE aiops.{table}")
        since = utc_now() - timedelta(seconds=1)
        ids = "lower(hex(sipHash128(number))), lower(hex(sipHash128(number, 1)))"
        await clickhouse.execute(
            "INSERT INTO aiops.anomalies (anomaly_id, tracking_id, ts, version)"
            f" SELECT {ids}, now64(6), 2 FROM numbers({MILLION})"
        )
        await clickhouse.execute(
            "INSERT INTO aiops.incident_members (anomaly_id, tracking_id, ts, role, incident_id, place)"
            f" SELECT {ids}, now64(6), if(number % 10 = 0, 'member', 'duplicate'),"
            " toString(intDiv(number, 1000)) AS i, i"
            f" FROM numbers({MILLION}) WHERE number % {EVERY} != 7"
        )
        ledger = ClickHouseLedger(clickhouse)
        now, lost = utc_now() + timedelta(seconds=1), MILLION // EVERY
        assert await ledger.totals(since, now) == Totals(100_000, 900_000 - lost, 0, lost, 0)
        found = await ledger.open(since, now, MOST)
        assert len(found) == lost
        assert await ledger.placed([one.tracking_id for one in found]) == []


async def test_a_member_that_moved_is_in_one_place(kept):
    moved = evidence(1, moved_from="i1")
    await kept.after(detected(0), detected(1), created(), updated(2, 1))
    await kept.after(created("i2", 7), updated(2, 1, incident="i2", members=(moved,)))
    totals = await kept.totals()
    assert (totals.members, totals.suppressed, totals.open) == (3, 0, 0)
    assert await kept.doubled() == {}


async def test_a_fact_that_comes_again_after_a_move_moves_nothing_back(kept):
    """A broker that is killed may lose the acknowledgement of the earlier fact and keep the later's."""
    grown = updated(2, 1)
    moved = updated(2, 1, incident="i2", members=(evidence(1, moved_from="i1"),))
    recorder = Recorder(kept.incidents)
    for sequence, fact in ((1, created()), (2, grown), (3, created("i2", 7)), (4, moved)):
        await receive(recorder, kept.incidents, fact, sequence=sequence)
    await receive(recorder, kept.incidents, grown, sequence=2)
    assert await kept.doubled() == {}
    assert list(await kept.incidents.tracking_ids("i1", MOST)) == ["t0"]
    [place] = await kept.ledger.placed(["t1"])
    assert place.role == "member"


async def test_what_is_known_of_is_counted_by_the_minute_in_which_it_was_detected(kept):
    now = utc_now()
    minute = minute_of(now)
    passed = {"stages": {"ingest": now, "detect": now}}
    older = {"stages": {"detect": now - timedelta(minutes=1)}}
    await kept.after(
        detected(1, **passed),
        detected(2, **older),
        enriched(1, **passed),
        created(evidence=(evidence(1, **passed), evidence(3, **passed))),
        suppressed(4, **passed),
    )
    known = await kept.ledger.detected(minute - timedelta(minutes=1), minute + MINUTE)
    assert known == {minute: 3, minute - MINUTE: 1}
    assert await kept.ledger.detected(minute, minute + MINUTE) == {minute: 3}
    assert await kept.ledger.detected(minute + MINUTE, minute + 2 * MINUTE) == {}
