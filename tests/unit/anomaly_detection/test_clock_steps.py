"""Clocks that are set while detection runs: what is wrong is found a minute later, what is normal is not told.

Time is in seconds after noon; a step moves the times of all that follows.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Verdict
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.detectors.gap import GapDetector
from anomaly_detection.detectors.level import LevelDetector
from anomaly_detection.detectors.metric import MetricDetector
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.policy import Burst, DetectPolicy, Threshold
from tests import log_cases as cases
from tests.conftest import NOON, ROOT, line, sample
from tests.unit.anomaly_detection.test_detector_battery import HOT, JUDGEMENT, KNOCKS

POLICY = DetectPolicy.load(ROOT / "policies")
KEPT = 50
HOUR, MINUTE = 3600, 60
WARM = 3000  # seconds of what is normal before the step

METRICS = POLICY.metrics.tuned(1.0, timedelta(minutes=10))
ids = count()


def said(msg, n, **fields):
    return line(msg, n=n, tracking_id=f"c{next(ids)}", **fields)


def read(value, n, **fields):
    return sample(value, n=n, tracking_id=f"c{next(ids)}", **fields)


@dataclass(frozen=True)
class Case:
    """A detector, and what is normal and what is wrong in the second *n*."""

    make: object
    normal: object
    wrong: object


def noise(n):
    """A reading whose mean is the same whenever one begins to take it, as after a gap."""
    return 50 + 2 * math.sin(n * n)


def every(seconds, make):
    return lambda n: [make(n)] if n % seconds == 0 else []


CASES = {
    "threshold": Case(
        lambda: ThresholdDetector([Threshold.model_validate(HOT | JUDGEMENT)], KEPT),
        every(10, lambda n: read(50, n)),
        every(10, lambda n: read(95, n)),
    ),
    "metric": Case(
        lambda: MetricDetector(lambda _: METRICS, lambda _: "system", KEPT),
        every(10, lambda n: read(noise(n), n)),
        every(10, lambda n: read(500, n)),
    ),
    "metric, one reading a minute": Case(
        lambda: MetricDetector(lambda _: METRICS, lambda _: "system", KEPT),
        every(15, lambda n: read(noise(n), n)),
        every(60, lambda n: read(500, n)),
    ),
    "burst": Case(
        lambda: BurstDetector(
            [Burst.model_validate(KNOCKS | {"count": 3, "within": "PT5M"} | JUDGEMENT)], KEPT
        ),
        every(290, lambda n: said("knock from 10.0.0.1", n)),
        every(10, lambda n: said("knock from 10.0.0.1", n)),
    ),
    "level": Case(
        lambda: LevelDetector(POLICY),
        every(10, lambda n: said("fine", n)),
        every(10, lambda n: said("bad", n, level="error")),
    ),
    "new_template": Case(
        cases.new_template,
        every(1, lambda n: said("tick", n)),
        every(1, lambda n: said("quite another thing" if n % 10 else "tick", n)),
    ),
    "rate spike": Case(
        cases.rate,
        every(1, lambda n: said("tick", n)),
        lambda n: [said("tick", n) for _ in range(6)],
    ),
    "rate drop": Case(
        cases.rate,
        lambda n: [said("tick", n), said("tock", n)],
        lambda n: [said("tock", n)],
    ),
    "error burst": Case(
        cases.rate,
        every(1, lambda n: said("tick", n)),
        lambda n: [said("tick", n), said(f"{'ab'[n % 2]}", n, level="error")],
    ),
    "mix": Case(
        cases.mix,
        lambda n: [said(("tick", "tock")[n % 2], n)] * 1 + [said("tack", n)],
        lambda n: [said("rare", n), said("rare", n)],
    ),
    "silence": Case(
        cases.silence,
        lambda n: [said("a", n, device_id="a"), said("b", n, device_id="b")],
        lambda n: [said("b", n, device_id="b")],
    ),
}
STEPS = {
    "an hour back": -HOUR,
    "half an hour back": -HOUR // 2,
    "three minutes back": -3 * MINUTE,
    "forty seconds back": -40,
    "an hour ahead": HOUR,
    "to 2038": (datetime(2038, 1, 1, tzinfo=UTC) - NOON).total_seconds(),
    "to 1970": (datetime(1970, 1, 2, tzinfo=UTC) - NOON).total_seconds(),
}


def moved(entries, by):
    """*entries* of a host whose clock was set: event and arrival."""
    for entry in entries:
        ts = entry.ts + timedelta(seconds=by)
        yield entry.model_copy(update={"ts": ts, "stages": {"ingest": ts}})


def told(detector, entries):
    found = []
    for entry in entries:
        found += [*detector.elapse(entry.ts), *detector.observe(entry)]
    return [finding for finding in found if isinstance(finding, Verdict)]


def stretch(what, start, seconds, by=0):
    return moved([one for n in range(start, start + seconds) for one in what(n)], by)


@pytest.fixture(params=CASES)
def each(request):
    return CASES[request.param]


class TestEveryDetector:
    @pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
    def test_a_minute_after_a_step_it_finds_what_is_wrong_and_nothing_before(self, each, step):
        detector = each.make()
        assert told(detector, stretch(each.normal, 0, WARM)) == []
        assert told(detector, stretch(each.normal, WARM, MINUTE, step)) == []
        assert told(detector, stretch(each.wrong, WARM + MINUTE, 2 * MINUTE, step))

    @pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
    def test_what_is_wrong_from_the_step_on_is_found_as_well(self, each, step):
        detector = each.make()
        told(detector, stretch(each.normal, 0, WARM))
        assert told(detector, stretch(each.wrong, WARM, 3 * MINUTE, step))

    @pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
    def test_set_and_set_right_again_it_goes_on(self, each, step):
        detector = each.make()
        told(detector, stretch(each.normal, 0, WARM))
        told(detector, stretch(each.normal, WARM, 5 * MINUTE, step))
        assert told(detector, stretch(each.normal, WARM + 5 * MINUTE, 2 * MINUTE)) == []
        assert told(detector, stretch(each.wrong, WARM + 7 * MINUTE, 2 * MINUTE))

    @pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
    def test_one_entry_of_another_time_makes_nobody_deaf(self, each, step):
        detector = each.make()
        told(detector, stretch(each.normal, 0, WARM))
        stray = next(one for n in range(WARM, WARM + 300) for one in each.normal(n))
        assert told(detector, moved([stray], step)) == []
        assert told(detector, stretch(each.normal, WARM, MINUTE)) == []
        assert told(detector, stretch(each.wrong, WARM + MINUTE, 2 * MINUTE))

    def test_a_log_of_2005_that_is_read_in_is_judged_by_its_own_times(self, each):
        by = (datetime(2005, 6, 1, tzinfo=UTC) - NOON).total_seconds()
        detector = each.make()

        def old(what, start, seconds):
            for entry in stretch(what, start, seconds, by):
                yield entry.model_copy(update={"stages": {"ingest": NOON}})

        assert told(detector, old(each.normal, 0, WARM)) == []
        found = told(detector, old(each.wrong, WARM, 3 * MINUTE))
        judged = each is not CASES["silence"]  # nobody is silent in a log
        assert bool(found) == judged
