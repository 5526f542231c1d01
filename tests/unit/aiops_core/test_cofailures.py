"""Who needs whom, learned from time; and what must never make an edge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from aiops_core.inventory.cofailures import CROWD, CofailureRules, Trouble, learned
from aiops_core.inventory.policy import LearningPolicy
from aiops_core.inventory.suggestions import EdgeFinding, EdgeKey
from tests.conftest import ROOT

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = CofailureRules()
HOUR = 3600.0


def trouble(device: str, at: float, family: str = "link_down") -> Trouble:
    return Trouble(device, family, NOON + timedelta(seconds=at))


def edges(*troubles: Trouble, rules: CofailureRules = RULES) -> dict[EdgeKey, EdgeFinding]:
    return learned(troubles, rules)


def failures(upper: str, *below: str, times: int, every: float = HOUR, start: float = 0.0):
    """*upper* fails *times* times, those below it a moment later, each after the one before."""
    for n in range(times):
        for place, device in enumerate((upper, *below)):
            yield trouble(device, start + n * every + 2 * place)


def alone(device: str, times: int, start: float = HOUR / 2) -> Iterator[Trouble]:
    return (trouble(device, start + n * HOUR) for n in range(times))


def test_who_fails_after_another_and_also_alone_needs_it() -> None:
    [(key, finding)] = edges(*failures("sw", "ap", times=9), *alone("ap", 3)).items()
    assert key == ("ap", "sw")
    assert finding.confidence > 0.9
    assert finding.evidence[0] == "they failed together 9 times of 9, within 2 s"
    assert finding.last_seen - finding.first_seen == timedelta(hours=8)


def test_the_more_often_it_was_seen_the_surer_it_is() -> None:
    sure = [
        edges(*failures("sw", "ap", times=n))[EdgeKey("ap", "sw")].confidence for n in (4, 6, 9)
    ]
    assert sure == sorted(sure)
    assert sure[0] < 0.8


def test_without_an_order_there_is_no_direction_to_be_sure_of() -> None:
    troubles = [*failures("a", "b", times=4), *failures("b", "a", times=4, start=1800.0)]
    assert all(finding.confidence < 0.5 for finding in edges(*troubles).values())


def test_what_fails_without_the_other_is_not_what_the_other_needs() -> None:
    usual = edges(*failures("sw", "ap", times=6))
    often = edges(*failures("sw", "ap", times=6), *alone("sw", 6))
    key = EdgeKey("ap", "sw")
    assert key not in often or often[key].confidence < usual[key].confidence


def test_an_indirect_dependency_is_left_out_where_a_direct_one_explains_it() -> None:
    troubles = [*failures("core", "sw", "ap", times=6), *failures("sw", "ap", times=4, start=900)]
    found = edges(*troubles)
    assert set(found) == {("sw", "core"), ("ap", "sw")}


def test_devices_that_suffer_from_the_same_need_what_all_of_them_need() -> None:
    rng, troubles = Random(1), list[Trouble]()
    for n in range(8):
        below = rng.sample(("ap-1", "ap-2", "ap-3", "ap-4"), 4)
        troubles += failures("sw", *below, times=1, start=n * HOUR)
    assert {key: f.confidence >= 0.8 for key, f in edges(*troubles).items()} == {
        (f"ap-{n}", "sw"): True for n in (1, 2, 3, 4)
    }


def test_one_storm_makes_no_edge_however_long_it_is() -> None:
    storm = failures("gw", "plc", "pump", times=200, every=25.0)
    assert not edges(*storm)


def test_two_storms_make_none_either() -> None:
    storms = [failures("gw", "plc", times=200, every=25.0, start=at) for at in (0.0, 20_000.0)]
    assert not edges(*(one for storm in storms for one in storm))


def test_what_begins_everywhere_at_once_counts_for_nothing() -> None:
    """A restart of the platform, or of a relay behind which all devices are."""
    rng = Random(2)
    restarts = [
        trouble(f"d{n}", day * 24 * HOUR + rng.uniform(0, 10))
        for day in range(9)
        for n in range(20)
    ]
    assert not edges(*restarts)


def test_a_large_crowd_counts_for_nothing_on_a_larger_ship() -> None:
    many = [trouble(f"d{n}", day * HOUR + n / 100) for day in range(5) for n in range(CROWD + 1)]
    others = [trouble(f"o{n}", 1800.0 + n * 60) for n in range(CROWD)]
    assert not edges(*many, *others)


@pytest.mark.parametrize(
    "kind",
    ["credential_attack", "auth_failure", "security_event", "ssh_brute_force", "sender_lost"],
)
def test_attacks_and_silence_say_nothing_about_what_a_device_needs(kind: str) -> None:
    assert LearningPolicy.load(ROOT / "policies").family_of(kind) is None


def test_kinds_of_one_family_are_one() -> None:
    family_of = LearningPolicy.load(ROOT / "policies").family_of
    assert family_of("disk_full") == family_of("storage_error") == "storage"
    assert family_of("link_down") == "link_down"


@pytest.mark.parametrize("seed", range(50))
def test_independent_devices_make_no_edge_to_rely_on(seed: int) -> None:
    rng = Random(f"independent:{seed}")
    troubles = [trouble(f"d{rng.randrange(40)}", rng.uniform(0, 24 * HOUR)) for _ in range(800)]
    assert all(finding.confidence < 0.8 for finding in edges(*troubles).values())


@pytest.mark.parametrize("seed", range(20))
def test_hours_in_which_everything_goes_wrong_make_no_edge_to_rely_on(seed: int) -> None:
    """Of eight hours of work on board each has a tenth of all troubles."""
    rng = Random(f"busy:{seed}")
    busy = [rng.randrange(24) * HOUR for _ in range(8)]
    troubles = [
        trouble(f"d{rng.randrange(30)}", rng.choice(busy) + rng.uniform(0, HOUR))
        for _ in range(400)
    ]
    assert all(finding.confidence < 0.8 for finding in edges(*troubles).values())


def test_the_order_in_which_troubles_are_read_makes_no_difference() -> None:
    troubles = [*failures("core", "sw", "ap", times=5), *alone("ap", 3)]
    mixed = Random(3).sample(troubles, len(troubles))
    assert edges(*mixed) == edges(*troubles, *troubles)


def test_of_nothing_comes_nothing() -> None:
    assert not edges()
    assert not edges(trouble("a", 0.0))
