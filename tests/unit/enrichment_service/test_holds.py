"""Enrichment with single exceptions, clock steps and ever new names."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.errors import Unavailable
from aiops_core.models import LastIncident
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_lab.memory_bus import MemoryBus
from enrichment_service.context import INCIDENTS_KEPT, SEEN_KEPT
from enrichment_service.handler import Enricher
from enrichment_service.past import BLOCKS_KEPT, FINGERPRINTS_KEPT, KEYS_KEPT, SimilarAnomalies
from enrichment_service.warmup import INVENTORY, Warmup
from tests.failing import BrokenError, failing
from tests.runtime_cases import received
from tests.unit.enrichment_service.test_context import NOON, POLICY, anomaly, memory
from tests.unit.enrichment_service.test_warmup import FakeQueries, send
from tests.unit.enrichment_service.test_warmup import anomaly as detected_now

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
IN_2038 = datetime(2038, 1, 1, tzinfo=UTC)


def run_of_anomalies():
    kinds = ("link_down", "dns_failure")
    return [
        anomaly(n, at=NOON + n * MINUTE, detected=NOON + n * MINUTE, anomaly_type=kinds[n % 2])
        for n in range(12)
    ]


async def enriched(at=None):
    """What comes out, each anomaly delivered again when it raised."""
    enricher, told, hits = Enricher(memory(), POLICY.severity), [], []
    for one in run_of_anomalies():
        with failing(10**9 if at is None else at, "enrichment_service") as hit:
            try:
                found = await enricher(received(one))
            except BrokenError:
                found = None
        told += await enricher(received(one)) if found is None else found
        hits += hit
    return told, hits


class TestFailures:
    async def test_what_raises_once_anywhere_changes_nothing(self):
        expected, _ = await enriched()
        assert expected[-1].context.count_1h == 5
        at = 0
        while True:
            told, hits = await enriched(at)
            if not hits:
                break
            assert told == expected, set(hits)
            at += 1
        assert at > 20

    async def test_a_recovery_that_breaks_off_anywhere_and_is_repeated_counts_everything_once(self):
        bus = MemoryBus()
        past = [detected_now(n) for n in range(5)]
        stored = detected_now(9, detected=past[0].stages["detect"] - HOUR)
        await send(bus, *past)
        for at in range(7):
            queries = FakeQueries(stored, past[0])
            queries.slow = 0.01
            warmup, known = warming(queries)
            away = Away(bus, at)
            for _ in range(2):
                with contextlib.suppress(Unavailable):
                    await warmup.recover(away)
                    break
                queries.stored = (*queries.stored, *past)  # time passes, and the store has more
            await warmup.keep_fresh_once()
            context = known.observe(known.locate(detected_now(10)))
            assert context.count_1h == 6, at
            await warmup.aclose()

    async def test_what_the_first_load_raises_ends_the_recovery(self):
        """A task has an owner: nothing dies in silence."""
        queries = FakeQueries()
        queries.problem = ZeroDivisionError("a bug")
        warmup, _ = warming(queries)
        warmup._memory.cutoff = NOON
        with pytest.raises(ZeroDivisionError):
            await warmup.recover(MemoryBus())

    async def test_a_load_that_goes_on_ends_with_the_service(self, monkeypatch):
        monkeypatch.setattr("enrichment_service.warmup.FIRST_LOAD", 0.01)
        queries = FakeQueries()
        queries.slow = 60.0
        warmup, _ = warming(queries)
        async with contextlib.aclosing(warmup):
            await warmup.recover(MemoryBus())
        assert warmup._first.cancelled()
        assert len(asyncio.all_tasks()) == 1


class Away:
    """A bus whose history breaks off before the *at*-th message, once."""

    def __init__(self, bus, at):
        self._bus, self._left = bus, at

    async def history(self, subjects, *, since):
        async for one in self._bus.history(subjects, since=since):
            if self._left == 0:
                self._left = -1
                raise Unavailable("the broker is away")
            self._left -= 1
            yield one


class OnceFresh(Warmup):
    async def keep_fresh_once(self):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.keep_fresh(), 0.05)


def warming(queries, **more):
    known, readiness = memory(warm=False), Readiness("test")
    known.cutoff = None
    for dependency in ("clickhouse", INVENTORY):
        readiness.needs(dependency, required=False)
    return OnceFresh(queries, known, readiness, **more), known


class TestClocks:
    @pytest.mark.parametrize("by", [-HOUR, -30 * MINUTE, HOUR])
    async def test_counts_go_on_after_a_step(self, by):
        enricher = Enricher(memory(), POLICY.severity)
        for n in range(10):
            await enricher(received(anomaly(n, at=NOON + n * MINUTE, detected=NOON + n * MINUTE)))
        start = NOON + 10 * MINUTE + by
        told = []
        for n in range(10):
            at = start + n * MINUTE
            told += await enricher(received(anomaly(20 + n, at=at, detected=at)))
        assert told[-1].context.count_1h >= 9
        assert len(told[-1].context.similar_7d) == 5

    async def test_anomalies_of_2038_do_not_stay_the_newest_of_their_kind(self):
        enricher = Enricher(memory(), POLICY.severity)
        for n in range(8):
            await enricher(
                received(anomaly(n, at=IN_2038 + n * MINUTE, detected=IN_2038 + n * MINUTE))
            )
        for n in range(8):
            at = NOON + n * MINUTE
            [last] = await enricher(received(anomaly(20 + n, at=at, detected=at)))
        assert len(last.context.similar_7d) == 5
        assert all(one.ts < IN_2038 for one in last.context.similar_7d)

    async def test_an_old_log_that_is_read_in_has_its_own_context(self):
        enricher = Enricher(memory(), POLICY.severity)
        old = datetime(2005, 6, 1, tzinfo=UTC)
        for n in range(8):
            [last] = await enricher(received(anomaly(n, at=old + n * MINUTE, detected=NOON)))
        assert (last.context.count_1h, len(last.context.similar_7d)) == (7, 5)

    def test_the_last_incident_of_an_old_line_is_none_of_its_future(self):
        known, old = memory(), datetime(2005, 6, 1, tzinfo=UTC)
        known.set_incident("s1", ["sw-1"], ["kernel"], incident("of-today", NOON))
        known.set_incident("s1", [], ["kernel"], incident("of-then", old - HOUR))
        assert known.observe(anomaly(1, at=old, detected=NOON)).last_incident is None
        assert known.observe(anomaly(2)).last_incident.id == "of-today"

    def test_an_old_log_does_not_take_the_place_of_the_last_incident(self):
        known = memory()
        for id_, seen in (("of-today", NOON), ("of-then", NOON.replace(year=2005))):
            known.set_incident("s1", ["sw-1"], [], incident(id_, seen), now=NOON + HOUR)
        assert known.observe(anomaly(1)).last_incident.id == "of-today"

    def test_an_incident_of_2038_does_not_stay_the_last_one(self):
        known = memory()
        for id_, seen in (("wrong", IN_2038), ("right", NOON), ("newer", NOON + HOUR)):
            known.set_incident("s1", ["sw-1"], [], incident(id_, seen), now=NOON + HOUR)
        assert known.observe(anomaly(1)).last_incident.id == "newer"
        known.set_incident("s1", ["sw-1"], [], incident("late", IN_2038), now=NOON + HOUR)
        assert known.observe(anomaly(2)).last_incident.id == "newer"

    async def test_after_the_clock_was_set_back_anomalies_are_counted_and_it_is_said(self):
        now = [NOON]
        before = metrics.CLOCK_STEPS.labels("host")._value.get()
        warmup, known = warming(FakeQueries(), clock=lambda: now[0])
        await warmup.recover(MemoryBus())
        known.cutoff = NOON - MINUTE
        now[0] = NOON - HOUR
        await warmup.keep_fresh_once()
        enricher = Enricher(known, POLICY.severity)
        for n in range(5):
            [last] = await enricher(received(anomaly(n, at=now[0], detected=now[0] + MINUTE)))
        assert last.context.count_1h == 4
        assert metrics.CLOCK_STEPS.labels("host")._value.get() == before + 1


def incident(id_, seen):
    return LastIncident(id=id_, title="t", severity="low", status="open", last_seen=seen)


class TestStrangers:
    async def test_memory_is_bounded(self):
        """50,000 devices, services and anomaly types, with times spread over years."""
        known = memory()
        for n in range(50_000):
            at = NOON + timedelta(hours=n % 500)
            one = anomaly(n, at=at, detected=at).but(
                host=f"h{n}", service=f"s{n}", anomaly_type=f"t{n}", msg=f"{n}"
            )
            known.record(one)
            known.set_incident("s1", [f"h{n}"], [f"s{n}"], incident(f"i{n}", at))
        assert known.sizes() == {
            "devices": 0,
            "series": KEYS_KEPT,
            "fingerprints": FINGERPRINTS_KEPT,
            "incidents": INCIDENTS_KEPT,
            "seen": SEEN_KEPT,
        }

    def test_so_is_what_is_known_of_one_device(self):
        known = memory()
        for n in range(5_000):
            at = NOON + n * HOUR
            known.record(anomaly(n, at=at, detected=at))
        assert max(map(len, known._types._series.values())) == BLOCKS_KEPT

    def test_and_of_one_fingerprint(self):
        similar = SimilarAnomalies()
        for n in range(1000):
            similar.add("f", f"a{n}", anomaly(n))
        assert len(similar._kept["f"]) == 6
