"""What a bench sends, measures and shows."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from aiops_core.adapters.nats_streams import stream_of
from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Incident, LogEntry
from aiops_lab.bench.bench import AnomalyBench, FleetResult, LineBench, StormBench
from aiops_lab.bench.ledger import doubled, lost
from aiops_lab.bench.load import EVERY, KINDS, MAD, OTHERS, AnomalyLoad, Load, StormLoad, graph
from aiops_lab.bench.measure import END_TO_END, LatencySummary, Usage, by_stage
from aiops_lab.bench.relay import HOPS, RelayResult
from aiops_lab.bench.report import report

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATENCY = LatencySummary.of([1.0, 2.0, 3.0, 40.0])
LIMIT = RelayResult(LatencySummary.of([0.5, 1.0]), 2000.0)
USAGE = {"nats": Usage(0.25, 40.0), "incident-api": Usage(0.5, 90.0)}
RESULT = FleetResult(
    stages={"enrich": LATENCY, "correlate": LatencySummary.of([60.0]), END_TO_END: LATENCY},
    accepted_per_second=1000.0,
    handled_per_second=500.0,
    written_after=0.8,
    lines=20_000,
    anomalous=2_000,
    lost=1,
    doubled=2,
    usage=USAGE,
)
BALANCE = {"detected": 3000, "in_flight": 0}


def shown(result: LineBench | AnomalyBench | StormBench) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        for part in report(result):
            console.print(part)
    return capture.get()


def test_every_hop_of_the_relay_lies_in_the_stream_in_which_that_of_the_fleet_does():
    fleet = (LogEntry, AnomalyDetected, EnrichedAnomaly, Incident)
    assert [stream_of(hop) for hop in HOPS] == [stream_of(kind.subject) for kind in fleet]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_the_asked_share_of_lines_is_anomalous(share):
    load = Load(1000, None, share)
    assert sum(load.is_anomalous(n) for n in range(load.total)) == round(share * load.total)


def test_anomalies_are_on_devices_of_their_graph_and_of_all_types():
    load = AnomalyLoad(500, None)
    found = [load.message(n, NOW) for n in range(load.total)]
    assert {one.device_id for one in found} <= {d.id for d in graph(load.devices).devices}
    assert len({one.anomaly_type for one in found}) == len(KINDS)


def test_a_storm_is_one_type_on_one_device_and_five_faults_beside_it():
    load = StormLoad(OTHERS * EVERY, None)
    found = [load.message(n, NOW) for n in range(load.total)]
    mad = {one.anomaly_type for one in found if one.device_id == MAD}
    others = {(one.device_id, one.anomaly_type) for one in found if one.device_id != MAD}
    assert len(mad) == 1
    assert len(others) == len({device for device, _ in others}) == OTHERS


def test_percentiles_are_nearest_ranks():
    hundred = LatencySummary.of(float(n) for n in range(1, 101))
    assert asdict(hundred) == {"count": 100, "p50": 50, "p95": 95, "p99": 99, "worst": 100}
    assert math.isnan(LatencySummary.of([]).p99)


def test_latencies_go_from_each_stage_to_the_next():
    times = [[NOW + timedelta(milliseconds=ms) for ms in (0, 5, 25)]]
    stages = by_stage(times, ["ingest", "detect", "store"])
    assert {name: found.p50 for name, found in stages.items()} == {
        "detect": 5.0,
        "store": 20.0,
        END_TO_END: 25.0,
    }


def test_an_anomaly_is_lost_in_no_incident_and_doubled_in_two():
    places = {"a": ["i1"], "b": ["i1", "i2"], "c": []}
    assert lost(places, ["a", "b", "c", "d"]) == ["c", "d"]
    assert doubled(places, ["a", "b", "c", "d"]) == ["b"]


def test_lines_are_shown_with_the_ratio_to_the_relay():
    picture = shown(LineBench(1000, 20, RESULT, LIMIT, RESULT, LIMIT))
    for words in (
        "1000 lines/s for 20 s",
        "20000 lines as fast as accepted",
        "raw relay",
        "4.0x",
        "handled 500/s (raw relay 2,000, ratio 0.25)",
        "2,000 anomalous 1 lost, 2 doubled",
    ):
        assert words in picture


def test_anomalies_are_held_against_the_promised_stages_and_the_ledger():
    picture = shown(AnomalyBench(100, 20, RESULT, LIMIT, BALANCE))
    assert "enrich p99 40.0 ms of 30 ms (1.33): broken" in picture
    assert "correlate p99 60.0 ms of 50 ms (1.20): broken" in picture
    assert "ledger: 3,000 detected, 0 in flight" in picture


def test_a_storm_tells_who_was_hidden():
    picture = shown(StormBench(3000, 2.0, 6.0, 1, OTHERS, 4, BALANCE, USAGE))
    assert "the storm is 1 incident(s); 4 of 5 other faults have one of their own" in picture
    assert "ledger: 3,000 detected" in picture
