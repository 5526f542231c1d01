"""A program that was reported as dead and writes ordinary lines again."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_core.models import AnomalyCleared
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.speaking import PROGRAMS_KEPT, SpeakingDetector
from anomaly_detection.detectors.table import RuleTable
from anomaly_detection.packs import Packs
from anomaly_detection.policy import DetectPolicy
from tests.conftest import ROOT, line

WHOLE = DetectPolicy.load(ROOT / "policies")
FEW = ("systemd", "generic-programs", "linux-kernel")
POLICY = WHOLE.using(Packs.of([one for one in WHOLE.packs.loaded if one.pack.id in FEW]))
TABLE = RuleTable(POLICY.line_rules)
DEAD = "ecdis-gw.service: Failed with result 'signal'."
STARTED = "Started ecdis-gw.service - ECDIS gateway."


def died(at=0, msg=DEAD, **fields):
    return line(msg, n=at, service="systemd", level="warning", **fields)


def wrote(at, msg="chart 7 of 12 sent to bridge", service="ecdis-gw", **fields):
    return line(msg, n=at, service=service, **fields)


def detector(kept=10):
    return SpeakingDetector(TABLE, kept)


def told(entries, one=None):
    one = one or detector()
    return [finding for entry in entries for finding in one.observe(entry)]


NORMAL = [wrote(at) for at in (10, 40, 80)]


def test_three_ordinary_lines_over_a_minute_are_evidence_that_it_runs():
    (end,) = told([died(), *NORMAL, wrote(90), wrote(200)])
    assert end.anomaly_types == ("service_down",) and end.confidence == 0.6
    assert (end.source.service, end.component) == ("ecdis-gw", "unit ecdis-gw")
    assert end.reason == (
        "ecdis-gw on srv-1 writes normally again since 12:00:10 UTC: "
        "3 ordinary lines in 1 min 10 s; nobody said that it runs."
    )
    assert end.started == died().ts


@pytest.mark.parametrize(
    "entries",
    [
        NORMAL,  # nobody said that it is dead
        [died(), *NORMAL[:2]],
        [died(), *(wrote(at) for at in (10, 20, 30, 40))],  # within less than a minute
        [died(), *(wrote(at, service="nmead") for at in (10, 40, 80))],
        [died(), *(wrote(at, host="srv-2") for at in (10, 40, 80))],
        [died(), *(wrote(at, ship_id="s2") for at in (10, 40, 80))],
        [died(), *(wrote(at, level="warning") for at in (10, 40, 80))],
        [died(), *(wrote(at, msg="closing charts, exiting") for at in (10, 40, 80))],
        [died(), wrote(10), wrote(40), wrote(50, msg="chart broken", level="error"), wrote(80)],
        [died(), wrote(10), wrote(40), died(60), wrote(80)],
        [died(100), *NORMAL],  # what it wrote before it died
        [died(), died(5, STARTED), *NORMAL],  # that is an end of its own
        [line("Buffer I/O error on dev sdb1, logical block 0", service="kernel"), *NORMAL],
    ],
)
def test_what_is_no_evidence(entries):
    assert told(entries) == []


def test_only_what_others_report_counts():
    """A program that cannot reach its database writes on, and reaches it no more than before."""
    lost = line("could not connect to database", service="ecdis-gw", level="error")
    assert told([lost, *NORMAL]) == []


def test_a_duplicate_counts_once():
    twice = [wrote(10), wrote(80), wrote(80)]
    assert told([died(), *twice]) == []


def test_a_disk_is_not_whole_because_its_server_was_restarted_and_writes():
    disk = line("Buffer I/O error on dev sdb1, logical block 0", service="kernel", level="error")
    boot = line("Linux version 6.1.0-18-amd64", n=5, service="kernel")
    after = [wrote(at, service="kernel", msg=f"eth0: speed {at}") for at in (10, 40, 80)]
    assert told([disk, boot, *after]) == []


def test_it_is_published_with_its_confidence():
    detection, out = Detection(POLICY), []
    for n, entry in enumerate([died(), *NORMAL]):
        out += detection.on_line(entry.but(tracking_id=f"t{n}"))
    ends = [one for one in out if isinstance(one, AnomalyCleared)]
    assert [(one.service, one.confidence, one.detector) for one in ends] == [
        ("ecdis-gw", 0.6, "speaking")
    ]


def test_ever_new_names_stay_within_bounds():
    one = detector(kept=5)
    for n in range(100):
        one.observe(died(n, f"unit-{n}.service: Failed with result 'signal'.", host=f"h{n % 9}"))
        one.observe(died(n, f"unit-{n}.service: Failed with result 'signal'.", host="h0"))
    assert len(one.state) <= 5
    assert max(len(value.of) for _, value in one.state.items()) <= PROGRAMS_KEPT


LINES = st.lists(
    st.tuples(st.sampled_from(["died", "started", "wrote", "error"]), st.integers(0, 90)),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(LINES, st.integers(0, 30))
def test_a_kill_at_any_line_changes_nothing(history, killed):
    whole, cut, at = detector(), detector(), 0
    for n, (what, gap) in enumerate(history):
        if n == killed:
            state = json.loads(json.dumps(cut.snapshot()))
            cut = detector()
            cut.restore(state)
        at += gap
        entry = {
            "died": died(at),
            "started": died(at, STARTED),
            "wrote": wrote(at),
            "error": wrote(at, msg="chart broken", level="error"),
        }[what].but(tracking_id=f"t{n}")
        assert list(whole.observe(entry)) == list(cut.observe(entry))
