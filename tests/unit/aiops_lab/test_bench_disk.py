"""What a bench says of the disk beside it, and which ways met a stall."""

from __future__ import annotations

import io
import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from aiops_lab.bench.disk import DiskWatch, Sync, watching
from aiops_lab.bench.measure import END_TO_END, Percentiles, by_stage
from aiops_lab.bench.report import accounts, latencies, stalls
from aiops_lab.bench.run import Limit, Outcome

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(ms: float) -> datetime:
    return NOON + timedelta(milliseconds=ms)


def sync(start: float, end: float) -> Sync:
    return Sync(after(start), after(end))


WATCH = DiskWatch([sync(0, 1), sync(21, 71), sync(1000, 1300), sync(1320, 1321)])
BEFORE, INTO, WITHIN, ACROSS, BEHIND = (
    (after(a), after(b))
    for a, b in ((860, 939), (900, 990), (1100, 1150), (900, 1400), (1301, 1350))
)


def test_a_stall_is_a_sync_of_more_than_fifty_milliseconds() -> None:
    assert WATCH.stalls == [sync(1000, 1300)]
    assert (WATCH.latency.p50, WATCH.latency.worst) == (1.0, 300.0)


def test_calm_are_the_ways_that_met_no_stall() -> None:
    assert WATCH.calm([BEFORE, INTO, WITHIN, ACROSS, BEHIND]) == [BEFORE, BEHIND]
    assert DiskWatch().calm([ACROSS]) == [ACROSS]


def test_the_disk_is_watched_while_the_body_runs_and_nothing_is_left(tmp_path: Path) -> None:
    with watching(tmp_path) as watch:
        deadline = time.monotonic() + 20
        while len(watch.syncs) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(watch.syncs) >= 3
    assert all(sync.seconds > 0 for sync in watch.syncs)
    assert list(tmp_path.iterdir()) == []


def outcome(*ways: tuple[datetime, datetime]) -> Outcome:
    calm = by_stage(WATCH.calm(ways), ("ingest", "store"))[END_TO_END]
    stages = by_stage(ways, ("ingest", "store"))
    return Outcome(
        stages, calm, WATCH.latency, 1, 0.3, 1.0, 1.0, 1.24, len(ways), len(ways), 0, 0, {}
    )


def said(found: Outcome) -> str:
    limit = Limit(Percentiles.of([10.0]), 1.0)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(latencies("load", found, limit), stalls(found), accounts(found, limit))
    return console.export_text()


def test_the_report_says_what_stalls_cost() -> None:
    text = said(outcome(BEFORE, ACROSS))
    assert "stalled 1 times for more than 50 ms, 0.3 s in all; 1 met one of them" in text
    assert "0 lost, 0 doubled\nall in ClickHouse 1.2 s after the last line" in text
    row = next(line for line in text.splitlines() if "without stalls" in line)
    assert "79.0" in row and "500.0" not in row


def test_without_a_stall_or_without_a_calm_way_there_is_no_such_row() -> None:
    assert "without stalls" not in said(replace(outcome(BEFORE), stalls=0))
    stalled = outcome(ACROSS)
    assert math.isnan(stalled.calm.p99)
    assert "without stalls" not in said(stalled)
