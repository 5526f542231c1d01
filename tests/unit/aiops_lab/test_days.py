"""The simulated day from which dependencies are learned."""

from __future__ import annotations

from datetime import UTC, datetime

from aiops_core.inventory.suggestions import EdgeFinding, EdgeKey, Suggestion, Suggestions
from aiops_core.models import AnomalyContext
from aiops_lab.evaluation.correlation import days, strangers
from aiops_lab.evaluation.correlation.days import Lesson
from aiops_lab.simulator.traffic import DAY

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_seed_gives_one_day_of_different_faults_on_different_devices() -> None:
    first, again, other = days.day(1), days.day(1), days.day(2)
    assert first.injections == again.injections != other.injections
    assert len(first.episodes) == days.FAULTS_A_DAY
    assert len({episode.fault for episode in first.episodes}) >= 7
    assert len({episode.root_device for episode in first.episodes}) >= 12
    assert all(0 < episode.start < DAY for episode in first.episodes)


def test_a_lesson_counts_its_false_edges_by_confidence() -> None:
    def edge(device: str, confidence: float) -> Suggestion:
        finding = EdgeFinding(kind="time", confidence=confidence, first_seen=NOON, last_seen=NOON)
        return Suggestion(device=device, upstream="sw", findings=(finding,))

    taught = Lesson(
        Suggestions([edge("a", 0.9), edge("b", 0.8), edge("c", 0.6)]),
        frozenset({EdgeKey("b", "sw"), EdgeKey("c", "sw")}),
    )
    assert [taught.edges(least) for least in (0.5, 0.8, 0.85)] == [(3, 2), (2, 1), (1, 0)]


def test_a_ship_without_inventory_tells_nothing_of_its_devices() -> None:
    run = days.untyped(strangers.run(1))
    assert len(run.inventory) == 0
    assert {anomaly.context for anomaly in run.anomalies} == {AnomalyContext()}
    assert run.fault_of.keys() == {anomaly.anomaly_id for anomaly in run.anomalies}
