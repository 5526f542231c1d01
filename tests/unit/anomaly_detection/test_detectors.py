"""Single detectors; the battery for all is in test_detector_battery.py. Seconds after noon."""

import re
from datetime import timedelta
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_detection.detectors.base import Cleared, Detected, next_due
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.detectors.literals import parts, required, stand_in
from anomaly_detection.detectors.state import SegmentedLru
from anomaly_detection.detectors.table import LOOKED_AT
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Burst, Threshold
from tests.conftest import NOON, ROOT, line, sample

POLICY = DetectPolicy.load(ROOT / "policies")
RULES = [*POLICY.patterns, *POLICY.bursts, *POLICY.harmless]
JUDGEMENT = {"anomaly_type": "t", "severity": "high", "score": 0.9, "domain": "system"}
KEPT = 20


def threshold(**fields):
    rule = {"id": "hot", "metric": "cpu_*", "above": 90, "for": "PT30S", "repeat_every": "PT10M"}
    return Threshold.model_validate(rule | JUDGEMENT | fields)


def burst(**fields):
    rule = {"id": "b", "regex": r"knock from (?P<peer>\S+)", "says": "knocking", "by": ["peer"]}
    return Burst.model_validate(rule | {"count": 3, "within": "PT1M"} | JUDGEMENT | fields)


def thresholds(*rules):
    return ThresholdDetector(rules or [threshold()], KEPT)


def bursts(*rules):
    return BurstDetector(rules or [burst()], KEPT)


def knock(n, peer="10.0.0.1", **fields):
    return line(f"knock from {peer}", n=n, **fields)


def alarms(detector, entries):
    """The places of the entries that the detector finds wrong."""
    return [
        i
        for i, entry in enumerate(entries)
        if any(isinstance(finding, Detected) for finding in detector.observe(entry))
    ]


def ends(detector, entries):
    """The places of the entries that tell the end of an alarm, with that end."""
    found = [(i, f) for i, entry in enumerate(entries) for f in detector.observe(entry)]
    return [(i, finding) for i, finding in found if isinstance(finding, Cleared)]


class TestThreshold:
    def test_alarms_once_when_the_time_is_over(self):
        samples = [sample(95, n=n) for n in range(0, 121, 10)]
        assert alarms(thresholds(), samples) == [3]

    def test_a_limit_is_broken_beyond_it_not_at_it(self):
        assert alarms(thresholds(), [sample(90, n=n) for n in range(0, 121, 10)]) == []
        low = thresholds(threshold(above=None, below=10))
        assert alarms(low, [sample(9.9, n=n) for n in range(0, 121, 10)]) == [3]

    def test_without_a_time_the_first_sample_alarms(self):
        assert alarms(thresholds(threshold(**{"for": "PT0S"})), [sample(95), sample(96, n=1)]) == [
            0
        ]

    def test_one_good_sample_ends_the_alarm(self):
        values = {0: 95, 20: 95, 25: 50, 30: 95, 50: 95, 60: 95}
        assert alarms(thresholds(), [sample(v, n=n) for n, v in values.items()]) == [5]

    def test_an_alarm_that_lasts_is_told_again_on_the_round_clock(self):
        samples = [sample(95, n=n) for n in range(0, 1860, 60)]
        assert alarms(thresholds(), samples) == [1, 10, 20, 30]

    def test_a_new_alarm_is_told_at_once(self):
        values = [95] * 5 + [50] + [95] * 5
        samples = [sample(v, n=10 * n) for n, v in enumerate(values)]
        assert alarms(thresholds(), samples) == [3, 9]

    def test_the_first_good_sample_tells_that_it_is_over_how_long_it_was_and_the_peak(self):
        values = [95, 95, 95, 99, 96, 40, 40]
        ((place, end),) = ends(thresholds(), [sample(v, n=10 * n) for n, v in enumerate(values)])
        assert (place, end.anomaly_types, end.started, end.peak) == (5, ("t",), NOON, 99)
        assert "from 12:00:00 UTC to 12:00:50 UTC, for 50 s, at worst 99" in end.reason

    def test_nothing_is_over_that_nobody_was_told_of(self):
        samples = [sample(v, n=10 * n) for n, v in enumerate([95, 95, 40])]
        assert ends(thresholds(), samples) == []

    def test_a_good_sample_after_a_gap_ends_what_was_told_before_it(self):
        times = [0, 30, 400, 410]
        samples = [sample(v, n=n) for n, v in zip(times, [95, 96, 40, 40], strict=True)]
        ((place, end),) = ends(thresholds(), samples)
        assert (place, end.peak) == (2, 96)

    def test_after_a_gap_nobody_knows_what_happened_in_between(self):
        assert alarms(thresholds(), [sample(95, n=0), sample(95, n=301), sample(95, n=331)]) == [2]

    def test_duplicates_and_late_samples_change_nothing(self):
        samples = [sample(95, n=0), sample(95, n=20), sample(10, n=10), sample(10, n=20)]
        assert alarms(thresholds(), [*samples, sample(95, n=30)]) == [4]

    def test_a_clock_that_was_ahead_does_not_make_it_deaf(self):
        samples = [sample(95, n=10**8), *(sample(95, n=n) for n in range(0, 61, 10))]
        assert alarms(thresholds(), samples) == [4]

    def test_devices_metrics_and_labels_are_series_of_their_own(self):
        a, b = {"labels": {"mount": "/a"}}, {"labels": {"mount": "/b"}}
        samples = [sample(95, n=0, **a), sample(95, n=40, **b), sample(95, n=40, host="srv-2")]
        assert alarms(thresholds(), samples) == []
        assert alarms(thresholds(), [*samples, sample(95, n=45, **a)]) == [3]

    def test_a_rule_is_only_about_its_senders(self):
        only = thresholds(threshold(device_id=["DB-*"], services=["postgres"], **{"for": "PT0S"}))
        fits = {"device_id": "db-01", "service": "postgres"}
        others = [sample(95), sample(95, **fits | {"service": "app"}), sample(95, **fits)]
        assert alarms(only, [*others, sample(95, metric="memory", **fits)]) == [2]


class TestBurst:
    def test_single_lines_are_fine(self):
        assert alarms(bursts(), [knock(n) for n in range(0, 1000, 40)]) == []

    def test_enough_within_the_time_alarm_once_and_go_on_quietly(self):
        assert alarms(bursts(), [knock(n) for n in range(10)]) == [2]

    def test_a_flood_that_lasts_is_told_again(self):
        assert alarms(bursts(), [knock(n) for n in range(0, 300, 5)]) == [2, 12, 24, 36, 48]

    def test_peers_and_devices_are_counted_apart(self):
        assert alarms(bursts(), [knock(n, peer=f"10.0.0.{n}") for n in range(9)]) == []
        assert alarms(bursts(), [knock(n, host=f"h{n}") for n in range(9)]) == []

    def test_lines_without_a_peer_are_not_counted_together(self):
        loose = bursts(burst(regex=r"knock(?: from (?P<peer>\S+))?"))
        assert alarms(loose, [line("knock", n=n) for n in range(9)]) == []

    def test_a_line_that_is_delivered_twice_counts_once(self):
        assert alarms(bursts(), [knock(0), knock(1), knock(0), knock(1)]) == []

    def test_the_same_second_is_within_the_time(self):
        lines = [knock(0, tracking_id=f"t{n}") for n in range(3)]
        assert alarms(bursts(), lines) == [2]

    def test_a_clock_set_back_starts_anew(self):
        lines = [knock(n + 10**6) for n in range(3)] + [knock(n) for n in range(3)]
        assert alarms(bursts(), lines) == [2, 5]


class TestRhythm:
    @given(st.integers(0, 10**7), st.integers(1, 7200))
    def test_the_next_alarm_is_on_a_multiple_and_neither_near_nor_far(self, after, period):
        last, every = NOON + timedelta(seconds=after), timedelta(seconds=period)
        due = next_due(last, every)
        assert due.timestamp() % period == pytest.approx(0)
        assert every / 2 <= due - last <= every * 1.5

    @settings(max_examples=40)
    @given(st.integers(0, 2000), st.integers(10, 4000), st.sampled_from([60, 600, 900]))
    def test_who_replays_the_memory_of_a_detector_tells_the_rest_alike(self, start, kill, every):
        rule = threshold(repeat_every=timedelta(seconds=every))
        samples = [sample(95 if n > start else 20, n=n) for n in range(0, 4500, 10)]
        kill = NOON + timedelta(seconds=kill)
        assert_same_future(lambda: thresholds(rule), samples, kill, rule.memory)

    @settings(max_examples=40)
    @given(st.integers(10, 900), st.integers(1, 25))
    def test_who_replays_the_lines_of_a_flood_tells_the_rest_alike(self, kill, pause):
        lines = [knock(n) for n in range(0, 1200, pause)]
        assert_same_future(bursts, lines, NOON + timedelta(seconds=kill), burst().memory)


def assert_same_future(make, entries, kill, memory):
    steady, revived = make(), make()
    for entry in entries:
        if entry.ts < kill:
            steady.observe(entry)
            if entry.ts >= kill - memory:
                revived.observe(entry)
    rest = [entry for entry in entries if entry.ts >= kill]
    assert alarms(steady, rest) == alarms(revived, rest)


FILLS = ("{} ", "{}", "{} a ", "{}a, ", "{} from ", "{}=1 ", "1.1.{}", "a" * 50 + "{}")
PIECES = ("a", "1", "a1", "a-", "a/", ".", "a ", "1, ", " ")


class TestHostileLines:
    """Anybody may write a log line; none may hold up the others."""

    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
    def test_no_line_keeps_a_rule_busy(self, rule):
        texts = [fill.format(text) for text in required(rule.regex) or () for fill in FILLS]
        for piece in (*texts, *PIECES):
            hostile = (piece * LOOKED_AT)[:LOOKED_AT]
            started = process_time()
            rule.regex.search(hostile)
            assert process_time() - started < 0.1, piece


class TestLru:
    def test_the_least_recently_asked_for_is_forgotten(self):
        lru = SegmentedLru(2, str)
        for key in ("a", "b", "a", "c"):
            lru.get(key, lambda key=key: key)
        assert lru.get("a", lambda: "forgotten") == "a"
        assert lru.get("b", lambda: "forgotten") == "forgotten"


class TestLiterals:
    @pytest.mark.parametrize(
        ("regex", "texts"),
        [
            ("kernel panic", {"kernel panic"}),
            (r"\bOops: ", {"oops: "}),
            (r"(?:psu|fan) failure", {" failure"}),
            (r"disk full|no space", {"disk full", "no space"}),
            (r"(?:optional)?x\d+required?", {"require"}),
            (r"(?P<user>abc)+", {"abc"}),
            (r"\d+|abc", None),
            (r"[abc]*", None),
            (r"(?!never)", None),
        ],
    )
    def test_what_a_match_must_contain(self, regex, texts):
        found = required(re.compile(regex, re.IGNORECASE))
        assert found == (frozenset(texts) if texts else None)

    @settings(max_examples=200)
    @given(st.sampled_from(RULES), st.data())
    def test_no_line_that_a_rule_of_ours_finds_lacks_all_of_them(self, rule, data):
        msg = data.draw(st.from_regex(rule.regex))
        if rule.regex.search(msg) and msg.isascii():
            assert any(text in msg.lower() for text in required(rule.regex) or {""})
            assert stand_in(parts(rule.regex), msg.lower())

    @pytest.mark.parametrize(
        ("regex", "lower", "there"),
        [
            (r"fan (?P<n>\d+) failed", "fan failed", True),
            (r"fan (?P<n>\d+) failed", "a fan of 3", False),
            (r"(?:fan|psu \d lost)\b.*gone", "psu 1 gone", False),
            (r"(?:fan|psu \d lost)\b.*gone", "psu 1 lost, gone", True),
            (r"(?:never)?seen|\d+", "nothing of it", True),
        ],
    )
    def test_all_parts_of_a_match_are_looked_for(self, regex, lower, there):
        assert stand_in(parts(re.compile(regex)), lower) is there
