"""Histories of anomalies -> the balance of the ledger, its metric, and what it says of the lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from aiops_core.errors import Unavailable
from aiops_core.models import (
    AnomalyDetected,
    AnomalyDigested,
    EnrichedAnomaly,
    IncidentUpdated,
    Role,
)
from aiops_core.observability import metrics
from aiops_core.observability.tally import minute_of
from aiops_core.runtime.bus import REASON, SOURCE, SUBJECT, Stored
from aiops_core.runtime.service import utc_now
from aiops_lab.memory_bus import MemoryBus
from incident_api.clickhouse_store import ClickHouseStore
from incident_api.ledger import auditor as auditing
from incident_api.ledger.auditor import Auditor, LossWatch
from incident_api.ledger.broker import BrokerRecords, anomalies_of
from incident_api.ledger.models import Balance, Books, OpenAnomaly, Place, Totals
from incident_api.ledger.queries import LedgerQueries
from incident_api.parameters import parse_since
from incident_api.problems import Problem
from incident_api.recorder import Recorder
from tests.api_parts import empty_tables
from tests.incident_cases import (
    NOON,
    at,
    created,
    detected,
    digested,
    enriched,
    evidence,
    receive,
    suppressed,
    updated,
)

SETTLE = timedelta(seconds=60)
DEAD = "dead.enrichment-service"


@dataclass
class Audited:
    """ClickHouse stores now; the auditor's clock stands at *now*, an hour later."""

    queries: LedgerQueries
    store: ClickHouseStore
    bus: MemoryBus
    now: datetime

    @property
    def auditor(self) -> Auditor:
        return Auditor(self.queries, BrokerRecords(self.bus), SETTLE, lambda: self.now)

    async def published(self, base: datetime = NOON, **counts: int) -> None:
        """Detection has published so many, by the minute after *base*."""
        value = {str(base.minute + int(m.removeprefix("m"))): n for m, n in counts.items()}
        key = f"{base:%Y-%m-%dT%H}"
        await self.bus.bucket("tally").put(key, json.dumps(value).encode())

    async def after(self, *messages) -> None:
        await receive(Recorder(self.store), self.store, *messages)

    def bury(self, message, subject=DEAD) -> None:
        headers = {SUBJECT: message.subject, SOURCE: "ANOMALIES/7", REASON: "no such ship"}
        self.bus._put(subject, message.model_dump_json().encode(), headers)

    async def balance(self) -> Balance:
        return (await self.auditor.ledger(NOON)).balance


def later(seconds: float) -> datetime:
    return utc_now() + timedelta(seconds=seconds)


@pytest.fixture
async def audited(clickhouse_url: str) -> AsyncIterator[Audited]:
    async with empty_tables(clickhouse_url) as clickhouse:
        queries, store = LedgerQueries(clickhouse), ClickHouseStore(clickhouse)
        yield Audited(queries, store, MemoryBus(), later(3600))


async def test_every_anomaly_is_counted_once_and_the_sum_is_what_was_detected(audited):
    members = (evidence(0), evidence(1, role=Role.DUPLICATE, duplicate_of="a"))
    await audited.after(*(detected(n) for n in range(5)), created(evidence=members), suppressed(2))
    audited.bury(detected(3))
    assert await audited.balance() == Balance(
        detected=5,
        members=1,
        duplicates=1,
        suppressed=1,
        dead_letters=1,
        in_flight=0,
        unaccounted=1,
        doubled=0,
    )


async def test_the_lost_are_named_with_the_way_that_they_went(audited):
    await audited.after(detected(1), enriched(2))
    ledger = await audited.auditor.ledger(NOON)
    assert not ledger.balanced
    stages = {one.tracking_id: one.last_stage for one in ledger.unaccounted}
    assert stages == {"t1": "detect", "t2": "enrich"}


async def test_the_young_are_in_flight(audited):
    await audited.after(detected(1))
    audited.now = later(30)
    assert (await audited.balance()).in_flight == 1
    audited.now = later(62)
    assert (await audited.balance()).unaccounted == 1


async def test_a_dead_letter_that_was_replayed_ended_where_it_came_to(audited):
    audited.bury(detected(0))
    assert (await audited.balance()).dead_letters == 1
    await audited.after(detected(0), created(evidence=(evidence(0),)))
    balance = await audited.balance()
    assert (balance.members, balance.dead_letters, balance.detected) == (1, 0, 1)


async def test_what_history_could_not_store_of_an_anomaly_is_not_its_end(audited):
    await audited.after(detected(0))
    audited.bury(detected(0), "dead.incident-api")
    assert (await audited.balance()).unaccounted == 1


async def test_a_buried_fact_buries_its_members(audited):
    fact = IncidentUpdated.model_validate(updated(2, 3, 4).model_dump())
    audited.bury(fact, "dead.incident-api")
    assert (await audited.balance()).dead_letters == 2


async def test_an_anomaly_in_two_places_unbalances_the_ledger(audited):
    await audited.after(detected(0), created("i1"), created("i2"))
    ledger = await audited.auditor.ledger(NOON)
    assert not ledger.balanced
    assert [one.places for one in ledger.doubled] == [["i1", "i2"]]
    assert (ledger.balance.detected, ledger.balance.members) == (1, 1)


async def test_without_the_broker_nobody_knows_the_dead(audited):
    audited.bus.connected = False
    with pytest.raises(Unavailable):
        await audited.balance()


def dead_letter(data: bytes, subject: str) -> Stored:
    headers = {SUBJECT: subject, SOURCE: "ANOMALIES/7", REASON: "why"}
    return Stored(DEAD, data, NOON, 1, headers)


def test_bytes_that_are_no_anomaly_are_one_named_by_their_place():
    [one] = anomalies_of(dead_letter(b"{", AnomalyDetected.subject))
    assert (one.anomaly_id, one.tracking_id, one.service) == (
        "ANOMALIES/7",
        "",
        "enrichment-service",
    )


def test_an_anomaly_is_the_same_before_and_after_enrichment():
    before = anomalies_of(
        dead_letter(detected(1).model_dump_json().encode(), AnomalyDetected.subject)
    )
    after = anomalies_of(
        dead_letter(enriched(1).model_dump_json().encode(), EnrichedAnomaly.subject)
    )
    assert [one.anomaly_id for one in before] == [one.anomaly_id for one in after]


def test_a_finding_that_could_not_be_digested_is_one_as_well():
    data = digested(1).model_dump_json().encode()
    [one] = anomalies_of(dead_letter(data, AnomalyDigested.subject))
    assert (one.anomaly_id, one.tracking_id) == (detected(1).anomaly_id, "t1")


async def test_what_is_digested_is_counted_as_such_and_a_dead_one_that_came_again_once(audited):
    await audited.after(digested(1), digested(2))
    audited.bury(digested(2), "dead.incident-api")
    audited.bury(digested(3), "dead.incident-api")
    balance = await audited.balance()
    assert (balance.digested, balance.dead_letters, balance.detected) == (2, 1, 3)
    assert balance.unaccounted == balance.doubled == 0


async def test_what_was_digested_and_never_read_is_missing(audited):
    await audited.after(digested(1))
    await audited.published(m0=3)
    assert (await audited.balance()).unread == 2


def open_(n: int) -> OpenAnomaly:
    return OpenAnomaly(
        anomaly_id=f"a{n}",
        tracking_id=f"t{n}",
        device_id="sw-1",
        service="app",
        anomaly_type="link_down",
        seen_at=at(n),
        stages={},
    )


def books(opened, totals, settled, placed=(), cut=True) -> Books:
    ended = {one.anomaly_id: one for one in placed}
    return Books(totals, opened, ended, {}, (), settled, cut)


def test_of_more_than_can_be_read_the_rest_is_as_old_as_the_youngest_read():
    totals = Totals(0, 0, 0, open=10, doubled=0)
    assert books([open_(1), open_(2)], totals, at(60)).balance().unaccounted == 10
    young = books([open_(1), open_(70)], totals, at(60)).balance()
    assert (young.unaccounted, young.in_flight) == (1, 9)


def test_an_end_that_was_stored_before_the_span_counts_under_its_role():
    placed = [Place("a1", "t1", "duplicate", ["i1"])]
    totals = Totals(3, 0, 0, open=1, doubled=0)
    balance = books([open_(1)], totals, at(60), placed, cut=False).balance()
    assert (balance.members, balance.duplicates, balance.unaccounted) == (3, 1, 0)


def test_what_has_passed_no_stage_was_only_ingested():
    assert open_(1).last_stage == "ingest"


class TestLossWatch:
    async def test_the_metric_counts_what_was_lost_until_it_is_found(self, audited):
        watch = LossWatch(audited.auditor)
        await audited.after(detected(1), detected(2), created(evidence=(evidence(2),)))
        assert await watch.look() == 1 == metrics.UNACCOUNTED._value.get()
        await audited.after(created("i9", evidence=(evidence(1),)))
        assert await watch.look() == 0 == metrics.UNACCOUNTED._value.get()

    async def test_each_stored_anomaly_is_looked_at_once(self, audited):
        asked = []
        ask = audited.queries.open

        async def counted(since, until, most):
            asked.append((since, until))
            return await ask(since, until, most)

        audited.queries.open = counted
        watch = LossWatch(audited.auditor)
        await watch.look()
        assert (asked[0][0], asked[-1][1]) == (
            audited.now - timedelta(hours=24),
            audited.now - SETTLE,
        )
        assert all(until - since <= timedelta(hours=1) for since, until in asked)
        before, audited.now = audited.now, audited.now + timedelta(seconds=30)
        asked.clear()
        await watch.look()
        assert asked == [(before - SETTLE, audited.now - SETTLE)]

    async def test_dead_letters_are_no_alarm_and_what_is_older_than_a_day_neither(self, audited):
        watch = LossWatch(audited.auditor)
        await audited.after(detected(1), detected(2))
        audited.bury(detected(1))
        assert await watch.look() == 1
        audited.now = later(60) + timedelta(hours=24)
        assert await watch.look() == 0

    async def test_it_remembers_no_more_than_it_may(self, audited, monkeypatch):
        monkeypatch.setattr(auditing, "READ", 3)
        await audited.after(*(detected(n) for n in range(9)))
        assert await LossWatch(audited.auditor).look() == 3


class TestWhatNobodyRead:
    """Anomalies that a stream discarded before anybody had read them are missed all the same."""

    async def test_what_detection_published_and_nobody_stored_unbalances_the_ledger(self, audited):
        await audited.published(m0=5, m1=2)
        members = (evidence(0), evidence(1))
        await audited.after(detected(0), detected(2), created(evidence=members), suppressed(2))
        ledger = await audited.auditor.ledger(NOON)
        assert (ledger.balance.unread, ledger.balance.unaccounted) == (4, 4)
        assert ledger.balance.detected == 7
        assert not ledger.balanced

    async def test_an_end_is_enough_to_be_known(self, audited):
        """The history may have missed what correlation has read."""
        await audited.published(m0=2)
        await audited.after(created(evidence=(evidence(0), evidence(1))))
        assert (await audited.balance()).unread == 0

    async def test_only_whole_minutes_that_have_settled_are_compared(self, audited):
        await audited.published(m0=1, m1=1, m2=1)
        audited.now = at(150) + SETTLE
        assert (await audited.balance()).unread == 2
        assert (await audited.auditor.ledger(at(30))).balance.unread == 1

    async def test_more_than_was_counted_is_no_debt(self, audited):
        """Others publish anomalies too, and a kill may cost a second of the count."""
        await audited.published(m0=1, m1=3)
        await audited.after(*(detected(n) for n in range(5)), suppressed(0))
        assert (await audited.balance()).unread == 3

    async def test_the_metric_counts_it_until_it_is_stored_after_all(self, audited):
        base = minute_of(later(-600))
        found = {"stages": {"detect": base}}
        watch = LossWatch(audited.auditor)
        audited.now = later(0)
        await audited.published(base, m0=2)
        assert await watch.look() == 2 == metrics.UNACCOUNTED._value.get()
        assert await watch.look() == 2
        await audited.after(created(evidence=(evidence(0, **found),)))
        assert await watch.look() == 1
        await audited.after(created("i2", evidence=(evidence(1, **found),)))
        assert await watch.look() == 0

    async def test_it_is_an_alarm_for_a_day(self, audited):
        audited.now = later(0)
        watch = LossWatch(audited.auditor)
        await audited.published(minute_of(later(-600)), m0=2)
        assert await watch.look() == 2
        audited.now = later(3600 * 5)
        assert await watch.look() == 2
        audited.now = later(3600 * 25)
        assert await watch.look() == 0

    async def test_without_nats_there_is_no_ledger(self, audited):
        audited.bus.connected = False
        with pytest.raises(Unavailable):
            await BrokerRecords(audited.bus).detected()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1h", NOON - timedelta(hours=1)),
        ("2026-06-01T11:00:00Z", NOON - timedelta(hours=1)),
        ("2026-06-01T11:00:00+02:00", NOON - timedelta(hours=3)),
    ],
)
def test_a_span_or_a_time_begins_the_ledger(text, moment):
    assert parse_since(text, NOON) == moment


@pytest.mark.parametrize(
    "text",
    ["", "soon", "0h", "2026-06-01T11:00:00", "2026-06-02T11:00:00Z", "0001-01-01T00:00:00+14:00"],
)
def test_what_tells_no_past_time_is_refused_in_words(text):
    with pytest.raises(Problem, match="expected a span like"):
        parse_since(text, NOON)
