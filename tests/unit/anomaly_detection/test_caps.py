"""Senders with ever new names: the state stays bounded, and known senders are still judged."""

import gc
import types
from datetime import timedelta

import pytest
from pydantic import ValidationError

from aiops_core.models import LogEntry, MetricSample
from anomaly_detection.clocks import SenderClocks
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.base import LONGEST_KEY, bounded_key
from anomaly_detection.detectors.mix import OPEN, Shares
from anomaly_detection.detectors.state import SegmentedLru
from anomaly_detection.packs import Packs
from anomaly_detection.policy import DetectPolicy
from tests.conftest import NOON, ROOT, line, sample
from tests.unit.anomaly_detection.test_detector_battery import hum

# Few rules, as detections are made hundreds of times, or for ever new senders.
WHOLE = DetectPolicy.load(ROOT / "policies")
KEPT_PACKS = ("linux-auth", "generic-system", "generic-storage")
POLICY = WHOLE.using(Packs.of([one for one in WHOLE.packs.loaded if one.pack.id in KEPT_PACKS]))
STRANGERS = 50_000
MOST = 50_000  # the largest cap of all: words that are remembered
SECOND = timedelta(seconds=1)


def word(n):
    """No number, no hexadecimal digits: nothing that would be masked."""
    letters = []
    for _ in range(6):
        n, letter = divmod(n, 16)
        letters.append("ghijklmnopqrstuv"[letter])
    return "".join(letters)


def strange_line(n):
    """Nobody has heard of the host, the service, the words or the peer."""
    msg = f"{word(n)} {word(n * 7)} Failed password for root from {word(n)}.example port {n}"
    ts = NOON + n * timedelta(milliseconds=1)
    name = {"tracking_id": f"x{n}", "host": f"h{n}", "service": f"s{n}"}
    return line(msg, ts=ts, level=("info", "error")[n % 2], **name)


def strange_lines_of_one_device(n):
    ts = NOON + n * timedelta(milliseconds=1)
    return line(" ".join(word(n * k) for k in (1, 3, 5)), ts=ts, tracking_id=f"y{n}", host="one")


def strange_sample(n):
    ts = NOON + n * timedelta(milliseconds=1)
    name = {"tracking_id": f"z{n}", "host": f"h{n}", "service": f"s{n}", "labels": {"n": str(n)}}
    return sample(99, ts=ts, stages={"ingest": ts}, metric=f"cpu_{n}", **name)


async def flood(detection, clocks, start, count, make):
    for n in range(start, start + count):
        detection.observe(clocks.believed(make(n), NOON + timedelta(hours=1)))


def sizes(*roots):
    """The number of items of every collection that is reached from *roots*, and of all together."""
    seen, left, largest, total = set(), list(roots), 0, 0
    shared = (type, types.ModuleType, types.FunctionType, types.CodeType, str, bytes)
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, shared):
            continue
        seen.add(id(one))
        if hasattr(one, "__len__") and not isinstance(one, type):
            largest, total = max(largest, len(one)), total + len(one)
        if hasattr(one, "cache_info"):
            total += one.cache_info().currsize
        left += gc.get_referents(one)
    return largest, total


FEW = POLICY.model_copy(
    update={
        "series_kept": 400,
        "templates": POLICY.templates.model_copy(update={"kept": 100}),
    }
)


async def know(detection):
    """Three hours of one device."""
    start = NOON - timedelta(hours=3)
    for n in range(1000):
        ts = start + 10 * n * SECOND
        known = {"ts": ts, "stages": {"ingest": ts}}
        detection.observe(sample(hum(n), metric="pressure", tracking_id=f"k{n}", **known))
        detection.observe(line("all is well", tracking_id=f"a{n}", **known))


async def still_known(detection):
    """What is told when that device sends something else."""
    now = NOON + timedelta(minutes=2)
    known = {"ts": now, "stages": {"ingest": now}}
    told = list(detection.observe(sample(1000, metric="pressure", tracking_id="k", **known)))
    for n in range(60):
        told += detection.observe(line("all is well", tracking_id=f"b{n}", **known))
    return [message.anomaly_type for message in told]


class TestFlood:
    async def test_what_was_known_is_still_judged_and_the_rest_is_bounded(self):
        detection, clocks = Detection(FEW), SenderClocks(lambda kind, text: None)
        await know(detection)
        for make in (strange_line, strange_lines_of_one_device, strange_sample):
            await flood(detection, clocks, 0, 1500, make)
        assert await still_known(detection) == ["metric_outlier", "log_rate_spike"]
        kept = {d.name: len(d.snapshot()) for d in detection.detectors}
        assert kept.pop("new_template") <= 400 + 100
        assert all(number <= 400 for number in kept.values())
        assert min(kept[name] for name in ("rate", "mix", "silence", "metric")) > 300

    @pytest.mark.slow
    async def test_fifty_thousand_of_everything_leave_memory_bounded_and_the_known_one_known(self):
        detection, clocks = Detection(POLICY), SenderClocks(lambda kind, text: None)
        await know(detection)
        totals = []
        for start in (0, STRANGERS // 2):
            for make in (strange_line, strange_lines_of_one_device, strange_sample):
                await flood(detection, clocks, start, STRANGERS // 2, make)
            largest, total = sizes(detection, clocks)
            assert largest <= MOST
            totals.append(total)
        assert totals[1] < 1.3 * totals[0]
        assert await still_known(detection) == ["metric_outlier", "log_rate_spike"]


class TestLru:
    def test_who_comes_once_pushes_out_only_such(self):
        lru = SegmentedLru(100, str)
        for _ in range(2):
            for n in range(60):
                lru.get((f"known {n}",), lambda: "known")
        for n in range(10_000):
            lru.get((f"stranger {n}",), lambda: "new")
        assert len(lru) == 100
        assert sum(value == "known" for _, value in lru.items()) == 60

    def test_newcomers_have_a_quarter_and_become_known(self):
        lru = SegmentedLru(100, str)
        for _ in range(2):
            for n in range(200):
                lru.get((f"old {n}",), lambda: "old")
        for _ in range(2):
            for n in range(20):
                lru.get((f"new {n}",), lambda: "new")
        assert sum(value == "new" for _, value in lru.items()) == 20
        assert len(lru) == 100

    def test_long_names_make_a_short_key_and_different_ones_another(self):
        long = [bounded_key("ship", "x" * 100_000 + end) for end in "ab"]
        assert long[0] != long[1]
        assert all(sum(map(len, key)) < LONGEST_KEY + 100 for key in long)
        assert bounded_key("ship", "device") == ("ship", "device")


class TestWindow:
    def test_templates_beyond_the_cap_are_one(self):
        shares = Shares()
        shares.open(0.0, 10)
        for n in range(10 * OPEN):
            shares.add(f"t{n}")
        assert len(shares.counts) == OPEN + 1
        assert shares.lines == 10 * OPEN
        assert shares.share("t99999") == shares.counts[""] / shares.lines


class TestShips:
    async def test_ids_of_other_ships_do_not_push_out_the_own_one(self):
        detection = Detection(POLICY)
        for n in range(300):
            detection.observe(line("all is well", n=n, tracking_id=f"o{n}"))
        for n in range(50):
            detection.observe(line("x", n=300, tracking_id=f"f{n}", ship_id=f"ship-{n}"))
        learners = {one.name: one for one in detection._line_learners}
        new, silence = detection._line_learners[0], learners["silence"]
        assert (len(new._lines._miners), len(silence._ships), len(silence._next)) <= (8, 8, 8)
        assert silence._ships["s1"].attended > 200
        assert new._lines._miners["s1"].lines == 300


class TestIngress:
    @pytest.mark.parametrize("name", ["tracking_id", "ship_id", "host", "service", "device_id"])
    def test_a_name_that_is_no_name_is_refused(self, name):
        for kind, entry in ((LogEntry, line("x")), (MetricSample, sample(1))):
            fields = entry.model_dump(mode="json")
            assert kind.model_validate(fields | {name: "n" * 255})
            with pytest.raises(ValidationError):
                kind.model_validate(fields | {name: "n" * 256})

    def test_so_is_the_name_of_a_metric(self):
        with pytest.raises(ValidationError):
            sample(1, metric="m" * 256)
