"""How much correlation remembers: bounded, small, and complete where it must be."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from aiops_core.models import EnrichedAnomaly
from correlation_service.correlator import Correlator
from correlation_service.kept import TOGETHER, Kept
from correlation_service.policy import CorrelatePolicy
from tests.conftest import NOON, ROOT
from tests.incident_cases import evidence

SIZES = (0, 1, TOGETHER - 1, TOGETHER, 3 * TOGETHER + 1)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_kept_comes_back_equal_and_in_order(size):
    members = [evidence(n, msg=f"line\n{n}", reason="ü") for n in range(size)]
    kept = Kept(members)
    assert (len(kept), list(kept)) == (size, members)


@pytest.mark.parametrize("place", [0, TOGETHER, 2 * TOGETHER + 3])
def test_newer_knowledge_of_a_member_takes_the_place_of_the_older(place):
    members = [evidence(n) for n in range(2 * TOGETHER + 5)]
    kept = Kept(members)
    newer = members[place].model_copy(update={"moved_from": "i9"})
    assert kept.replace(newer)
    members[place] = newer
    assert list(kept) == members


def test_a_member_that_is_not_there_replaces_none_not_even_what_repeats_it():
    first = evidence(0)
    kept = Kept([evidence(1, duplicate_of=first.anomaly_id)])
    assert not kept.replace(first)
    assert len(kept) == 1


def anomaly(window: int, problem: int) -> EnrichedAnomaly:
    device, at = f"device-{window:05}", NOON + timedelta(milliseconds=window)
    return EnrichedAnomaly.model_validate(
        {
            "tracking_id": f"{device}-{problem}",
            "ship_id": "s1",
            "ts": at,
            "stages": {"ingest": at, "detect": at, "enrich": at},
            "domain": "app",
            "anomaly_type": "link_down",
            "service": "app",
            "device_id": device,
            "host": device,
            "detector": "pattern",
            "score": 0.7,
            "severity": "medium",
            "msg": f"part {chr(97 + problem)} of it went wrong " + "x" * 80,
        }
    )


def test_ten_problems_each_in_many_windows_take_less_than_a_hundredth_of_a_megabyte_each(
    policies: Path,
):
    """10,000 windows with 100,000 fingerprints must fit into 300 MB; here a fortieth of that."""
    correlator = Correlator(CorrelatePolicy.load(ROOT / "policies"))
    tracemalloc.start()
    try:
        for problem in range(10):
            for window in range(250):
                correlator.handle(anomaly(window, problem))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(correlator.windows) == 250
    assert used / 250 < 25_000  # bytes a window with its ten problems, of 30,000 there are
