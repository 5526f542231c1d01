"""Stops and kills: snapshots, replay, and the same messages as without them."""

import asyncio
import base64
import contextlib
import json
import random
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from aiops_core.errors import Unavailable
from aiops_core.models import AnomalyCleared, AnomalyDetected
from aiops_core.observability.probe import Readiness
from aiops_core.runtime import unreadable
from aiops_core.runtime.bus import Outgoing
from aiops_core.runtime.runtime import Runtime
from aiops_lab.memory_bus import MemoryBus
from anomaly_detection import snapshots
from anomaly_detection.__main__ import service
from anomaly_detection.checkpoint import WHERE, Checkpointer
from anomaly_detection.detection import Detection
from anomaly_detection.detectors.series import MetricSeries
from anomaly_detection.detectors.state import PART
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.handler import DetectionHandler
from anomaly_detection.offsets import Offset, OffsetTracker
from anomaly_detection.packs import Packs
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.snapshots import (
    BUCKET,
    Manifest,
    SnapshotStore,
)
from tests.conftest import ROOT, line, sample

# A start with few rules, as there are hundreds here.
WHOLE = DetectPolicy.load(ROOT / "policies")
OF_LOGINS = [one for one in WHOLE.packs.loaded if one.pack.id == "linux-auth"]
POLICY = WHOLE.using(Packs.of(OF_LOGINS))
SECOND = timedelta(seconds=1)
GUESS = "Failed password for purser from 10.20.1.{} port 4 ssh2"


def entries():
    """Five minutes of a ship: episodes of heat, guessing of passwords, errors, and what is fine."""
    start = datetime.now(UTC) - timedelta(minutes=6)
    made = []
    for n in range(60):
        at = start + n * 5 * SECOND
        for device in ("srv-1", "srv-2", "srv-3"):
            hot = 95 if (n // 10 + int(device[-1])) % 3 == 0 else 40
            made.append(
                sample(hot, ts=at, tracking_id=f"m-{device}-{n}", host=device, device_id=device)
            )
        guess = GUESS.format(n // 20)
        made.append(line(guess, ts=at, tracking_id=f"g{n}", service="sshd", level="warning"))
        made.append(line(f"job {n} done", ts=at, tracking_id=f"j{n}", host="srv-2"))
        if n % 17 == 0:
            made.append(line("flux capacitor off", ts=at, tracking_id=f"e{n}", level="error"))
        made.append(raw_line(n, at))
    return made


def raw_line(n, at):
    """A line as Vector delivers it, of a device that spells its name in several ways."""
    host = ("NAS-9", "nas-9.ship.local", "nas-9")[n % 3]
    says = "flux capacitor off" if n % 19 == 0 else f"job {n} done"
    raw = f"<{11 if n % 19 == 0 else 14}>{at:%b %e %H:%M:%S} {host} app[7]: {says}"
    labels = {"sender": "10.1.0.9"}
    return line("", ts=at, tracking_id=f"r{n}", host="10.1.0.9", raw=raw, labels=labels)


def checkpointer_of(bus):
    return Checkpointer(DetectionHandler(POLICY), bus, POLICY.snapshot_every)


class Ship:
    """A broker with entries in it, and a service that may be killed and started again."""

    def __init__(self, messages):
        self.bus, self.messages = MemoryBus(), messages
        self.checkpointer: Checkpointer | None = None

    async def publish(self, messages):
        await self.bus.publish([Outgoing(m, m.tracking_id) for m in messages])

    @contextlib.asynccontextmanager
    async def living(self):
        """The service runs and is killed at the end: no last snapshot, no drain."""
        self.checkpointer = checkpointer_of(self.bus)
        made = service(self.checkpointer, self.bus)
        engine = Runtime(replace(made, background=()), self.bus, Readiness("test"))
        running = asyncio.create_task(engine.run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def idle(self):
        """Wait until everything is settled."""
        async with asyncio.timeout(20):
            while len(self.bus.acked) < len({m.tracking_id for m in self.messages}):
                await asyncio.sleep(0.005)

    @property
    def handler(self):
        return self.checkpointer.handler

    @property
    def told(self):
        kinds = (AnomalyDetected, AnomalyCleared)
        return sorted(
            (m.subject, m.tracking_id, m.detector, m.reason)
            for m in self.bus.published
            if isinstance(m, kinds)
        )


async def undisturbed(messages):
    ship = Ship(messages)
    await ship.publish(messages)
    async with ship.living():
        await ship.idle()
    return ship.told


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


class TestKills:
    @pytest.mark.parametrize("seed", range(8))
    async def test_killed_at_random_moments_it_tells_what_it_would_have_told(self, seed):
        chance, messages = random.Random(seed), entries()
        ship = Ship(messages)
        at = 0
        while at < len(messages):
            upto = at + chance.randint(1, 120)
            await ship.publish(messages[at:upto])
            at = upto
            async with ship.living():
                await turns(chance.randint(0, 80))
                if chance.random() < 0.6:
                    saving = asyncio.create_task(ship.checkpointer.save())
                    await turns(chance.randint(0, 60))
                    saving.cancel()  # a kill in the middle of a snapshot
        async with ship.living():
            await ship.idle()
        expected = await undisturbed(messages)
        assert ship.told == expected
        assert len(expected) > 10

    async def test_what_was_known_comes_from_the_snapshot_and_not_from_the_stream(self):
        first, *rest = [m for m in entries() if m.tracking_id.startswith("m-srv-3")]
        ship = Ship([first, *rest])
        await ship.publish(rest[:8])
        async with ship.living():
            await turns(50)
            assert await ship.checkpointer.save()
        ship.bus.stored = [
            replace(s, data=b"\xff") for s in ship.bus.stored
        ]  # nothing to read again
        async with ship.living():
            await ship.publish(rest[8:])
            await turns(200)
        assert ship.told == await undisturbed(rest)

    async def test_a_stop_leaves_a_snapshot_behind(self):
        ship = Ship(entries())
        await ship.publish(ship.messages)
        engine = Runtime(service(checkpointer_of(ship.bus), ship.bus), ship.bus, Readiness("test"))
        running = asyncio.create_task(engine.run())
        await ship.idle()
        engine.stop.set()
        await running
        manifest = Manifest.model_validate_json(
            await ship.bus.bucket(BUCKET).get(snapshots.MANIFEST)
        )
        assert manifest.offset.sequence == len(ship.messages)
        assert manifest.parts["threshold"] == 1

    async def test_a_snapshot_counts_only_when_everything_in_it_is_settled(self):
        ship = Ship(entries()[:20])
        await ship.publish(ship.messages)
        async with ship.living():
            await ship.idle()
            # one that was handled and is not acknowledged
            ship.handler.offsets.restore(Offset(21, datetime.now(UTC)))
            saving = asyncio.create_task(ship.checkpointer.save())
            await asyncio.sleep(0.15)
            assert not saving.done()
            assert await ship.bus.bucket(BUCKET).get(snapshots.MANIFEST) is None
            saving.cancel()

    async def test_rubbish_in_the_stream_does_not_stop_recovery(self):
        ship = Ship([m for m in entries() if m.tracking_id.startswith("m-srv-3")])
        await ship.publish(ship.messages[:3])
        async with ship.living():
            await turns(50)
        ship.bus.put("metrics.sampled", b"\xff{")
        async with ship.living():
            await ship.publish(ship.messages[3:])
            await turns(200)
        assert ship.told == await undisturbed(ship.messages)
        assert len(ship.bus.buried) == 1


def live(n, host="srv-1", **fields):
    """A reading that arrived when it was taken, *n* seconds after some moment of today."""
    at = START + n * SECOND
    return sample(40, ts=at, stages={"ingest": at}, host=host, tracking_id=f"{host}-{n}", **fields)


START = datetime.now(UTC) - timedelta(hours=1)
QUIET = START + timedelta(minutes=30)


class TestTicks:
    """What the passing of time proves is told once too, whenever the kill comes."""

    @contextlib.asynccontextmanager
    async def silent(self):
        """A sender that spoke for a minute, and a ship that knows it."""
        ship = Ship([live(n) for n in range(60)])
        await ship.publish(ship.messages)
        async with ship.living():
            await ship.idle()
            yield ship

    async def after(self, ship):
        async with ship.living():
            await turns(100)
            return ship.handler.tick(QUIET)

    async def test_killed_before_anybody_published_it_it_is_told_again_with_the_same_id(self):
        async with self.silent() as ship:
            [told] = ship.handler.tick(QUIET)
        [again] = await self.after(ship)
        assert told.message.detector == "gap"
        assert again.id == told.id

    async def test_a_snapshot_that_was_taken_in_between_does_not_swallow_it(self):
        async with self.silent() as ship:
            [told] = ship.handler.tick(QUIET)
            assert await ship.checkpointer.save()
        [again] = await self.after(ship)
        assert again.id == told.id
        assert await self.after(ship) == [again]

    async def test_long_after_it_was_told_it_is_not_told_any_more(self):
        async with self.silent() as ship:
            ship.handler.tick(QUIET)
            ship.handler.tick(QUIET + timedelta(minutes=1))
            assert await ship.checkpointer.save()
        assert await self.after(ship) == []

    async def test_the_end_follows_when_the_sender_speaks_again(self):
        async with self.silent() as ship:
            ship.handler.tick(QUIET)
            assert await ship.checkpointer.save()
        async with ship.living():
            back = live(1801)
            await ship.publish([back])
            await turns(100)
        [cleared] = ship.bus.of(AnomalyCleared)
        assert (cleared.detector, cleared.tracking_id) == ("gap", back.tracking_id)


async def snapshot_of(ship):
    await ship.publish(ship.messages)
    async with ship.living():
        await ship.idle()
        assert await ship.checkpointer.save()
    return ship.bus.bucket(BUCKET)


class TestBroken:
    """A snapshot that cannot be read costs a warm-up and one line in the log, never the start."""

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"\xff", "Invalid JSON"),
            (b'{"schema_version": 2}', "schema_version: Input should be 1"),
            (b"{}", "generation: Field required"),
        ],
    )
    async def test_a_manifest_of_another_kind_is_refused(self, data, why):
        ship = Ship(entries()[:50])
        bucket = await snapshot_of(ship)
        await bucket.put(snapshots.MANIFEST, data)
        with capture_logs() as said:
            async with ship.living():
                await turns(100)
        [refusal] = [entry for entry in said if "refused" in entry["event"]]
        assert why in refusal["reason"]

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"\xff", "damaged"),
            (zlib.compress(b"[1]"), "damaged"),
            (zlib.compress(b"x" * 2_000)[:20], "cut off"),
            (
                zlib.compress(json.dumps({'["hot"]': {"seen": "yesterday"}}).encode()),
                "seen: Input should",
            ),
            (None, "part 0 is missing"),
        ],
    )
    async def test_of_a_detector_only_that_one_warms_up(self, data, why):
        ship = Ship(entries())
        bucket = await snapshot_of(ship)
        place = snapshots.key(1, "threshold", 0)
        await (bucket.delete(place) if data is None else bucket.put(place, data))
        with capture_logs() as said:
            async with ship.living():
                await turns(100)
                detectors = {d.name: d for d in ship.handler.detection.detectors}
        [refusal] = [entry for entry in said if "refused" in entry["event"]]
        assert refusal["detector"] == "threshold"
        assert why in refusal["reason"]
        assert detectors["threshold"].snapshot() == {}
        assert detectors["burst"].snapshot() != {}

    def test_a_part_that_unpacks_without_end_is_not_unpacked(self):
        bomb = zlib.compress(b" " * (snapshots.LARGEST + 1))
        with pytest.raises(ValueError, match="too large"):
            snapshots.unpack(bomb)

    async def test_of_another_version_of_the_service_what_is_known_is_restored(self):
        """A detector that does not exist any more, and a message that nobody can tell any more."""
        ship = Ship(entries())
        bucket = await snapshot_of(ship)
        manifest = json.loads(await bucket.get(snapshots.MANIFEST))
        manifest["parts"]["crystal_ball"] = 2
        manifest["emitted"] = [{"id": "x", "subject": "anomaly.foreseen", "message": "{}"}]
        manifest["more"] = "of a later version"
        await bucket.put(snapshots.MANIFEST, json.dumps(manifest).encode())
        before = skipped()
        async with ship.living():
            await turns(100)
            detectors = {d.name: d for d in ship.handler.detection.detectors}
        assert skipped() == before + 2
        assert "anomaly.foreseen" in unreadable.SKIPPED[WHERE].newest
        assert all(detectors[name].snapshot() for name in ("threshold", "burst", "metric"))

    @settings(max_examples=60)
    @given(data=st.data())
    def test_whatever_a_part_says_the_service_starts(self, data):
        name = data.draw(st.sampled_from(sorted(SNAPSHOT)))
        key, state = data.draw(st.sampled_from(sorted(SNAPSHOT[name].items(), key=str)))
        odd = data.draw(st.sampled_from(ODD))
        if isinstance(state, dict) and data.draw(st.booleans()):
            odd = state | {data.draw(st.sampled_from(sorted(state))): odd}
        key = data.draw(st.sampled_from([key, "", "x", "[[]]", "7", "group x", "device 7"]))

        async def start():
            ship = Ship(entries()[:5])
            await ship.publish(ship.messages)
            part = snapshots.pack([snapshots.line({key: odd})])
            bucket = ship.bus.bucket(BUCKET)
            await bucket.put(snapshots.key(1, name, 0), part)
            manifest = Manifest(generation=1, offset=Offset(0, START), parts={name: 1})
            await bucket.put(snapshots.MANIFEST, manifest.model_dump_json().encode())
            async with ship.living():
                await ship.idle()

        asyncio.run(start())

    def test_the_state_of_a_series_with_other_fields_is_refused_not_misread(self):
        packed = MetricSeries().pack()
        data = bytearray(base64.b64decode(packed))
        assert MetricSeries.unpack(packed) == MetricSeries()
        data[0] ^= 1
        with pytest.raises(ValueError, match="another version"):
            MetricSeries.unpack(base64.b64encode(data).decode())


def skipped():
    known = unreadable.SKIPPED.get(WHERE)
    return known.count if known else 0


def snapshot_of_all():
    async def observe():
        detection = Detection(POLICY)
        for message in entries():
            detection.observe(message)
        return {d.name: json.loads(json.dumps(d.snapshot())) for d in detection.detectors}

    return {name: state for name, state in asyncio.run(observe()).items() if state}


SNAPSHOT = snapshot_of_all()
ODD = (None, 7, -1, 1e308, "", "x", [], [[]], {}, {"": None}, "AAAA", True, "2026-13-01T00:00:00Z")


class Flaky:
    """A bus of which the *at*-th answer from now on is that the broker is away."""

    def __init__(self, bus, at):
        self._bus, self._left, self.failed = bus, at, False

    def __getattr__(self, name):
        return getattr(self._bus, name)

    def _may_fail(self):
        self._left -= 1
        if self._left == -1:
            self.failed = True
            raise Unavailable("the broker is away")

    async def newest(self, subject):
        self._may_fail()
        return await self._bus.newest(subject)

    async def offset(self, subjects, *, group):
        self._may_fail()
        return await self._bus.offset(subjects, group=group)

    async def history(self, subjects, *, since):
        async for one in self._bus.history(subjects, since=since):
            self._may_fail()
            yield one
        self._may_fail()

    def bucket(self, name):
        return FlakyBucket(self._bus.bucket(name), self._may_fail)


class FlakyBucket:
    def __init__(self, bucket, may_fail):
        self._bucket, self._may_fail = bucket, may_fail

    async def get(self, key):
        self._may_fail()
        return await self._bucket.get(key)

    async def put(self, key, value):
        self._may_fail()
        await self._bucket.put(key, value)


def state_of(handler):
    known = {d.name: d.snapshot() for d in handler.detection.detectors}
    replayed = {n: [m.tracking_id for m in told] for n, told in handler.replayed.items()}
    rates = next(d for d in handler.detection.detectors if d.name == "rate")
    sizes = rates._size, sum(device.size for device in rates._devices.values())
    return known, replayed, handler.offsets.current, [o.id for o in handler.pending], sizes


class TestInterrupted:
    """A recovery and a snapshot that break off anywhere, and are done again."""

    async def before(self):
        messages = entries()[:140]
        ship = Ship(messages)
        await ship.publish(messages[:80])
        async with ship.living():
            await turns(120)
            assert await ship.checkpointer.save()
            await ship.publish(messages[80:120])
            while ship.handler.offsets.current.sequence < 100:  # handled, and not acknowledged
                await asyncio.sleep(0)
        await ship.publish(messages[120:])
        return ship

    async def test_a_recovery_that_breaks_off_at_any_await_ends_as_an_undisturbed_one(self):
        ship = await self.before()
        calm = checkpointer_of(ship.bus)
        await calm.recover(ship.bus)
        expected = state_of(calm.handler)
        assert expected[1]  # some were not settled
        at = 0
        while True:
            flaky = Flaky(ship.bus, at)
            checkpointer = checkpointer_of(flaky)
            for _ in range(2):
                with contextlib.suppress(Unavailable):
                    await checkpointer.recover(flaky)
                    break
            assert state_of(checkpointer.handler) == expected, at
            if not flaky.failed:
                break
            at += 1
        assert at > 30

    async def test_killed_between_any_two_writes_of_a_snapshot_it_goes_on_undisturbed(self):
        messages = entries()
        expected = await undisturbed(messages)
        at, failed = 0, True
        while failed:
            ship = Ship(messages)
            await ship.publish(messages[:150])
            async with ship.living():
                await turns(90)
                assert await ship.checkpointer.save()
            await ship.publish(messages[150:])
            async with ship.living():
                await turns(40)
                flaky = Flaky(ship.bus, at)
                ship.checkpointer._store = SnapshotStore(flaky)
                with contextlib.suppress(Unavailable):
                    await ship.checkpointer.save()
            failed = flaky.failed
            async with ship.living():
                await ship.idle()
            assert ship.told == expected, at
            at += 1
        assert at > 5

    async def test_replayed_messages_are_kept_until_their_entries_are_acknowledged(self):
        ship = await self.before()
        async with ship.living():
            replayed = ship.handler.replayed
            await turns(5)
            assert replayed
            await ship.idle()
            assert await ship.checkpointer.save()
            assert not replayed


class TestSnapshot:
    def detector(self, devices=500):
        made = ThresholdDetector(POLICY.thresholds, 1000)
        for n in range(devices):
            made.observe(sample(95, host=f"d{n}"))
        return made

    def test_it_shows_the_moment_when_it_was_asked_for(self):
        detector = self.detector()
        then = detector.snapshot()
        parts, seen = detector.parts(), {}
        for n, part in enumerate(parts):
            seen |= part
            for device in range(0, 600, 7):  # known ones, and new ones
                detector.observe(sample(20, n=5 + n, host=f"d{device}"))
        assert seen == then != detector.snapshot()

    def test_a_part_is_small(self):
        assert max(map(len, list(self.detector().parts())[:-1])) <= PART

    def test_who_looks_at_all_of_it_sees_no_change_either(self):
        detector = self.detector(5)
        then, parts = detector.snapshot(), detector.parts()
        for _key, series in list(detector.state.items()):
            series.since = None
        assert {key: value for part in parts for key, value in part.items()} == then

    async def test_every_detectors_parts_are_its_snapshot_while_entries_go_on(self):
        detection, messages = Detection(POLICY), entries()
        for message in messages[:300]:
            detection.observe(message)
        then = {d.name: d.snapshot() for d in detection.detectors}
        parts = {d.name: d.parts() for d in detection.detectors}
        for message in messages[300:]:
            detection.observe(message)
        for name, of_one in parts.items():
            assert {key: one for part in of_one for key, one in part.items()} == then[name], name
        now = {d.name: d.snapshot() for d in detection.detectors}
        assert sum(now[name] != then[name] for name in now) >= 5


class TestOffsets:
    NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def place(self, sequence, seconds=0):
        return Offset(sequence, self.NOW + seconds * SECOND)

    def handle(self, offsets, place, now, *, redelivered=False):
        offsets.receive(place, now, redelivered=redelivered)
        if offsets.knows(place):
            return False
        offsets.observe(place, redelivered=redelivered)
        return True

    def test_what_comes_again_is_known_and_what_comes_late_is_not(self):
        offsets = OffsetTracker(self.NOW)
        offsets.restore(self.place(5))
        order = (5, 7, 6, 7, 6)
        assert [self.handle(offsets, self.place(n), self.NOW) for n in order] == [
            False,
            True,
            True,
            False,
            False,
        ]

    def test_a_stream_that_was_made_anew_is_not_known(self):
        offsets = OffsetTracker(self.NOW)
        offsets.restore(self.place(1000))
        assert self.handle(offsets, self.place(1, seconds=60), self.NOW + 60 * SECOND)

    def test_while_it_reads_what_came_long_ago_time_has_not_come_further(self):
        offsets, now = OffsetTracker(self.NOW), self.NOW + 600 * SECOND
        self.handle(offsets, self.place(1), now)
        assert offsets.time(now) == self.NOW
        self.handle(offsets, self.place(2, seconds=599), now)
        assert offsets.time(now) == now

    def test_when_nothing_more_comes_time_goes_on(self):
        offsets, now = OffsetTracker(self.NOW), self.NOW + 600 * SECOND
        self.handle(offsets, self.place(1), now)
        assert offsets.time(now + 10 * SECOND) == now + 10 * SECOND

    def test_the_brokers_clock_is_set_back_and_the_place_goes_on(self):
        """Otherwise no snapshot counts until it has caught up."""
        offsets = OffsetTracker(self.NOW)
        for sequence, seconds in ((1, 0), (2, 10), (3, -1800), (4, -1790)):
            assert self.handle(offsets, self.place(sequence, seconds), self.NOW)
        assert offsets.current == self.place(4, -1790)
        assert not self.handle(offsets, self.place(2, 10), self.NOW, redelivered=True)

    def test_after_a_start_what_came_before_the_clock_was_set_back_is_known(self):
        offsets = OffsetTracker(self.NOW)
        offsets.restore(self.place(4, -1790), latest=self.NOW + 10 * SECOND)
        assert not self.handle(offsets, self.place(2, 10), self.NOW, redelivered=True)
        assert self.handle(offsets, self.place(5, -1780), self.NOW)

    def test_a_stream_that_is_made_anew_while_it_lives_counts_from_the_beginning(self):
        offsets = OffsetTracker(self.NOW)
        for sequence in range(1, 9):
            self.handle(offsets, self.place(sequence, sequence), self.NOW)
        for sequence in range(1, 4):
            assert self.handle(offsets, self.place(sequence, 60 + sequence), self.NOW)
        assert offsets.current == self.place(3, 63)

    def test_a_message_that_was_put_off_is_no_sign_of_being_late(self):
        offsets, now = OffsetTracker(self.NOW), self.NOW + 600 * SECOND
        self.handle(offsets, self.place(2, seconds=600), now)
        self.handle(offsets, self.place(1), now, redelivered=True)
        assert offsets.time(now) == now
