"""Ground truth and the incidents that came of it -> which faults were found."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from aiops_lab.demo.score import judge, summary, telling_ids
from aiops_lab.simulator.scenario import Injection, Scenario
from aiops_lab.simulator.truth import TruthRole
from aiops_lab.simulator.voyage import Voyage

SCENARIO = Scenario(30.0, (Injection("disk_full", 2.0, duration=10.0),), rate=5.0)
RUN = Voyage(datetime(2026, 1, 1, tzinfo=UTC), "ship-1", "run")
[EPISODE] = SCENARIO.episodes
IDS = telling_ids(SCENARIO, RUN)

RIGHT = {"id": "i1", "root_cause": {"device": EPISODE.root_device}}
WRONG = {"id": "i2", "root_cause": {"device": "somewhere-else"}}


def test_only_causes_and_symptoms_must_become_incidents() -> None:
    telling = {
        RUN.tracking_id(event)
        for event in SCENARIO
        if event.truth and event.truth.role in (TruthRole.CAUSE, TruthRole.SYMPTOM)
    }
    assert telling
    assert set(IDS[EPISODE.id]) == telling


def test_a_fault_without_incident_is_missed_and_said() -> None:
    verdicts = judge(SCENARIO.episodes, IDS, {})
    assert [verdict.hit for verdict in verdicts] == [False]
    assert summary(verdicts).startswith("0 of 1")


def test_one_line_in_an_incident_is_a_hit() -> None:
    first = IDS[EPISODE.id][0]
    [verdict] = judge(SCENARIO.episodes, IDS, {first: RIGHT})
    assert (verdict.hit, verdict.root_found, verdict.covered) == (True, True, 1)


def test_the_incident_with_most_of_its_lines_is_the_main_one() -> None:
    first, second, third, *_ = IDS[EPISODE.id]
    [verdict] = judge(SCENARIO.episodes, IDS, {first: RIGHT, second: WRONG, third: WRONG})
    assert [found["id"] for found in verdict.incidents] == ["i2", "i1"]
    assert not verdict.root_found


def test_incidents_of_other_lines_do_not_count() -> None:
    [verdict] = judge(SCENARIO.episodes, IDS, {"a-normal-line": RIGHT})
    assert not verdict.hit


def test_an_episode_that_left_no_lines_is_missed() -> None:
    silent = replace(EPISODE, id="silent")
    assert [v.hit for v in judge([silent], IDS, {})] == [False]


@given(st.sets(st.integers(0, 200)))
def test_coverage_counts_each_line_once(chosen: set[int]) -> None:
    ids = IDS[EPISODE.id]
    inside = {ids[n] for n in chosen if n < len(ids)}
    [verdict] = judge(SCENARIO.episodes, IDS, dict.fromkeys(inside, RIGHT))
    assert (verdict.covered, verdict.of) == (len(inside), len(ids))
