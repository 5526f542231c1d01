"""What every detector promises: add yours to ``DETECTORS``. Time is in seconds after noon."""

import json
import math
import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import Cleared, Detected
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.detectors.clock import ClockDetector
from anomaly_detection.detectors.gap import GapDetector
from anomaly_detection.detectors.line_rules import LevelDetector, PatternDetector
from anomaly_detection.detectors.metric import MetricDetector
from anomaly_detection.detectors.table import RuleTable
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Burst, Threshold
from tests.conftest import ROOT, line, sample
from tests.log_cases import LOG_DETECTORS

POLICY = DetectPolicy.load(ROOT / "policies")
JUDGEMENT = {"anomaly_type": "t", "severity": "high", "score": 0.9, "domain": "system"}
KEPT = 20
STATE_LIMIT = 2048  # bytes of a series

KNOCKS = {"id": "b", "regex": r"knock from (?P<peer>\S+)", "says": "knocking", "by": ["peer"]}
UNSET = {"log.stated_time": "1970-01-01T00:00:44+00:00"}
HOT = {"id": "hot", "metric": "cpu_*", "above": 90, "for": "PT30S", "repeat_every": "PT10M"}


@dataclass(frozen=True)
class Case:
    """A detector that keeps at most ``KEPT`` things, and entries of which it finds some wrong.

    *quiet* entries at the beginning are its warm-up; *silent_after* seconds without entries it has
    something to say about the passing of time.
    """

    make: object
    entries: list
    quiet: int = 0
    silent_after: float | None = None


def case(make, entries, **more):
    return Case(make, list(entries), **more)


DETECTORS = {
    "level": case(
        lambda: LevelDetector(POLICY.levels, RuleTable(POLICY.line_rules)),
        [line("a", n=n, level=("info", "error")[n % 2]) for n in range(20)],
    ),
    "pattern": case(
        lambda: PatternDetector(RuleTable(POLICY.patterns)),
        [line(("fine", "out of memory")[n % 2], n=n) for n in range(20)],
    ),
    "burst": case(
        lambda: BurstDetector(
            [Burst.model_validate(KNOCKS | {"count": 3, "within": "PT1M"} | JUDGEMENT)], KEPT
        ),
        [line(f"knock from 10.0.0.{n % 3}", n=n) for n in range(40)],
    ),
    "threshold": case(
        lambda: ThresholdDetector([Threshold.model_validate(HOT | JUDGEMENT)], KEPT),
        [sample((50, 95)[n // 10 % 2], n=10 * n) for n in range(80)],
    ),
    "clock": case(
        lambda: ClockDetector(POLICY.clocks, KEPT),
        [
            line("a", n=n, service="unknown", labels=UNSET if 10 <= n < 20 else {})
            for n in range(40)
        ],
    ),
    **{name: case(make, entries, **more) for name, (make, entries, more) in LOG_DETECTORS.items()},
}


METRICS = POLICY.metrics
EVERY = 300  # seconds between the readings of the learning detectors


def hum(n):
    """A reading that goes up and down a little, never the same way twice."""
    return 50 + 5 * math.sin(n / 7) + 2 * math.sin(n * n)


def series(values):
    return [sample(value, n=EVERY * n, unit="%") for n, value in enumerate(values)]


def metric():
    return MetricDetector(lambda _: METRICS, KEPT)


WARM = [hum(n) for n in range(METRICS.readings)]
DETECTORS |= {
    "metric": case(
        metric,
        series([*WARM, *(90 if n in (50, 51, 52, 250) else hum(n) for n in range(300))]),
        quiet=METRICS.readings,
    ),
    "gap": case(
        lambda: GapDetector(POLICY.gaps, KEPT),
        [sample(n, n=10 * n if n < 45 else 10 * n + 3600) for n in range(60)],
        quiet=POLICY.gaps.readings,
        silent_after=3600,
    ),
}


@pytest.fixture(params=DETECTORS)
def each(request):
    return DETECTORS[request.param]


def watch(detector, entries):
    """What the detector tells about each entry, time passing between them."""
    told = []
    for entry in entries:
        told.append([*detector.elapse(entry.ts), *detector.observe(entry)])
    return told


def verdicts(told):
    return [[f for f in findings if isinstance(f, Detected)] for findings in told]


def flat(told):
    return [finding for findings in told for finding in findings]


def passing(entries, seconds):
    last = max(entry.ts for entry in entries)
    return [last + timedelta(seconds=n * seconds / 10) for n in range(1, 21)]


def restored(each, detector):
    """Another detector that knows from JSON what this one knows."""
    other = each.make()
    other.restore(json.loads(json.dumps(detector.snapshot())))
    return other


class TestEveryDetector:
    def test_finds_something_and_not_everything(self, each):
        told = verdicts(watch(each.make(), each.entries))
        assert 0 < sum(map(bool, told)) < len(told)

    def test_says_nothing_in_its_warm_up(self, each):
        assert flat(watch(each.make(), each.entries[: each.quiet])) == []

    def test_does_not_look_ahead(self, each):
        middle = len(each.entries) // 2
        whole = watch(each.make(), each.entries)
        assert whole[:middle] == watch(each.make(), each.entries[:middle])

    def test_says_why_in_a_sentence_with_numbers(self, each):
        for finding in flat(watch(each.make(), each.entries)):
            assert re.search(r"\d", finding.reason)
            assert re.fullmatch(r"[^\n]{20,400}\.", finding.reason)
            assert "expected" in finding.reason
            assert "srv-1" in finding.reason
            assert "UTC" in finding.reason

    def test_names_whom_it_is_about_and_when(self, each):
        for entry, findings in zip(each.entries, watch(each.make(), each.entries), strict=True):
            for finding in findings:
                about = finding.source
                assert (about.ship_id, about.host) == (entry.ship_id, entry.host)
                assert about.service == entry.service
                assert finding.at <= entry.ts
                assert finding.detector == each.make().name

    def test_an_end_follows_a_beginning_and_tells_both(self, each):
        open_, told = 0, flat(watch(each.make(), each.entries))
        for finding in told:
            if isinstance(finding, Cleared):
                assert open_ > 0
                assert finding.started < finding.at
                open_ = 0
            else:
                open_ += 1

    @settings(max_examples=25)
    @given(data=st.data())
    def test_has_the_same_future_after_snapshot_and_restore(self, data):
        each = DETECTORS[data.draw(st.sampled_from(sorted(DETECTORS)))]
        cut = data.draw(st.integers(0, len(each.entries)))
        one = each.make()
        watch(one, each.entries[:cut])
        other = restored(each, one)
        assert other.snapshot() == one.snapshot()
        assert watch(one, each.entries[cut:]) == watch(other, each.entries[cut:])

    def test_a_snapshot_may_be_restored_in_parts(self, each):
        one, other = each.make(), each.make()
        watch(one, each.entries)
        for key, state in one.snapshot().items():
            other.restore({key: state})
        assert other.snapshot() == one.snapshot()

    def test_keeps_no_more_than_it_may(self, each):
        detector = each.make()
        for n in range(10 * KEPT):
            elsewhere = {"host": f"h{n}", "device_id": None}
            detector.observe(each.entries[-1].model_copy(update=elsewhere))
        assert len(detector.snapshot()) <= KEPT

    def test_knows_little_about_each_series(self, each):
        detector = each.make()
        watch(detector, each.entries)
        for key, state in detector.snapshot().items():
            assert len(key) + len(json.dumps(state, separators=(",", ":"))) <= STATE_LIMIT

    def test_a_duplicate_changes_nothing(self, each):
        once, twice = each.make(), each.make()
        for entry in each.entries:
            told = list(once.observe(entry))
            assert list(twice.observe(entry)) == told
            assert not twice.snapshot() or list(twice.observe(entry)) == []
        assert once.snapshot() == twice.snapshot()

    def test_does_not_judge_what_is_no_number(self, each):
        detector = each.make()
        told = watch(detector, each.entries)
        known = detector.snapshot()
        for value in (math.nan, math.inf, -math.inf):
            if isinstance(each.entries[-1], MetricSample):
                odd = each.entries[-1].model_copy(update={"value": value, "tracking_id": "odd"})
                assert list(detector.observe(odd)) == []
        assert detector.snapshot() == known
        assert any(told)

    def test_survives_time_going_back_and_goes_on(self, each):
        detector = each.make()
        watch(detector, [*each.entries, *reversed(each.entries)])
        later = timedelta(days=30)
        again = [e.model_copy(update={"ts": e.ts + later}) for e in each.entries]
        fresh = [e.model_copy(update={"tracking_id": f"z{e.tracking_id}"}) for e in again]
        assert any(verdicts(watch(detector, fresh)))

    def test_tells_ships_apart(self, each):
        both = each.make()
        elsewhere = [e.model_copy(update={"ship_id": "s2"}) for e in each.entries]
        mixed = [e for pair in zip(each.entries, elsewhere, strict=True) for e in pair]
        told = watch(both, mixed)
        alone = watch(each.make(), each.entries)
        by_ship = {
            ship: [f for f in flat(told) if f.source.ship_id == ship] for ship in ("s1", "s2")
        }
        assert by_ship["s1"] == flat(alone)
        assert [f.reason for f in by_ship["s2"]] == [f.reason for f in flat(alone)]

    def test_time_that_passes_is_told_once_whenever_it_is_asked(self, each):
        often, late = each.make(), each.make()
        watch(often, each.entries)
        watch(late, each.entries)
        seconds = each.silent_after or 3600
        told = [f for now in passing(each.entries, seconds) for f in often.elapse(now)]
        assert bool(told) == (each.silent_after is not None)
        assert told == list(late.elapse(passing(each.entries, seconds)[-1]))
