"""The way of one anomaly through the files of the service, as a reader follows it from call to
call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import correlation_service
from correlation_service.correlator import Correlator
from tests.correlation_cases import POLICY, anomaly

HOME = str(Path(correlation_service.__file__).parent)
LEVELS = 4  # of calls: handle, decide or evolve, its steps, and what those call


def way(act: Callable[[], object]) -> list[str]:
    """The files that calls lead through, in order; a caller counts again when it calls again."""
    files: list[str] = []
    depth = 0

    def watch(frame, event, _):
        nonlocal depth
        if not frame.f_code.co_filename.startswith(HOME):
            return
        depth += {"call": 1, "return": -1}.get(event, 0)
        if event == "call" and depth <= LEVELS:
            for one in (frame.f_back, frame):
                name = one.f_code.co_filename
                if name.startswith(HOME) and files[-1:] != [Path(name).stem]:
                    files.append(Path(name).stem)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        act()
    finally:
        sys.setprofile(before)
    return files


@pytest.mark.parametrize("known", [0, 1, 2], ids=["opens", "joins", "repeats"])
def test_an_anomaly_returns_to_a_file_at_most_three_times(known):
    correlator = Correlator(POLICY)
    history = [anomaly(1, "sw-1", "link_down"), anomaly(2, "srv-1"), anomaly(3, "srv-1")]
    for one in history[:known]:
        correlator.handle(one)
    files = way(lambda: correlator.handle(history[known]))
    assert len(files) - len(set(files)) <= 3, " -> ".join(files)
