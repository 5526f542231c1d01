"""The ledger's queries, against ClickHouse."""

# ruff: noqa: S608 - the texts are put together of numbers of this module

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import Evidence, Message, Role
from aiops_core.observability.tally import MINUTE, minute_of
from aiops_core.runtime.service import utc_now
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.ledger.models import Totals
from incident_api.ledger.queries import LedgerQueries
from incident_api.recorder import Recorder
from tests.api_parts import empty_tables
from tests.incident_cases import (
    cleared,
    created,
    detected,
    digested,
    enriched,
    evidence,
    receive,
    suppressed,
    updated,
)

MOST = 100


@dataclass
class Counted:
    clickhouse: ClickHouse
    since: datetime

    def __post_init__(self) -> None:
        self.incidents, self.ledger = (
            ClickHouseStore(self.clickhouse),
            LedgerQueries(self.clickhouse),
        )

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


@pytest.fixture
async def counted(clickhouse_url: str) -> AsyncIterator[Counted]:
    async with empty_tables(clickhouse_url) as clickhouse:
        yield Counted(clickhouse, utc_now() - timedelta(seconds=1))


def fresh(n: int, **fields) -> Evidence:
    return evidence(n, stages={"ingest": utc_now()}, **fields)


def found(n: int) -> list[Message]:
    """The *n*-th anomaly, detected and enriched just now."""
    return [make(n, stages={"detect": utc_now()}) for make in (detected, enriched)]


async def test_nothing_has_no_ends(counted):
    assert await counted.totals() == Totals(0, 0, 0, 0, 0)
    assert await counted.open() == [] and await counted.doubled() == {}
    assert await counted.ledger.placed([]) == []


async def test_every_end_is_counted_under_its_role_and_what_has_none_is_open(counted):
    members = (fresh(0), fresh(1, role=Role.DUPLICATE, fingerprint="f0"))
    hidden = suppressed(2).model_copy(update={"stages": {"ingest": utc_now()}})
    await counted.after(*(m for n in range(5) for m in found(n)), created(evidence=members), hidden)
    assert await counted.totals() == Totals(
        members=1, duplicates=1, suppressed=1, open=2, doubled=0
    )
    assert sorted(await counted.open()) == ["t3", "t4"]
    assert len(await counted.open(most=1)) == 1


async def test_what_is_digested_has_ended_and_is_counted_once(counted):
    await counted.after(digested(0), digested(0), digested(1))
    assert await counted.totals() == Totals(0, 0, 0, 0, 0, digested=2)
    (place,) = await counted.ledger.placed(["t0"])
    assert (place.role, list(place.places)) == ("digested", ["digested"])
    found = minute_of(digested(0).stages["detect"])
    assert await counted.ledger.detected(found, found + MINUTE) == {found: 2}


async def test_what_is_sent_again_and_digested_then_stays_where_it_was(counted):
    hidden = suppressed(1).model_copy(update={"stages": {"ingest": utc_now()}})
    await counted.after(created(evidence=(fresh(0),)), hidden, *found(0), *found(1))
    await counted.after(digested(0), digested(1))
    assert await counted.totals() == Totals(1, 0, 1, 0, 0, digested=0)
    assert await counted.doubled() == {}


async def test_the_oldest_of_what_is_open_comes_first(counted):
    for n in (5, 3, 4):
        await counted.after(*found(n))
    assert await counted.open(most=2) == ["t5", "t3"]


async def test_an_open_anomaly_tells_who_it_is_and_how_far_it_came(counted):
    await counted.after(*found(7))
    [one] = await counted.ledger.open(counted.since, counted.now, MOST)
    assert (one.device_id, one.service, one.anomaly_type) == ("sw-7", "switchd", "link_down")
    assert set(one.stages) == {"detect"} and counted.since < one.seen_at < counted.now


async def test_where_lines_ended_is_told_by_role_and_place(counted):
    await counted.after(created(evidence=(fresh(0),)), suppressed(2))
    places = {p.tracking_id: p for p in await counted.ledger.placed(["t0", "t2", "t9"])}
    assert set(places) == {"t0", "t2"}
    assert (places["t0"].role, list(places["t0"].places)) == ("member", ["i1"])
    assert (places["t2"].role, list(places["t2"].places)) == (
        "suppressed",
        ["suppressed:dock-noise"],
    )


async def test_a_redelivered_fact_is_no_second_place(counted):
    fact = created(evidence=(fresh(0),))
    await counted.after(fact)
    await counted.after(fact)
    assert await counted.totals() == Totals(1, 0, 0, 0, 0)


async def test_an_anomaly_in_two_places_stays_visible_whatever_the_engine_merges(counted):
    await counted.after(
        created("i1", evidence=(fresh(0), fresh(1))),
        created("i2", evidence=(fresh(0),)),
        suppressed(1).model_copy(update={"stages": {"ingest": utc_now()}}),
    )
    await counted.clickhouse.execute("OPTIMIZE TABLE aiops.incident_members FINAL")
    assert (await counted.totals()).doubled == 2
    assert await counted.doubled() == {"t0": ["i1", "i2"], "t1": ["i1", "suppressed:dock-noise"]}


async def test_members_that_a_merge_moved_are_in_one_place(counted):
    moved = updated(2, incident="i2").model_copy(update={"members": (fresh(0),)})
    await counted.after(
        created("i1", evidence=(fresh(0),)),
        created("i2", evidence=(fresh(5),)),
        moved,
        cleared(2, "i1", resolve_reason="merged", note="into i2"),
    )
    assert await counted.doubled() == {}


async def test_only_the_span_counts(counted):
    await counted.after(*found(0), created(evidence=(fresh(0),)))
    later = utc_now() + timedelta(seconds=5)
    span = (later, later + timedelta(hours=1))
    assert await counted.ledger.totals(*span) == Totals(0, 0, 0, 0, 0)
    assert list(await counted.ledger.open(*span, MOST)) == []


MILLION = 1_000_000
EVERY = 250_000  # one anomaly of so many got lost


@pytest.mark.e2e
async def test_of_a_million_anomalies_the_lost_ones_are_found(counted):
    """Ids are made by the engine itself: what is tested is counting, and that it fits in memory."""
    clickhouse, ledger = counted.clickhouse, counted.ledger
    since = utc_now() - timedelta(seconds=1)
    ids = "lower(hex(sipHash128(number))), lower(hex(sipHash128(number, 1)))"
    await clickhouse.execute(
        "INSERT INTO aiops.anomalies (anomaly_id, tracking_id, ts, version)"
        f" SELECT {ids}, now64(6), 2 FROM numbers({MILLION})"
    )
    await clickhouse.execute(
        "INSERT INTO aiops.incident_members"
        " (anomaly_id, tracking_id, ts, role, incident_id, place)"
        f" SELECT {ids}, now64(6), if(number % 10 = 0, 'member', 'duplicate'),"
        " toString(intDiv(number, 1000)) AS i, i"
        f" FROM numbers({MILLION}) WHERE number % {EVERY} != 7"
    )
    now, lost = utc_now() + timedelta(seconds=1), MILLION // EVERY
    assert await ledger.totals(since, now) == Totals(100_000, 900_000 - lost, 0, lost, 0)
    found = await ledger.open(since, now, MOST)
    assert len(found) == lost
    assert await ledger.placed([one.tracking_id for one in found]) == []


async def test_a_member_that_moved_is_in_one_place(counted):
    moved = evidence(1, moved_from="i1")
    await counted.after(detected(0), detected(1), created(), updated(2, 1))
    await counted.after(created("i2", 7), updated(2, 1, incident="i2", members=(moved,)))
    totals = await counted.totals()
    assert (totals.members, totals.suppressed, totals.open) == (3, 0, 0)
    assert await counted.doubled() == {}


async def test_a_fact_that_comes_again_after_a_move_moves_nothing_back(counted):
    """A killed broker may lose the acknowledgement of the earlier fact and keep the later's."""
    grown = updated(2, 1)
    moved = updated(2, 1, incident="i2", members=(evidence(1, moved_from="i1"),))
    recorder = Recorder(counted.incidents)
    for sequence, fact in ((1, created()), (2, grown), (3, created("i2", 7)), (4, moved)):
        await receive(recorder, counted.incidents, fact, sequence=sequence)
    await receive(recorder, counted.incidents, grown, sequence=2)
    assert await counted.doubled() == {}
    assert list(await counted.incidents.tracking_ids("i1", MOST)) == ["t0"]
    [place] = await counted.ledger.placed(["t1"])
    assert place.role == "member"


async def test_what_is_known_of_is_counted_by_the_minute_in_which_it_was_detected(counted):
    now = utc_now()
    minute = minute_of(now)
    passed = {"stages": {"ingest": now, "detect": now}}
    older = {"stages": {"detect": now - timedelta(minutes=1)}}
    await counted.after(
        detected(1, **passed),
        detected(2, **older),
        enriched(1, **passed),
        created(evidence=(evidence(1, **passed), evidence(3, **passed))),
        suppressed(4, **passed),
    )
    known = await counted.ledger.detected(minute - timedelta(minutes=1), minute + MINUTE)
    assert known == {minute: 3, minute - MINUTE: 1}
    assert await counted.ledger.detected(minute, minute + MINUTE) == {minute: 3}
    assert await counted.ledger.detected(minute + MINUTE, minute + 2 * MINUTE) == {}
