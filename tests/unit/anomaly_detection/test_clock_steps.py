"""Steps of clocks while detection runs: a minute later anomalies are found, normal entries not.

Time is in seconds after noon; a step moves the times of all that follows.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from structlog.testing import capture_logs

from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.runtime.received import Received
from aiops_core.runtime.service import arrived
from anomaly_detection.detectors.base import Detected, span
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.detectors.line_rules import LevelDetector
from anomaly_detection.detectors.metric import MetricDetector
from anomaly_detection.detectors.table import RuleTable
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.handler import DetectionHandler, Notes
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Burst, Threshold
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
        lambda: MetricDetector(lambda _: METRICS, KEPT),
        every(10, lambda n: read(noise(n), n)),
        every(10, lambda n: read(500, n)),
    ),
    "metric, one reading a minute": Case(
        lambda: MetricDetector(lambda _: METRICS, KEPT),
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
        lambda: LevelDetector(POLICY.levels, RuleTable(POLICY.line_rules)),
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
    return [finding for finding in found if isinstance(finding, Detected)]


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


class Host:
    """A handler whose host has a clock that can be set, and its messages."""

    def __init__(self):
        self.now, self.seconds = NOON, 0.0
        self.notes, self.told, self.sequence = {}, [], 0
        self.handler = DetectionHandler(
            POLICY,
            Notes(self.notes),
            clock=lambda: self.now,
            monotonic=lambda: self.seconds,
        )

    def set(self, by):
        self.now += timedelta(seconds=by)

    async def arrive(self, entry):
        """*entry* is stored now; a client may say anything."""
        self.sequence += 1
        received = Received(entry, entry.subject, self.sequence, 1, self.now, b"")
        self.told += await self.handler(replace(received, message=arrived(entry, received)))

    async def live(self, seconds, *makers):
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            self.seconds += 1
            for make in makers:
                if entry := make(self):
                    await self.arrive(entry)
            self.told += [outgoing.message for outgoing in self.handler.tick(self.now)]

    def types(self):
        return [message.anomaly_type for message in self.told if hasattr(message, "anomaly_type")]


def reading(host, value=50.0, device="srv-1", **fields):
    """A reading of now, as Vector sends it, every ten seconds."""
    if host.seconds % 10:
        return None
    stamps = {"ts": host.now, "stages": {"ingest": host.now}} | fields
    return read(value, 0, **stamps, host=device, metric="cpu_percent")


def other(host):
    return reading(host, device="srv-2")


def hot(host):
    return reading(host, 97.0)


SET = [-HOUR, -HOUR // 2, -3 * MINUTE, HOUR, 366 * 86_400]


class TestHost:
    """The whole of detection on a host whose clock is set, and clients that say what they like."""

    @pytest.mark.parametrize("by", SET)
    async def test_when_the_clock_of_the_host_is_set_nobody_is_silent_and_it_is_said(self, by):
        host = Host()
        await host.live(600, reading, other)
        before = metrics.CLOCK_STEPS.labels("host")._value.get()
        host.set(by)
        await host.live(600, reading, other)
        assert host.told == []
        assert metrics.CLOCK_STEPS.labels("host")._value.get() == before + 1
        way = "ahead" if by > 0 else "back"
        assert (
            f"the clock of this host was set {way} by {span(timedelta(seconds=abs(by)))}"
            in (host.notes["clock host"])
        )

    @pytest.mark.parametrize("by", SET)
    async def test_who_falls_silent_when_it_is_set_is_found_in_time(self, by):
        host = Host()
        await host.live(600, reading, other)
        host.set(by)
        await host.live(240, reading)
        assert host.types() == ["metric_gap"]
        [gap] = host.told
        assert gap.host == "srv-2"
        assert timedelta(0) <= host.now - gap.ts < timedelta(minutes=3)

    @pytest.mark.parametrize("by", SET)
    async def test_a_limit_that_is_broken_after_the_step_is_found(self, by):
        host = Host()
        await host.live(600, reading)
        host.set(by)
        await host.live(60, reading)
        await host.live(60, hot)
        assert "resource_exhaustion" in host.types()

    async def test_snapshots_go_on_after_the_clock_was_set_back(self):
        host = Host()
        await host.live(60, reading)
        place = host.handler.offsets.current
        host.set(-HOUR)
        await host.live(10, reading)
        assert host.handler.offsets.current.sequence > place.sequence

    @pytest.mark.parametrize("stamp", [True, False])
    @pytest.mark.parametrize("year", [1970, 2038])
    async def test_one_reading_of_another_year_is_taken_when_it_arrives(self, year, stamp):
        """Whatever it stamps: it blinds neither its own series nor anybody else, and it is said."""
        host = Host()
        await host.live(600, reading, other)
        odd = datetime(year, 1, 2, tzinfo=UTC)
        fields = {"ts": odd, "stages": {"ingest": odd} if stamp else {}}
        await host.arrive(read(97.0, 0, **fields, host="srv-1", metric="cpu_percent"))
        await host.live(60, reading, other)
        assert host.told == []
        await host.live(60, hot, other)
        assert "resource_exhaustion" in host.types()
        assert all(abs(message.ts - host.now) < timedelta(minutes=2) for message in host.told)
        [note] = [text for topic, text in host.notes.items() if topic.startswith("clock")]
        said_of = "was never set" if year < 2000 else "is ahead"
        assert f"1 times, the newest: the clock of unknown on srv-1 (s1) {said_of}" in note

    async def test_a_sender_that_is_set_back_is_named(self):
        host = Host()
        await host.live(100, reading)
        slow = timedelta(minutes=30)
        await host.live(60, lambda h: reading(h, ts=h.now - slow))
        name = "the clock of unknown on srv-1 (s1)"
        assert f"{name} was set back by 29 min 30 s, to 2026-" in host.notes["clock back"]

    async def test_an_old_log_that_is_read_in_keeps_its_times(self):
        host = Host()
        old = datetime(2005, 6, 1, 12, tzinfo=UTC)
        for n in range(100):
            at = old + timedelta(seconds=n)
            await host.arrive(said("bad", 0, ts=at, level="error"))
        assert [m.ts for m in host.told] == [old + timedelta(seconds=n) for n in range(100)]
        assert host.notes == {}

    async def test_of_many_steps_the_log_names_a_few_and_counts_all(self):
        notes = {}
        with capture_logs() as logged:
            counted = Notes(notes)
            for n in range(100):
                counted.step("back", f"step {n}")
        assert len(logged) == 13
        assert notes["clock back"] == "100 times, the newest: step 99"

    def test_the_notes_are_in_ready(self):
        readiness = Readiness("anomaly-detection")
        Notes(readiness.notes).step("host", "the clock of this host was set back by 1 h 0 min")
        assert "set back by 1 h" in readiness.report()["notes"]["clock host"]
