"""When an incident is explained anew."""

from __future__ import annotations

import pytest

from aiops_core.models import Recurrence, RootCause
from llm_enricher.answering.due import due, state_of
from llm_enricher.answering.policy import RenewalPolicy
from tests.incident_cases import created, evidence

POLICY = RenewalPolicy()
TWO = (evidence(0), evidence(1))
ROOT = RootCause(device="sw-0", service="switchd", anomaly=evidence(0).anomaly_id, confidence=0.7)
BEFORE = created(evidence=TWO, anomaly_count=5, root_cause=ROOT)


def why(before, after):
    return due(state_of(before, 0), state_of(after, 0), POLICY)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"title": "Another title", "revision": 9, "announce": False}, None),
        ({"root_cause": ROOT.but(device="wlc-1")}, "root"),
        ({"root_cause": ROOT.but(service="hostapd")}, "root"),
        ({"root_cause": None}, "root"),
        ({"root_cause": ROOT.but(confidence=0.9, reason="surer")}, None),
        ({"root_cause": ROOT.but(anomaly=evidence(1).anomaly_id)}, None),  # of the same type
        ({"root_cause": ROOT.but(anomaly="no longer kept")}, None),
        ({"category": "power"}, "type"),
        ({"domain": "comms"}, "type"),
        ({"evidence": (evidence(0, anomaly_type="dns_failure"), evidence(1))}, "type"),
        ({"severity": "critical"}, "severity"),
        ({"severity": "low"}, "severity"),
        ({"recurrence": Recurrence(problem_id="p", occurrence=2)}, "occurrence"),
        ({"affected_devices": ("a", "b", "c")}, None),
        ({"affected_devices": ("a", "b", "c", "d")}, "extent"),
        ({"affected_devices": ("a",)}, "extent"),
        ({"evidence": tuple(evidence(n) for n in range(4))}, "extent"),
        ({"anomaly_count": 49}, None),
        ({"anomaly_count": 50}, "extent"),
    ],
)
def test_it_is_due_anew_when_what_is_said_would_be_another(changes, reason):
    assert why(BEFORE, BEFORE.model_copy(update=changes)) == reason


def test_what_nothing_has_explained_is_due():
    assert due(None, state_of(BEFORE, 0), POLICY) == "first"


def test_a_storm_is_explained_anew_some_times_and_not_with_every_anomaly():
    explained, times = None, 0
    for n in range(1, 1001):
        incident = created(anomaly_count=n, affected_devices=tuple(f"d{k}" for k in range(n)))
        now = state_of(incident, 0)
        if due(explained, now, POLICY):
            explained, times = now, times + 1
    assert times == 10
