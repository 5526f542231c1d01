"""Services without a broker: a fault of the simulator becomes enriched anomalies and ends with a
recovery."""

import asyncio

import pytest

from aiops_core.models import AnomalyCleared, EnrichedAnomaly
from aiops_lab.evaluation.correlation.pipeline import play
from aiops_lab.evaluation.correlation.scores import judge
from aiops_lab.simulator.scenario import named
from tests.correlation_cases import POLICY

pytestmark = pytest.mark.e2e


def test_faults_pass_through_the_real_services_and_are_told_apart(monkeypatch):
    monkeypatch.setenv("AIOPS_POLICIES", "policies")
    runs = [asyncio.run(play(named("two_at_once", rate=5))) for _ in range(2)]
    kinds = {type(message) for message in runs[0].messages}
    assert kinds == {EnrichedAnomaly, AnomalyCleared}
    assert runs[0].fault_of == runs[1].fault_of  # all is forgotten in between
    scores = judge(runs[0], POLICY).scores
    assert (scores.missed, scores.roots) == (0, 2)
    assert scores.f1 >= 0.9
