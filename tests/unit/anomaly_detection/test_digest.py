"""What of the findings that nobody can name opens an incident, and what is digested."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_core.models import AnomalyDetected, AnomalyDigested
from anomaly_detection.detection import Detection
from anomaly_detection.digest import DEVICES_KEPT
from anomaly_detection.packs import Packs
from anomaly_detection.policy import DetectPolicy
from tests.conftest import ROOT, line

WHOLE = DetectPolicy.load(ROOT / "policies")
FEW = ("generic-programs", "generic-network", "apache", "linux-auth", "generic-system")
POLICY = WHOLE.using(Packs.of([one for one in WHOLE.packs.loaded if one.pack.id in FEW]))
MINUTE, HOUR, DAY = 60, 3600, 86_400
OFF = "flux capacitor is off"
# Messages of which no two have a template in common.
STRANGE = [
    "flux capacitor is off",
    "cannot open the cargo manifest: permission denied",
    "inode table inconsistent",
    "checksum of frame wrong",
    "no route for parcel",
    "lamp driver stuck",
    "valve map has a hole",
    "unknown opcode in packet from shore office",
]


class Ship:
    """Lines in, one verdict each out."""

    def __init__(self, policy=POLICY):
        self.detection = Detection(policy)
        self.lines = 0

    def says(self, msg=OFF, at=0, device="srv-1", **fields):
        """The message about the one finding of a line."""
        self.lines += 1
        given = {"level": "error", "tracking_id": f"t{self.lines}", "host": device} | fields
        (found,) = self.detection.on_line(line(msg, n=at, **given))
        return found

    def opens(self, *args, **fields):
        return isinstance(self.says(*args, **fields), AnomalyDetected)


def policy(**changes):
    """The policy in force with other numbers of the digest."""
    rules = POLICY.digest.model_copy(update=changes)
    return POLICY.model_copy(update={"digest": rules}).using(POLICY.packs)


class TestNew:
    def test_the_first_of_its_kind_on_a_device_opens_at_once(self):
        found = Ship().says()
        assert isinstance(found, AnomalyDetected)
        assert found.reason.endswith("It is the first of its kind on this device.")

    def test_what_is_known_on_its_device_is_digested_and_says_since_when(self):
        ship = Ship()
        for n in range(3):
            ship.says(at=n * HOUR)
        found = ship.says(at=2 * HOUR + 200)
        assert isinstance(found, AnomalyDigested)
        assert found.reason == "Known here: 3 times since 01 Jun 2026, last 3 min 20 s before."
        assert (found.device, found.service, found.severity) == ("srv-1", "app", "medium")
        assert (found.msg, found.template, found.anomaly_type) == (OFF, OFF, "log_error")

    def test_it_has_the_id_that_the_anomaly_would_have(self):
        ship = Ship()
        first, second = ship.says(tracking_id="a"), ship.says(tracking_id="b")
        known = AnomalyDetected.model_validate(first.model_dump() | {"tracking_id": "b"})
        assert second.anomaly_id == known.anomaly_id

    def test_other_devices_and_other_messages_are_new(self):
        ship = Ship()
        assert ship.opens() and ship.opens(device="srv-2") and ship.opens(STRANGE[1])

    def test_a_message_that_is_common_on_the_ship_is_no_news_on_one_more_device(self):
        ship = Ship()
        opened = [ship.opens(at=n * HOUR, device=f"ap-{n}") for n in range(6)]
        assert opened == [True] * 3 + [False] * 3
        assert ship.says(at=DAY, device="ap-9").reason == (
            "New here, and known on 6 other devices of this ship."
        )

    def test_a_flood_of_new_messages_opens_few_incidents_of_a_device_in_an_hour(self):
        ship = Ship()
        opened = [ship.opens(text, at=n) for n, text in enumerate(STRANGE)]
        assert opened == [True] * 5 + [False] * 3
        assert ship.says("a ninth thing went wrong here", at=9).reason == (
            "New here, as were 5 other messages within an hour."
        )
        assert ship.opens(STRANGE[0], at=9, device="srv-2"), "each device has a flood of its own"
        assert ship.opens("a tenth thing is amiss today", at=2 * HOUR)


class TestBurst:
    def test_many_in_minutes_open_once(self):
        ship = Ship()
        opened = [ship.opens(at=n) for n in range(40)]
        assert [n for n, opens in enumerate(opened) if opens] == [0, 19]

    def test_the_reason_says_how_many(self):
        ship = Ship()
        found = [ship.says(at=n) for n in range(20)][-1]
        assert found.reason.endswith("It came 20 times in 19 s, before none.")

    def test_what_comes_often_every_day_is_its_habit(self):
        ship = Ship()
        for day in range(3):
            opened = [ship.opens(at=day * DAY + n) for n in range(30)]
        assert not any(opened)

    def test_it_must_be_four_times_more_than_ever(self):
        ship = Ship()
        for n in range(30):
            ship.says(at=n)
        opened = [ship.opens(at=DAY + n) for n in range(130)]
        assert [n + 1 for n, opens in enumerate(opened) if opens] == [
            round(30 * 4 * 0.5 ** (1 / 7))
        ]

    def test_a_steady_trickle_is_none(self):
        ship = Ship()
        assert not any(ship.opens(at=n * MINUTE) for n in range(200) if n or not ship.says())


class TestSpread:
    def known(self, ship, devices=6):
        for n in range(devices):
            ship.says(at=n * HOUR, device=f"ap-{n}")

    def test_three_devices_within_minutes_open_and_so_does_each_one_that_follows(self):
        ship = Ship()
        self.known(ship)
        opened = [ship.opens(at=DAY + n, device=f"ap-{n % 6}") for n in range(12)]
        assert opened == [False] * 2 + [True] * 4 + [True] * 2 + [False] * 4

    def test_the_reason_says_how_many_devices(self):
        ship = Ship()
        self.known(ship)
        found = [ship.says(at=DAY + n, device=f"ap-{n}") for n in range(3)][-1]
        assert found.reason.endswith("3 devices said the same within 5 min 0 s.")

    def test_devices_that_have_never_said_it_spread_as_well(self):
        ship = Ship()
        self.known(ship)
        opened = [ship.opens(at=DAY + n, device=f"new-{n}") for n in range(5)]
        assert opened == [False, False, True, True, True]

    def test_what_all_devices_say_each_hour_spreads_once(self):
        ship = Ship()
        opened = [ship.opens(at=n // 6 * HOUR + n, device=f"ap-{n % 6}") for n in range(60)]
        assert opened == [True] * 6 + [False] * 54


class TestReturn:
    def test_after_a_long_silence_it_is_news_again(self):
        ship = Ship()
        for n in range(5):
            ship.says(at=n * HOUR)
        assert not ship.opens(at=4 * HOUR + 6 * DAY)
        found = ship.says(at=30 * DAY)
        assert found.reason.endswith(
            "It comes back after 23 days; before, every 29 h 36 min on average."
        )

    def test_seen_once_and_long_ago_is_news_again(self):
        ship = Ship()
        ship.says()
        assert ship.says(at=8 * DAY).reason.endswith("It comes back after 8 days.")

    def test_what_comes_weekly_is_no_return(self):
        ship = Ship()
        opened = [ship.opens(at=n * 8 * DAY) for n in range(6)]
        assert opened == [True, True, False, False, False, False]


class TestWhichFindings:
    @pytest.mark.parametrize(
        ("msg", "fields"),
        [
            ("mod_jk child workerEnv in error state 6", {"service": "apache"}),  # of a maker's pack
            ("Default gateway unreachable", {"level": "warning"}),  # what can be named
            ("Invalid user webmaster from 173.234.31.186", {"service": "sshd"}),
            ("Out of memory: Killed process 812 (java)", {"service": "kernel"}),
        ],
    )
    def test_what_has_a_name_always_opens(self, msg, fields):
        ship = Ship()
        assert all(ship.opens(msg, at=n * HOUR, **fields) for n in range(5))

    def test_a_generic_rule_about_no_known_program_is_digested(self):
        ship, said = Ship(), {"msg": "upstream timed out while reading response", "service": "x"}
        assert ship.opens(**said) and not ship.opens(**said)

    def test_an_unusual_line_is_digested_unless_it_is_at_least_a_warning(self):
        templates = POLICY.templates
        new = templates.new.model_copy(update={"warm_up": timedelta(seconds=5)})
        changed = {"templates": templates.model_copy(update={"new": new})}
        ship = Ship(POLICY.model_copy(update=changed).using(POLICY.packs))
        for n in range(10):
            ship.detection.on_line(line("all is well", n=n, tracking_id=f"w{n}"))
        odd = ship.says("somebody sang in the engine room", at=11, host="srv-1", level="info")
        assert isinstance(odd, AnomalyDigested) and odd.reason == "Unusual, and no error."
        assert ship.opens("the whales answer", at=12, host="srv-1", level="warning")


class TestSensitivity:
    @pytest.mark.parametrize(
        ("sensitivity", "burst", "spread"), [("low", 39, 6), ("normal", 19, 3), ("high", 9, 2)]
    )
    def test_it_scales_the_numbers(self, sensitivity, burst, spread):
        ship = Ship(policy(sensitivity=sensitivity, common=1))
        opened = [ship.opens(at=n) for n in range(60)]
        assert [n for n, opens in enumerate(opened) if opens][:2] == [0, burst]
        opened = [ship.opens(STRANGE[1], at=n, device=f"ap-{n}") for n in range(8)]
        assert opened.index(True, 1) + 1 == (spread if spread > 1 else 2)

    def test_every_number_is_doubled_or_halved(self):
        low, high = (policy(sensitivity=one).digest.scaled for one in ("low", "high"))
        assert (low.new_per_hour, high.new_per_hour) == (2, 10)
        assert (low.back.silence, high.back.silence) == (timedelta(days=14), timedelta(days=3.5))
        assert (low.burst.factor, high.burst.factor) == (7, 2.5)


class TestState:
    def test_the_same_line_again_gets_the_same_answer(self):
        ship = Ship()
        told = [type(ship.says(at=n // 2, tracking_id=f"x{n // 2}")) for n in range(80)]
        assert told[::2] == told[1::2]
        assert [n for n, one in enumerate(told[::2]) if one is AnomalyDetected] == [0, 19]

    def test_a_clock_that_is_set_back_stops_nothing(self):
        ship = Ship()
        ship.says(at=30 * DAY)
        opened = [ship.opens(at=n) for n in range(25)]
        assert [n for n, opens in enumerate(opened) if opens] == [19]

    def test_ever_new_names_and_texts_stay_within_bounds(self):
        small = POLICY.model_copy(update={"series_kept": 50}).using(POLICY.packs)
        ship = Ship(small)
        for n in range(300):
            ship.says(f"{'abcdefghij'[n % 10] * 5} {n}x trouble", at=n, device=f"d{n % 90}" * 60)
        for memory in ship.detection.digest.memories:
            assert len(memory.state) <= 50
            values = [item[1] for item in memory.state.items()]
            assert max(len(getattr(one, "devices", ())) for one in values) <= DEVICES_KEPT
            most = POLICY.digest.new_per_hour
            assert max(len(getattr(one, "opened", ())) for one in values) <= most

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.floats(0, 3e5)), max_size=60),
        st.integers(0, 60),
    )
    def test_a_kill_at_any_line_changes_nothing(self, said, killed):
        """Snapshots of everything that is remembered, restored into a new process."""
        bare = POLICY.using(Packs())
        whole, cut = Ship(bare), Ship(bare)
        for n, (text, device, _) in enumerate(said):
            if n == killed:
                cut.detection = restarted(cut.detection, bare)
            at = {"at": sum(one[2] for one in said[: n + 1]), "device": f"d{device}"}
            one, other = (ship.says(STRANGE[text], **at) for ship in (whole, cut))
            assert one == other


def restarted(detection, policy):
    """A new process with the state of *detection*."""
    after = Detection(policy)
    remembering = (*detection.detectors, *detection.digest.memories)
    for before, now in zip(remembering, (*after.detectors, *after.digest.memories), strict=True):
        state = {key: value for part in before.parts() for key, value in part.items()}
        now.restore(state)
    return after
