"""A device whose clock is wrong is told once, until its clock is right."""

from datetime import timedelta

from aiops_core.models import AnomalyCleared, AnomalyDetected
from anomaly_detection.clocks import SenderClocks
from anomaly_detection.detection import Detection
from anomaly_detection.policy import DetectPolicy
from tests.conftest import NOON, ROOT, line

POLICY = DetectPolicy.load(ROOT / "policies")
UNSET = {"log.stated_time": "1970-01-01T00:00:44+00:00"}


def told(*lines):
    detection = Detection(POLICY)
    return [message for one in lines for message in detection.observe(one)]


def wrong(n, text="fine", **fields):
    return line(text, n=n, labels=UNSET, stages={"ingest": NOON + timedelta(seconds=n)}, **fields)


def right(n, **fields):
    arrived = NOON + timedelta(seconds=n, milliseconds=120)
    return line("fine", n=n, stages={"ingest": arrived}, **fields)


def test_a_wrong_clock_is_told_once_per_device():
    found = told(*(wrong(n, service=f"s{n % 3}") for n in range(9)), wrong(9, host="srv-2"))
    assert [(one.anomaly_type, one.device_id or one.host, one.component) for one in found] == [
        ("time_drift", "srv-1", "clock"),
        ("time_drift", "srv-2", "clock"),
    ]
    assert "clock of srv-1 is wrong by" in found[0].msg
    assert "never set" in found[0].reason
    assert (found[0].domain, found[0].severity) == ("system", "medium")


def test_a_fault_and_the_clock_are_two_anomalies_of_one_line():
    found = told(wrong(0, "kernel panic - not syncing", service="kernel", level="critical"))
    assert {one.anomaly_type for one in found} >= {"time_drift"}
    assert len(found) == 2
    assert len({one.tracking_id for one in found}) == 2


def test_a_right_time_clears_it_and_a_line_without_a_time_does_not():
    silent = line("no time", n=5, stages={"ingest": NOON + timedelta(seconds=5)})
    found = told(wrong(0), silent, right(10), wrong(20))
    assert [type(one) for one in found] == [AnomalyDetected, AnomalyCleared, AnomalyDetected]
    assert found[1].component == "clock"


def test_lines_of_an_old_log_clear_nothing():
    long_ago = right(0, tracking_id="old").but(ts=NOON - timedelta(days=3))
    assert [type(one) for one in told(wrong(0), long_ago)] == [AnomalyDetected]


def test_a_clock_that_jumps_to_and_fro_is_not_told_for_ever():
    lines = [(wrong if n % 2 else right)(n) for n in range(100)]
    assert len(told(*lines)) < 10


def test_further_lines_of_an_entry_raise_nothing():
    trace = line(
        "kernel panic", level="critical", service="kernel", labels={"log.continues": "true"}
    )
    assert told(trace) == []


def believed(entry, arrived=NOON):
    return SenderClocks(lambda kind, text: None).believed(entry, arrived)


def test_entries_of_other_clients_are_judged_likewise():
    stamped = {"ingest": NOON}
    for ahead, labelled in ((4, False), (301, True), (10**8, True)):
        got = believed(line("x", n=ahead, stages=stamped))
        assert ("log.stated_time" in got.labels) is labelled
        assert got.ts <= NOON + timedelta(seconds=5)
    for years in (26.9, 56.9):
        got = believed(line("x", n=-int(years * 365.25 * 86400), stages=stamped))
        assert got.ts == NOON or years == 26.9


def test_weeks_that_gps_lost():
    for weeks, ts in ((1024, NOON), (2048, NOON), (1000, NOON - timedelta(weeks=1000))):
        assert believed(line("x", n=-weeks * 604800, stages={"ingest": NOON})).ts == ts
