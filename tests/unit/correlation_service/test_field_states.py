"""What real devices say of states, from the raw line to the end of its incident."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

import pytest

from aiops_core.models import AnomalyDetected, EnrichedAnomaly, Incident, IncidentCleared
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.samples import NOW, entry_of
from correlation_service.correlator import Correlator
from tests.conftest import ROOT
from tests.correlation_cases import POLICY

IOS = "<189>Nov 30 11:56:{s} sw-acc-09 10{s}: Nov 30 11:56:{s}.123: "
LINK, PROTOCOL = IOS + "%LINK-3-UPDOWN: Interface ", IOS + "%LINEPROTO-5-UPDOWN: Line protocol on "
MD = "<4>Nov 30 11:56:10 nas-s1 kernel: [864400.111] md/raid1:md0: "
TRAP = (
    "<28>Nov 30 11:56:{s} ex-r1 mib2d[1784]: SNMP_TRAP_LINK_{trap}: ifIndex 526, "
    "ifAdminStatus up(1), ifOperStatus {status}, ifName ge-0/0/17"
)

LASTING = {
    "another port": (
        LINK.format(s="10") + "GigabitEthernet1/0/24, changed state to down",
        PROTOCOL.format(s="11") + "Interface GigabitEthernet1/0/24, changed state to down",
        LINK.format(s="40") + "GigabitEthernet1/0/3, changed state to up",
        PROTOCOL.format(s="41") + "Interface GigabitEthernet1/0/3, changed state to up",
    ),
    "battery": ("<29>Nov 30 11:56:10 srv-s1 upsmon[4509]: UPS rack2@localhost on battery",),
    "disk of an array": (MD + "Disk failure on sdb1, disabling device.",),
}
OVER = {
    "battery": (
        "<29>Nov 30 11:56:10 srv-r2 upsmon[4509]: UPS rack2@localhost on battery",
        "<29>Nov 30 11:56:50 srv-r2 upsmon[4509]: UPS rack2@localhost on line power",
    ),
    "the same port": (
        LINK.format(s="10") + "GigabitEthernet1/0/24, changed state to down",
        LINK.format(s="40") + "GigabitEthernet1/0/24, changed state to up",
    ),
    "Junos": (
        TRAP.format(s="10", trap="DOWN", status="down(2)"),
        TRAP.format(s="50", trap="UP", status="up(1)"),
    ),
}


@lru_cache
def policy() -> DetectPolicy:
    return DetectPolicy.load(ROOT / "policies")


def told(lines):
    """The facts about *lines*, and the correlator that has read them."""
    detection, correlator, facts = Detection(policy()), Correlator(POLICY), []
    for line in lines:
        for found in detection.on_line(entry_of(line)):
            if isinstance(found, AnomalyDetected):
                found = found.derive(
                    EnrichedAnomaly, **{n: getattr(found, n) for n in AnomalyDetected.model_fields}
                )
            facts += correlator.handle(found)
    return facts, correlator


@pytest.mark.parametrize("case", LASTING)
def test_a_state_that_is_not_taken_back_is_open(case):
    facts, correlator = told(LASTING[case])
    facts += correlator.expire(NOW + timedelta(days=30))
    assert sum(type(fact) is Incident for fact in facts) == 1
    assert not any(isinstance(fact, IncidentCleared) for fact in facts)
    [incident] = correlator.state.open.incidents.values()
    assert incident.lasts and incident.quiet_since


@pytest.mark.parametrize("case", OVER)
def test_a_state_that_is_taken_back_is_over(case):
    facts, correlator = told(OVER[case])
    [end] = correlator.expire(NOW + timedelta(hours=1))
    assert sum(type(fact) is Incident for fact in facts) == 1
    assert (end.resolve_reason, end.confidence) == ("recovered", 1.0)
