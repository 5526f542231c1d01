"""Good news in lines -> what is over."""

import pytest

from aiops_core.models import AnomalyCleared, AnomalyDetected
from aiops_lab.simulator.faults import FAULTS
from aiops_lab.simulator.templates import NORMAL
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.line_rules import RecoveryDetector
from anomaly_detection.detectors.table import RuleTable
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Recovery
from tests.conftest import ROOT, line

POLICY = DetectPolicy.load(ROOT / "policies")
DETECTOR = RecoveryDetector(RuleTable(POLICY.line_rules))


def ended(msg, **fields):
    return [kind for end in DETECTOR.observe(line(msg, **fields)) for kind in end.anomaly_types]


@pytest.mark.parametrize(
    ("msg", "kind"),
    [
        ("%LINK-3-UPDOWN: Interface Gi1/0/3, changed state to up", "link_down"),
        ("eth0: NIC Link is Up 1000 Mbps Full Duplex", "link_down"),
        ("BGP: neighbor 10.0.0.1 Up", "link_down"),
        ("GNSS receiver: fix regained, 9 satellites", "position_loss"),
        ("Mains power restored, charging", "power_event"),
        ("Started nginx - high performance web server.", "service_down"),
        ("Filesystem /var back to 71 %", "disk_full"),
        ("System clock synchronized", "time_drift"),
        ("controller reachable again", "device_unreachable"),
    ],
)
def test_good_news_name_what_is_over(msg, kind):
    assert kind in ended(msg)


@pytest.mark.parametrize(
    "msg",
    [
        "changed state to down",
        "Started too late to reach the link",
        "could not reach 10.0.0.1 again",
        "restore of backup 3 began",
        "user logged in",
    ],
)
def test_other_lines_end_no_link_trouble(msg):
    assert "link_down" not in ended(msg)


def test_what_an_error_says_is_no_good_news():
    assert ended("changed state to up", level="error") == []


async def test_a_recovery_leaves_detection_as_a_message_about_the_device():
    [told] = Detection(POLICY).on_line(line("Uplink 1, changed state to up", n=7))
    assert isinstance(told, AnomalyCleared)
    assert (told.device, told.service, told.detector) == ("srv-1", "unknown", "recovery")
    assert told.reason == "At 12:00:07 UTC app on srv-1 reported that the link is up (interface 1)."


def test_of_the_same_service_only_where_the_rule_says_so():
    rule = {"id": "r", "regex": "fine", "clears": ["x"], "says": "it", "same_service": True}
    [end] = RecoveryDetector(RuleTable([Recovery.model_validate(rule)])).observe(line("fine"))
    assert end.source.service == "app"


def test_a_peer_that_is_named_restricts_it():
    [end] = DETECTOR.observe(line("[sshd] Ban 198.51.100.7", service="fail2ban"))
    assert end.peer == "198.51.100.7"


def recovering():
    effects = (e for f in FAULTS.values() for e in (f.root, *f.downstream.values()))
    return {line_.text for effect in effects for line_ in effect.recovery}


def test_most_of_what_the_simulator_s_devices_say_after_a_fault_is_understood():
    texts = recovering()
    understood = {text for text in texts if ended(text)}
    assert len(understood) >= 0.85 * len(texts), sorted(texts - understood)


def test_a_normal_day_is_not_full_of_good_news():
    texts = [t.text for templates in NORMAL.values() for t in templates]
    heard = [text for text in texts if ended(text)]
    assert len(heard) <= 0.1 * len(texts), heard


async def test_a_line_that_is_wrong_is_not_taken_for_good_news():
    told = Detection(POLICY).on_line(line("Kernel panic - not syncing", level="critical"))
    assert [type(message) for message in told] == [AnomalyDetected]
