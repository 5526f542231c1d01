"""Enrichment's pure parts: counts, memory, severity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.errors import Misconfigured
from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyContext,
    AnomalyDetected,
    Device,
    EnrichedAnomaly,
    LastIncident,
    MaintenanceNote,
    Severity,
    SimilarAnomaly,
)
from aiops_core.suppression.ship import MaintenanceWindow, ModeChange, ModeLog, Ship
from aiops_core.utils import compute_fingerprint
from enrichment_service.context import LOOKUPS, Memory
from enrichment_service.handler import Enricher
from enrichment_service.past import BLOCKS_KEPT, DAY, MinuteCounts
from enrichment_service.policy import EnrichPolicy
from enrichment_service.severity import JudgedSeverity, judge

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CUTOFF = NOON - timedelta(hours=2)
POLICY = EnrichPolicy.load(Path(__file__).parents[3] / "policies")
from tests.runtime_cases import received


def anomaly(n: int = 0, *, at: datetime = NOON, detected: datetime = NOON, **fields):
    base = {
        "tracking_id": f"t{n}",
        "ship_id": "s1",
        "ts": at,
        "stages": {"detect": detected},
        "domain": "net",
        "anomaly_type": "link_down",
        "service": "kernel",
        "host": "sw-1",
        "detector": "pattern",
        "score": 0.8,
        "severity": "medium",
        "msg": "eth0 down",
    }
    return AnomalyDetected.model_validate(base | fields)


def memory(*devices: Device, warm: bool = True) -> Memory:
    kept = Memory(POLICY.health)
    kept.cutoff = CUTOFF
    kept.set_devices(Inventory(devices))
    for lookup in LOOKUPS:
        (kept.found if warm else kept.lost)(lookup)
    return kept


class TestCounts:
    def test_an_event_is_in_every_window_that_reaches_back_to_its_minute(self):
        counts = MinuteCounts()
        counts.add(("k",), 1000)
        assert [counts.within(("k",), 1059, 60), counts.within(("k",), 1060, 60)] == [1, 0]

    def test_a_late_event_lands_in_its_own_minute(self):
        counts = MinuteCounts()
        counts.add(("k",), 5000)
        counts.add(("k",), 4000, 3)
        assert counts.within(("k",), 4000, 60) == 3
        assert counts.within(("k",), 5000, 60) == 1
        assert counts.within(("k",), 5000, DAY) == 4

    def test_a_wrong_clock_forgets_nothing_of_the_day(self):
        counts = MinuteCounts()
        counts.add(("k",), 1000)
        counts.add(("k",), 10_000_000)
        assert counts.within(("k",), 1000, 60) == 1

    def test_memory_is_bounded_in_hours_and_in_keys(self):
        counts = MinuteCounts(keys_kept=2)
        for hour in range(BLOCKS_KEPT + 10):
            counts.add(("a",), hour * 60)
        assert counts.within(("a",), 10_000, 10_001) == BLOCKS_KEPT
        counts.add(("b",), 1)
        counts.add(("c",), 1)
        assert list(counts) == [("b",), ("c",)]

    @given(
        st.lists(st.integers(10_000, 10_000 + DAY), max_size=40),
        st.integers(10_000, 10_000 + 2 * DAY),
        st.integers(1, DAY),
    )
    def test_a_window_counts_what_lies_in_it(self, minutes, until, width):
        counts = MinuteCounts()
        for minute in minutes:
            counts.add(("k",), minute)
        assert counts.within(("k",), until, width) == sum(
            until - width < m <= until for m in minutes
        )


class TestMemory:
    def test_counts_are_of_the_others(self):
        kept = memory()
        contexts = [kept.observe(anomaly(n)) for n in range(3)]
        assert [c.count_1h for c in contexts] == [0, 1, 2]
        assert [len(c.similar_7d) for c in contexts] == [0, 1, 2]

    def test_a_redelivered_anomaly_counts_once(self):
        kept = memory()
        kept.observe(anomaly(1))
        again = kept.observe(anomaly(1))
        assert (again.count_1h, again.similar_7d) == (0, ())
        assert kept.observe(anomaly(2)).count_1h == 1

    def test_other_devices_types_and_ships_count_for_themselves(self):
        kept = memory()
        for n, other in enumerate([{"host": "x"}, {"anomaly_type": "x"}, {"ship_id": "x"}]):
            kept.observe(anomaly(n, **other))
        assert kept.observe(anomaly(9)).count_24h == 0

    def test_hours_are_told_from_days(self):
        kept = memory()
        kept.observe(anomaly(1, at=NOON - timedelta(hours=3)))
        kept.observe(anomaly(2, at=NOON - timedelta(hours=25)))
        context = kept.observe(anomaly(3))
        assert (context.count_1h, context.count_24h) == (0, 1)

    def test_store_and_stream_share_the_history_at_the_cutoff(self):
        """Store and stream have all anomalies: each counts once, in any order."""
        old = anomaly(1, detected=CUTOFF - timedelta(seconds=1))
        new = anomaly(2, detected=CUTOFF)
        kept = memory()
        kept.record(old)
        kept.record(new)
        kept.add_counts("s1", "sw-1", "link_down", "kernel", int(NOON.timestamp()) // 60, 1)  # old
        assert kept.observe(anomaly(3)).count_1h == 2
        assert kept.observe(old).count_1h == 2  # redelivered: itself is in the store's count

    def test_before_the_store_answers_the_context_is_partial_and_says_of_what(self):
        kept = memory(warm=False)
        kept.found("devices")
        context = kept.observe(anomaly())
        assert context.partial
        assert context.failed == ("ship", "history", "similar", "incidents")
        assert context.service_health == "unknown"

    def test_when_all_has_been_found_the_context_is_whole(self):
        assert not memory().observe(anomaly()).partial

    def test_a_lookup_that_is_lost_again_is_named_again(self):
        kept = memory()
        kept.lost("incidents")
        kept.lost("incidents")
        assert kept.observe(anomaly()).failed == ("incidents",)

    def test_health_of_a_service_falls_with_its_anomalies(self):
        kept = memory()
        seen = [kept.observe(anomaly(n)).service_health for n in range(POLICY.health.failing)]
        assert seen[0] == "healthy"
        assert seen[POLICY.health.degraded - 1] == "degraded"
        assert seen[-1] == "failing"
        later = anomaly(99, at=NOON + timedelta(minutes=POLICY.health.window_minutes + 1))
        assert kept.observe(later).service_health == "healthy"

    def test_similar_are_the_newest_five_of_seven_days(self):
        kept = memory()
        kept.observe(anomaly(0, at=NOON - timedelta(days=8)))
        for n in range(1, 8):
            kept.observe(anomaly(n, at=NOON - timedelta(hours=n)))
        similar = kept.observe(anomaly(9)).similar_7d
        assert [s.ts for s in similar] == [NOON - timedelta(hours=n) for n in range(1, 6)]

    def test_the_incident_of_an_earlier_anomaly_is_told_later(self):
        kept, first = memory(), anomaly(1)
        kept.observe(first)
        kept.similar.set_membership(compute_fingerprint(first), first.anomaly_id, "inc-1")
        assert kept.observe(anomaly(2)).similar_7d[0].incident_id == "inc-1"

    def test_what_the_store_brings_twice_is_similar_once(self):
        kept, first = memory(), anomaly(1)
        stored = SimilarAnomaly(anomaly_id=first.anomaly_id, ts=NOON, severity="low", msg="m")
        kept.observe(first)
        kept.similar.put(compute_fingerprint(first), stored)
        assert len(kept.observe(anomaly(2)).similar_7d) == 1

    def test_the_devices_last_incident_goes_before_the_services(self):
        kept = memory()
        mine, its = incident("mine", NOON - timedelta(days=1)), incident("its", NOON)
        kept.set_incident("s1", [], ["kernel"], its)
        assert kept.observe(anomaly(1)).last_incident == its
        kept.set_incident("s1", ["sw-1"], [], mine)
        kept.set_incident("s1", ["sw-1"], [], incident("older", NOON - timedelta(days=2)))
        assert kept.observe(anomaly(2)).last_incident == mine

    def test_a_device_known_by_its_address_is_located_and_keeps_what_was_counted(self):
        kept = memory()
        kept.observe(anomaly(1, host="10.0.0.1"))
        kept.set_devices(
            Inventory([Device(id="core", labels={"ip": "10.0.0.1"}, upstream=("up",))])
        )
        located = kept.locate(anomaly(2, host="10.0.0.1"))
        assert located.device_id == "core"
        assert kept.observe(located).count_1h == 1

    def test_the_upstream_devices_come_nearest_first_and_eight_are_enough(self):
        chain = [Device(id=f"d{n}", upstream=(f"d{n + 1}",)) for n in range(20)]
        chain[0] = Device(id="d0", upstream=("d15", "d1", "gone"))
        context = memory(*chain).observe(anomaly(device_id="d0"))
        assert [d.id for d in context.upstream] == [f"d{n}" for n in (15, 1, 16, 2, 17, 3, 18, 4)]

    def test_mode_and_maintenance_are_those_of_the_anomalys_own_time(self):
        kept, hour = (
            memory(Device(id="core"), Device(id="sw-1", upstream=("core",))),
            timedelta(hours=1),
        )
        window = MaintenanceWindow(
            id="m-1", devices=("core",), dependants=True, start=NOON, end=NOON + hour,
            owner="eto", reason="firmware",
        )  # fmt: skip
        at_sea, port = (ModeChange(mode=m, since=NOON + n * hour) for n, m in SAILED)
        kept.set_ship(Ship(mode=ModeLog(changes=(at_sea, port)), maintenance=(window,)))
        seen = [kept.observe(anomaly(n, at=NOON + n * hour)) for n in (-3, 0, 1, -1)]
        assert [c.ship_mode for c in seen] == [None, "port", "port", "at_sea"]
        assert [c.maintenance and c.maintenance.id for c in seen] == [None, "m-1", None, None]
        assert seen[1].maintenance == MaintenanceNote(
            id="m-1", owner="eto", reason="firmware", end=NOON + hour
        )


SAILED = ((-2, "at_sea"), (0, "port"))


def incident(id: str, last_seen: datetime) -> LastIncident:
    return LastIncident(id=id, title=id, severity="low", status="open", last_seen=last_seen)


UNSAID = Ship()


def verdict(
    n_hour: int = 0, n_before: int = 0, *devices: Device, warm=True, ship=UNSAID, **fields
) -> JudgedSeverity:
    """The judgement on an anomaly after *n_before* old ones and *n_hour* within the last hour."""
    kept = memory(*devices, warm=warm)
    kept.ship = ship
    minute = int(NOON.timestamp()) // 60
    kept.add_counts("s1", "sw-1", "link_down", "kernel", minute - 600, n_before)
    kept.add_counts("s1", "sw-1", "link_down", "kernel", minute, n_hour)
    judged = kept.locate(anomaly(**fields))
    return judge(judged, kept.observe(judged), POLICY.severity)


def ship_in(mode: str) -> Ship:
    return Ship(mode=ModeLog(changes=(ModeChange(mode=mode, since=NOON - timedelta(days=1)),)))


class TestSeverity:
    def test_the_first_of_its_kind_keeps_the_detectors_severity(self):
        said = verdict()
        assert (said.severity, said.tags) == ("medium", ("new", "unknown-device"))
        assert said.reason == "pattern says medium; first of its kind in 7 days"

    def test_a_critical_device_raises_and_is_tagged(self):
        said = verdict(0, 0, Device(id="sw-1", criticality=Severity.CRITICAL))
        assert said.severity == "high"
        assert "critical-device" in said.tags
        assert said.reason.startswith(
            "pattern says medium, raised to high; device sw-1 has critical criticality"
        )

    def test_an_unimportant_device_lowers(self):
        assert verdict(0, 0, Device(id="sw-1", criticality=Severity.LOW)).severity == "low"

    def test_a_doubtful_score_lowers(self):
        assert verdict(score=0.1).severity == "low"

    def test_known_noise_loses_a_step(self):
        said = verdict(10, 400)
        assert (said.severity, said.tags) == ("low", ("recurring", "noise", "unknown-device"))
        assert "known noise: 410 in 24 h" in said.reason

    def test_what_is_severe_is_not_called_noise_away(self):
        assert verdict(10, 400, severity="high").severity == "high"

    def test_an_attack_is_never_talked_down(self):
        assert verdict(10, 400, domain="security", score=0.1).severity == "medium"

    def test_a_rise_gains_a_step_but_not_beyond_its_ceiling(self):
        said = verdict(40, 20)
        assert (said.severity, "rising" in said.tags) == ("high", True)
        assert "rising: 40 in the last hour, usually 0.9" in said.reason
        assert verdict(40, 20, severity="high").severity == "high"

    def test_all_together_move_one_step(self):
        assert (
            verdict(40, 0, Device(id="sw-1", criticality="critical"), severity="low").severity
            == "medium"
        )

    @pytest.mark.parametrize(
        ("mode", "severity"), [("port", "low"), ("dry_dock", "low"), ("at_sea", "medium")]
    )
    def test_guest_wifi_matters_less_in_port(self, mode, severity):
        said = verdict(0, 0, Device(id="ap-d05-01"), ship=ship_in(mode), host="ap-d05-01")
        assert said.severity == severity
        assert ("guest Wi-Fi can wait" in said.reason) == (mode != "at_sea")

    @pytest.mark.parametrize(
        ("kind", "domain", "mode", "severity"),
        [
            ("antenna", "comms", "port", "low"),
            ("antenna", "comms", "anchor", "medium"),
            ("generator", "system", "dry_dock", "low"),
            ("generator", "system", "port", "medium"),
            ("app", "app", "blackout_recovery", "low"),
            ("ups", "system", "blackout_recovery", "medium"),
        ],
    )
    def test_a_rule_applies_when_all_that_it_names_matches(self, kind, domain, mode, severity):
        device = Device(id="sw-1", type=kind)
        assert verdict(0, 0, device, ship=ship_in(mode), domain=domain).severity == severity

    def test_what_falls_into_maintenance_is_tagged_and_lowered_with_the_reason(self):
        window = MaintenanceWindow(
            id="m-1", devices=("SW-*",), start=NOON, end=NOON + timedelta(hours=1), owner="eto",
            reason="new firmware",
        )  # fmt: skip
        said = verdict(ship=Ship(maintenance=(window,)))
        assert (said.severity, "maintenance" in said.tags) == ("low", True)
        assert "maintenance until 13:00 UTC by eto: new firmware" in said.reason
        attack = verdict(ship=Ship(maintenance=(window,)), domain="security")
        assert (attack.severity, "maintenance" in attack.tags) == ("medium", True)

    def test_without_history_nothing_is_new_noise_or_rising(self):
        said = verdict(40, 400, warm=False)
        assert said.severity == "medium"
        assert said.tags == ("recurring",)
        assert "not known yet" in said.reason


async def test_an_anomaly_becomes_the_same_anomaly_enriched():
    found = anomaly(1, host="core", meta={"peer": "10.0.0.9"})
    enricher = Enricher(memory(Device(id="sw-1", labels={"hostname": "core"})), POLICY.severity)
    [enriched] = await enricher(received(found))
    assert enriched.anomaly_id == found.anomaly_id
    assert enriched.context.device.id == enriched.device_id == "sw-1"
    same = set(AnomalyDetected.model_fields) - {"device_id"}
    assert {f: getattr(enriched, f) for f in same} == {f: getattr(found, f) for f in same}


async def test_what_is_made_without_validation_is_valid_and_whole():
    enricher = Enricher(memory(Device(id="sw-1", upstream=("core",))), POLICY.severity)
    [first] = await enricher(received(anomaly(1)))
    [second] = await enricher(received(anomaly(2)))
    for enriched in (first, second):
        assert EnrichedAnomaly.model_validate_json(enriched.model_dump_json()) == enriched
        assert enriched.model_fields_set == set(EnrichedAnomaly.model_fields)
    assert list(vars(second)) == list(EnrichedAnomaly.model_fields)
    assert list(vars(second.context)) == list(AnomalyContext.model_fields)
    [similar] = second.context.similar_7d
    assert list(vars(similar)) == list(SimilarAnomaly.model_fields)


def test_thresholds_of_health_in_the_wrong_order_are_refused(tmp_path):
    text = (Path(__file__).parents[3] / "policies" / "enrich.yaml").read_text()
    (tmp_path / "enrich.yaml").write_text(text.replace("failing: 20", "failing: 2"))
    with pytest.raises(Misconfigured, match=r"enrich.yaml:\d+: health: .*greater than degraded"):
        EnrichPolicy.load(tmp_path)
