"""Readings without a rule: findings of the metric detector. A reading every 5 minutes."""

import math
from random import Random

import pytest

from aiops_lab.evaluation.detection.run import ratio_of
from anomaly_detection.detectors.base import Cleared, Detected
from anomaly_detection.detectors.gap import GapDetector
from anomaly_detection.detectors.metric import CALM, REPORT, MetricDetector, score
from anomaly_detection.detectors.novelty import GROWTH, Extremes
from anomaly_detection.detectors.views import Season
from anomaly_detection.layers import Layer
from anomaly_detection.policy import DetectPolicy
from tests.conftest import NOON, ROOT, sample

POLICY = DetectPolicy.load(ROOT / "policies")
METRICS = POLICY.metrics
EVERY = 300  # s
DAY = 24 * 3600 // EVERY  # readings


def noise(count, seed=1, mean=50.0, sigma=2.0):
    random = Random(seed)
    return [random.gauss(mean, sigma) for _ in range(count)]


def hum(count, seed=1, mean=50.0, sigma=2.0):
    """Goes up and down, never twice the same way, and never far."""
    return [mean + sigma * (math.sin(n + seed) + math.sin(2.7 * n)) for n in range(count)]


def detector(metrics=METRICS):
    return MetricDetector(lambda _: metrics, 100)


def told(values, of=None, every=EVERY, **fields):
    """(place, finding) of everything that is told of a series."""
    of = of or detector()
    readings = (sample(value, n=every * n, unit="%", **fields) for n, value in enumerate(values))
    return [(n, finding) for n, one in enumerate(readings) for finding in of.observe(one)]


def kinds(found):
    return [(n, f.anomaly_type if isinstance(f, Detected) else "ended") for n, f in found]


class TestWhatIsTold:
    def test_a_day_of_noise_read_every_5_seconds_is_quiet(self):
        assert told(noise(86_400 // 5), every=5) == []

    def test_noise_read_every_5_minutes_is_told_once_in_three_days_at_most(self):
        found = [kinds(told(noise(10 * DAY, seed))) for seed in range(4)]
        assert sum(kind != "ended" for one in found for _, kind in one) < 40 / 3

    def test_a_spike_is_told_at_once_and_its_end_with_start_and_peak(self):
        values = hum(1200)
        values[1000:1003] = [80, 99, 85]
        (at, verdict), (over, end) = told(values)
        assert (at, verdict.anomaly_type, verdict.value) == (1000, "metric_outlier", 80)
        assert (end.started, end.peak, end.anomaly_types) == (verdict.at, 99, ("metric_outlier",))
        assert 1002 + CALM <= over < 1030 + CALM
        assert "at worst 99 %" in end.reason

    def test_the_reason_says_what_was_seen_and_what_is_expected(self):
        ((_, verdict),) = told([*hum(1000), 80.0])
        assert "cpu_percent on srv-1" in verdict.reason
        assert "80 %" in verdict.reason
        assert "expected" in verdict.reason
        assert "as in the last 83 h" in verdict.reason

    def test_a_change_of_level_that_no_single_reading_shows(self):
        before = [math.sin(n) for n in range(1000)]
        after = [0.5 + 0.5 * math.sin(n) for n in range(100)]
        found = kinds(told(before + after))
        assert found[0][1] == "level_shift"
        assert 1000 <= found[0][0] < 1060

    def test_a_sensor_that_is_stuck(self):
        found = kinds(told([*hum(1000), *[50.0] * 150]))
        assert found[0][1] == "sensor_stuck"
        assert found[0][0] < 1060

    def test_a_series_that_becomes_unsteady(self):
        rough = [50 + 4 * (-1) ** n for n in range(100)]
        found = kinds(told(noise(1000, seed=3) + rough))
        assert "metric_unsteady" in [kind for n, kind in found if n >= 1000]

    def test_a_usual_value_at_an_unusual_hour(self):
        by_day = [60 + 30 * math.sin(2 * math.pi * n / DAY) for n in range(12 * DAY)]
        values = [x + y for x, y in zip(by_day, hum(12 * DAY, mean=0, sigma=1), strict=True)]
        weekday = 9 * DAY  # a Wednesday
        values[weekday : weekday + DAY // 3] = hum(DAY // 3, mean=35, sigma=1)
        found = told(values)
        assert found
        assert weekday <= found[0][0] < weekday + DAY // 6

    def test_a_slow_rise_is_not_learnt_on_the_way(self):
        rise = [50 + n * 0.5 for n in range(100)]
        assert told(hum(1000) + rise)

    def test_the_first_change_of_what_never_changed(self):
        ((at, verdict),) = told([22.0] * 500 + [21.0] * 3)
        assert (at, verdict.value) == (500, 21)

    def test_metrics_devices_ships_and_labels_are_series_of_their_own(self):
        of, other = detector(), hum(500, mean=5000)
        assert told(hum(500), of) == []
        for fields in ({"metric": "m"}, {"host": "h"}, {"ship_id": "s2"}, {"labels": {"a": "b"}}):
            assert told(other, of, **fields) == []


class TestAlarms:
    def test_one_alarm_however_long_it_lasts(self):
        found = kinds(told(hum(1000) + hum(60, seed=2, mean=90)))
        assert [kind for _, kind in found] == ["metric_outlier"]

    def test_what_was_told_is_not_learnt(self):
        quiet, loud = detector(), detector()
        before = hum(1000)
        told(before, quiet)
        told([*before, *[90.0] * 60], loud)
        (one,), (other,) = quiet.state.items(), loud.state.items()
        for extremes, after in zip(one[1].extremes, other[1].extremes, strict=True):
            known = (extremes.n, extremes.centre, extremes.above.farthest, extremes.below.farthest)
            assert known == (after.n, after.centre, after.above.farthest, after.below.farthest)

    def test_a_spike_that_came_before_is_told_again_when_it_is_long_ago(self):
        values = [50 + math.sin(n) for n in range(12_000)]
        for at in (1000, 11_000):
            values[at] = 90.0
        assert [n for n, kind in kinds(told(values)) if kind != "ended"] == [1000, 11_000]

    def test_what_comes_again_soon_is_not_told_again(self):
        values = hum(1400)
        values[1000], values[1200] = 90.0, 90.0
        assert 1200 not in [n for n, _ in told(values)]

    def test_a_farther_one_is_told_soon(self):
        values = hum(1400)
        values[1000], values[1200] = 90.0, 140.0
        assert [n for n, kind in kinds(told(values)) if kind != "ended"] == [1000, 1200]

    def test_what_lasts_for_days_becomes_normal_and_nothing_became_well(self):
        found = told(hum(1000) + hum(4 * DAY, seed=2, mean=90))
        assert sum(isinstance(f, Detected) for _, f in found) == 1
        assert not any(isinstance(f, Cleared) for _, f in found)


class TestWhatIsNotTold:
    def test_a_series_that_is_hardly_known(self):
        assert told([*hum(METRICS.readings - 1), 1000.0]) == []

    def test_many_readings_in_a_short_time_are_not_a_long_acquaintance(self):
        assert told([*hum(1000), 1000.0], every=1) == []
        assert told([*hum(4000), 1000.0], every=1)

    def test_a_counter_grows_for_ever_until_it_stands_still(self):
        grows = [1000.0 * n for n in range(3000)]
        assert told(grows) == []

    def test_readings_after_a_gap_are_not_a_jump(self):
        drift = [50 + 0.004 * n for n in range(4000)]
        values = [x + y for x, y in zip(drift, hum(4000, mean=0, sigma=0.2), strict=True)]
        of = detector()
        for n in [*range(2000), *range(2300, 4000)]:
            findings = of.observe(sample(values[n], n=EVERY * n))
            assert all(f.meta["view"] != "jump" for f in findings if isinstance(f, Detected))

    def test_a_series_that_is_read_more_often_must_go_farther(self):
        slow, fast = detector(), detector()
        values = hum(3000)
        told([*values, max(values) + 1], slow, every=300)
        told([*values, max(values) + 1], fast, every=5)
        assert fast.score < REPORT < slow.score


class TestSettings:
    def tuned(self, **how):
        layer = {"id": "x", "metrics": ["cpu_*"], "detectors": {"metric": how}}
        policy = POLICY.model_copy(update={"layers": (Layer.model_validate(layer),)})
        return policy.resolver().metrics_of(POLICY.metrics)(sample(1))

    def test_a_layer_makes_a_series_more_or_less_sensitive(self):
        margins = [self.tuned(sensitivity=s).margin for s in ("high", "normal", "low")]
        assert margins == sorted(margins)
        assert margins[1] == METRICS.margin

    def test_a_layer_may_ask_for_a_longer_acquaintance(self):
        assert self.tuned(warm_up="P1D").known_for.days == 1
        assert self.tuned().known_for == METRICS.known_for

    @pytest.mark.parametrize("wanted", [0.1, 0.46, 0.5, 0.58, 0.9])
    def test_a_score_has_one_ratio(self, wanted):
        assert score(ratio_of(wanted)) == pytest.approx(wanted)


class TestExtremes:
    def test_a_record_needs_less_the_more_was_seen(self):
        needed = []
        for count in (100, 500, 2000, 8000):
            extremes = Extremes()
            for x in noise(count, mean=0, sigma=1):
                extremes.learn(x)
            needed.append(1 / extremes.ratio(extremes.centre + extremes.above.farthest))
        assert needed[:3] == sorted(needed[:3], reverse=True)
        assert needed[3] == pytest.approx(needed[2], abs=0.1)

    def test_a_number_that_is_bounded_needs_less_than_a_noisy_one(self):
        bounded, noisy = Extremes(), Extremes()
        for n, x in enumerate(noise(3000, mean=0, sigma=1)):
            bounded.learn(math.sin(n))
            noisy.learn(x)
        asked = [one.above.known(reported=False) / one.above.farthest for one in (bounded, noisy)]
        assert 1 <= asked[0] < 1.03
        assert asked[1] > 1.03 + GROWTH / 4

    def test_one_outlier_hardly_moves_the_centre(self):
        extremes = Extremes()
        for x in [*noise(500, mean=0, sigma=1), 1e9]:
            extremes.learn(x)
        assert abs(extremes.centre) < 0.2


class TestSeason:
    def test_an_hour_is_known_when_it_is_over(self):
        season = Season()
        for n in range(DAY):
            season.learn(sample(0, n=EVERY * n).ts, float(n))
        assert season.usual(NOON.replace(hour=13, minute=30)) == pytest.approx(17.5)
        assert season.usual(NOON.replace(hour=13, minute=0)) == pytest.approx(11.5)
        assert season.usual(NOON.replace(hour=11)) is None  # the last hour goes on

    def test_weekends_are_days_of_their_own(self):
        season = Season()
        for n in range(5 * DAY):  # from Monday noon
            season.learn(sample(0, n=EVERY * n).ts, 7.0)
        assert season.usual(NOON.replace(day=9)) == pytest.approx(7)
        assert season.usual(NOON.replace(day=13, hour=20)) is None


class TestGap:
    def watch(self, times, until):
        gaps = GapDetector(POLICY.gaps, 10)
        found = [f for n in times for f in gaps.observe(sample(1, n=n, service="node"))]
        return found + [f for n in range(0, until, 5) for f in gaps.elapse(sample(1, n=n).ts)]

    def test_a_sender_that_stops_is_told_once_and_when_it_is_back(self):
        gaps = GapDetector(POLICY.gaps, 10)
        for n in range(0, 500, 10):
            assert list(gaps.observe(sample(1, n=n))) == []
        assert gaps.elapse(sample(1, n=600).ts) == []
        (verdict,) = gaps.elapse(sample(1, n=2000).ts)
        assert verdict.at == sample(1, n=490 + 120).ts
        assert "none for 2 min 0 s since 12:08:10 UTC, expected is one in 10 s" in verdict.reason
        assert gaps.elapse(sample(1, n=3000).ts) == []
        (end,) = gaps.observe(sample(1, n=3000))
        assert (end.anomaly_types, end.started) == (("metric_gap",), sample(1, n=490).ts)

    def test_who_always_paused_for_long_is_not_missing(self):
        last = 39 * 100
        assert self.watch(range(0, last + 1, 100), last + 300) == []
        assert len(self.watch(range(0, last + 1, 100), last + 305)) == 1

    def test_a_sender_that_is_hardly_known_is_not_missing(self):
        assert self.watch(range(0, 100, 10), 10_000) == []

    def test_readings_out_of_a_file_are_no_sender(self):
        gaps = GapDetector(POLICY.gaps, 10)
        for n in range(100):
            stages = {"ingest": sample(1, n=86_400 + n).ts}
            assert list(gaps.observe(sample(1, n=10 * n, stages=stages))) == []
        assert gaps.elapse(sample(1, n=10 * 86_400).ts) == []
