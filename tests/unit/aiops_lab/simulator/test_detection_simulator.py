"""The simulated ship: every fault is found soon, a normal day is quiet."""

from datetime import UTC, datetime

import pytest

from aiops_core.models import AnomalyDetected, AnomalyDigested
from aiops_lab.simulator.faults import FAULTS
from aiops_lab.simulator.readings import LIMITS
from aiops_lab.simulator.scenario import named
from aiops_lab.simulator.truth import TruthRole
from aiops_lab.simulator.voyage import Voyage
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy
from tests.conftest import ROOT

POLICY = DetectPolicy.load(ROOT / "policies")
FOUND = AnomalyDetected | AnomalyDigested
START = datetime(2026, 6, 1, 10, tzinfo=UTC)


async def watched(scenario):
    """Every event of the scenario with what was found in it, also what is digested."""
    detection, run = Detection(POLICY), Voyage(START)
    for event in scenario:
        message = run.message(event)
        told = detection.observe(message)
        yield event, [one for one in told if isinstance(one, FOUND)]


async def test_a_normal_day_is_quiet():
    alarms = [a async for _, found in watched(named("quiet", duration=1800)) for a in found]
    assert [(a.device, a.msg) for a in alarms] == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found_on_its_own_device_within_ten_seconds(fault):
    scenario = named(fault, rate=10)
    (episode,) = scenario.episodes
    async for event, found in watched(scenario):
        opened = any(isinstance(one, AnomalyDetected) for one in found)
        if opened and event.device.id == episode.root_device:
            assert event.offset - episode.start < 10
            return
    pytest.fail(f"{fault} was not found")


async def test_every_line_that_a_fault_makes_is_found_and_none_of_recovery():
    async for event, found in watched(named("overlap")):
        if hasattr(event.body, "text") and event.truth:
            expected = event.truth.role in (TruthRole.CAUSE, TruthRole.SYMPTOM)
            assert event.truth.role is TruthRole.NOISE or bool(found) == expected, event.body.text


def test_the_limits_of_the_policy_are_those_of_the_ship():
    ours = {t.metric: (t.above if t.above is not None else t.below) for t in POLICY.thresholds}
    assert {name: ours[name] for name in LIMITS} == {n: limit.value for n, limit in LIMITS.items()}
