"""An exception anywhere in detection loses nothing and repeats nothing.

A detector that always raises costs no other one anything. Failures are injected at every call of a
Python function, one run for each place.
"""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from aiops_core.observability import metrics
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.base import Detected
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.handler import Notes
from anomaly_detection.packs import Packs
from anomaly_detection.policy import DetectPolicy
from tests.conftest import NOON, ROOT, line, sample
from tests.failing import BrokenError, failing
from tests.log_cases import said
from tests.unit.anomaly_detection.test_detector_battery import DETECTORS, passing

# Few rules, as detections are made hundreds of times, or for ever new senders.
WHOLE = DetectPolicy.load(ROOT / "policies")
KEPT_PACKS = ("linux-auth", "fail2ban", "generic-system", "generic-network", "generic-storage")
POLICY = WHOLE.using(Packs.of([one for one in WHOLE.packs.loaded if one.pack.id in KEPT_PACKS]))
# The functions that call the detectors and join their findings: they have no state.
PACKAGE = "anomaly_detection"
GLUE = frozenset({"observe", "on_line", "on_sample", "tick", "_call", "_messages"})


def twice(at, work, *args):
    """*work*, once more if it raised; and whether it was disturbed."""
    with failing(at, PACKAGE) as hit:
        try:
            return work(*args), hit
        except BrokenError:
            pass
    return work(*args), hit


def places():
    """0, 1, 2 ... until nothing is hit any more, every one at first, then fewer."""
    at = 0
    while True:
        yield at
        at += 1 if at < 40 else at // 12


class TestEveryDetector:
    @pytest.mark.parametrize("name", DETECTORS)
    def test_what_raises_once_in_observe_changes_nothing(self, name):
        each = DETECTORS[name]
        quiet = each.make()
        expected = [list(quiet.observe(entry)) for entry in each.entries]
        for at in places():
            detector, told, hits = each.make(), [], []
            for entry in each.entries:
                found, hit = twice(at, detector.observe, entry)
                told.append(list(found))
                hits += hit
            if not hits:
                break
            assert told == expected, (at, set(hits))
        assert at > 0

    @pytest.mark.parametrize("name", [n for n in DETECTORS if DETECTORS[n].silent_after])
    def test_what_raises_once_while_time_passes_is_told_the_next_time(self, name):
        each = DETECTORS[name]
        for at in places():
            detector, told, hits = each.make(), [], []
            for entry in each.entries:
                detector.observe(entry)
            for now in passing(each.entries, each.silent_after):
                found, hit = twice(at, detector.elapse, now)
                told += found
                hits += hit
            if not hits:
                break
            assert len(told) == 1, at
        assert at > 0

    def test_a_lost_device_is_told_though_looking_for_it_raises(self):
        for at in range(12):
            detector, told = DETECTORS["silence"].make(), []
            for entry in DETECTORS["silence"].entries:
                found, _ = twice(at, detector.elapse, entry.ts)
                told += [*found, *detector.observe(entry)]
            assert sum(isinstance(finding, Detected) for finding in told) == 1, at


def entries():
    """Lines and readings of which all kinds of detectors find some wrong."""
    quick = [
        *said(["tick"] * 40),
        *said([f"Failed password for root from 10.1.2.{n} port 4" for n in range(3)], 40),
        *(line("Failed password for purser from 10.20.1.9 port 4", n=50 + n) for n in range(9)),
        *said(["flux off", "Interface eth0, changed state to up", "out of memory"], 60),
        *said(["flux off"] * 3, 70, level="error"),
        *(sample((50, 97)[n // 20 % 2], n=80 + 10 * n, tracking_id=f"s{n}") for n in range(60)),
    ]
    return [entry.model_copy(update={"tracking_id": f"t{n}"}) for n, entry in enumerate(quick)]


def eager():
    """The policy, which calls a line new at once."""
    soon = POLICY.templates.new.model_copy(
        update={"warm_up": timedelta(seconds=5), "most_per_day": 100}
    )
    templates = POLICY.templates.model_copy(update={"new": soon})
    return POLICY.model_copy(update={"templates": templates})


async def run(detection, at=None):
    """The messages of each entry; one that raised is delivered again, decoded anew."""
    told, hits = [], []
    for entry in entries():
        with failing(10**9 if at is None else at, PACKAGE, GLUE) as hit:
            try:
                found = detection.observe(entry)
            except BrokenError:
                found = None
        if found is None:
            found = detection.observe(entry.model_copy())
        told.append([(m.subject, m.tracking_id, m.reason) for m in found])
        hits += hit
    return told, hits


class TestDetection:
    async def test_what_raises_once_anywhere_changes_nothing(self):
        expected, _ = await run(Detection(eager()))
        assert sum(map(len, expected)) > 10
        for at in places():
            told, hits = await run(Detection(eager(), lambda who, exc: None), at)
            if not hits:
                break
            assert told == expected, (at, set(hits))
        assert at > 50

    async def test_what_always_raises_costs_no_other_finding_and_is_named(self, monkeypatch):
        def broken(self, entry):
            raise BrokenError("at 100 %")

        monkeypatch.setattr(BurstDetector, "observe", broken)
        notes = {}
        before = metrics.DETECTOR_FAILURES.labels("burst")._value.get()
        with capture_logs() as logged:
            detection = Detection(POLICY, Notes(notes).failure)
            told = [
                message
                for n in range(40)
                for message in detection.on_line(line("Out of memory: Killed process 1", n=n))
            ]
        # the table of rules found the line, so all rules were asked
        assert {message.detector for message in told} == {"pattern"}
        assert len(told) == 40
        assert metrics.DETECTOR_FAILURES.labels("burst")._value.get() - before == 40
        assert notes["detector burst"].startswith("40 times, the newest: raised BrokenError")
        assert [entry["detector"] for entry in logged] == ["burst"] * 12  # 10, then 16 and 32

    async def test_a_finding_that_cannot_be_told_keeps_back_no_other(self, monkeypatch):
        def broken(finding, cause):
            raise BrokenError("no words")

        monkeypatch.setattr("anomaly_detection.messages._text", broken)
        failed = []
        detection = Detection(POLICY, lambda who, exc: failed.append(who))
        ban = "[sshd] Ban 198.51.100.7: authentication failure from 198.51.100.7"
        told = [
            message
            for n in range(8)
            for message in detection.on_line(line(ban, n=n, service="fail2ban"))
        ]
        assert set(failed) == {"burst"}
        assert {type(message).__name__ for message in told} == {"AnomalyCleared"}

    async def test_time_passes_for_all_though_one_detector_raises(self, monkeypatch):
        detection = Detection(POLICY, lambda who, exc: None)
        for n in range(60):
            at = NOON + timedelta(seconds=n)
            detection.on_sample(sample(40, n=n, stages={"ingest": at}))

        def broken(self, now):
            raise BrokenError("no clock")

        monkeypatch.setattr("anomaly_detection.detectors.silence.SilenceDetector.elapse", broken)
        assert [o.message.detector for o in detection.tick(NOON + timedelta(hours=1))] == ["gap"]
