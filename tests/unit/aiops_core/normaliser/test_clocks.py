"""Which times are believed, of files and of live senders."""

from datetime import UTC, datetime, timedelta

import pytest

from aiops_core.normaliser.clocks import STATED
from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.normaliser import learn, normalise
from aiops_core.normaliser.parsed import ParsedLine

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def in_file(*lines: str) -> list[ParsedLine]:
    context = learn(lines[:64], NOW)
    return [normalise(line, NOW, context) for line in lines]


def live(*lines: str, every: float = 60) -> list[ParsedLine]:
    context = SenderContext()
    arrivals = [NOW + timedelta(seconds=every * n) for n in range(len(lines))]
    return [normalise(line, at, context) for line, at in zip(lines, arrivals, strict=True)]


def wrong(lines: list[ParsedLine]) -> list[bool]:
    return [STATED in line.labels for line in lines]


def test_a_file_of_one_past_is_old() -> None:
    assert (
        wrong(in_file("Jan  1 00:00:10 sw-1 app: a", "Jan  1 00:10:10 sw-1 app: b")) == [False] * 2
    )
    assert (
        wrong(in_file("Mar  1 00:00:10 sw-1 app: a", "Mar  1 02:10:10 sw-1 app: b")) == [False] * 2
    )
    old = in_file("2015-03-01 00:00:10 a", "2015-03-01 00:00:11 b")
    assert [line.ts and line.ts.year for line in old] == [2015, 2015]


def test_the_other_lines_say_now() -> None:
    lines = in_file(
        "Jan  1 00:00:10 rb-1 system: started",
        "Jan  1 00:00:30 rb-1 interface: ether1 link down",
        "Nov 30 11:50:00 sw-1 app: fine",
        "Jan  1 00:01:30 rb-1 interface: ether1 link up",
        "Nov 30 11:51:00 rb-1 ntp: clock is set",
    )
    assert wrong(lines) == [True, True, False, True, False]
    assert lines[3].ts == datetime(2026, 11, 30, 11, 50, tzinfo=UTC)  # of its neighbour
    assert lines[3].labels[STATED].startswith("2026-01-01T00:01:30")


def test_a_live_sender_that_boots() -> None:
    lines = live(
        "<13>Mar  1 00:00:10 sw-1 app: a",
        "<13>Mar  1 03:00:10 sw-1 app: still the same clock",
        "<13>Nov 30 12:02:00 sw-1 app: set",
        "<13>Nov 30 12:03:00 sw-1 app: right",
    )
    assert wrong(lines) == [True, True, False, False]
    assert [line.ts for line in lines[:2]] == [None, None]


@pytest.mark.parametrize(
    ("stated", "is_wrong"),
    [
        ("1970-01-01T00:01:00Z", True),
        ("1970-02-11T00:01:00Z", True),
        ("1980-01-06T00:00:19Z", True),
        ("1993-03-01T00:00:19Z", True),
        ("1999-08-22T00:05:00Z", True),
        ("2000-01-01T03:00:00Z", True),
        ("2000-01-09T03:00:00Z", True),
        ("2000-02-09T03:00:00Z", False),
        ("2007-04-16T11:58:00Z", True),
        ("1987-08-31T12:00:00Z", True),
        ("2007-04-12T11:58:00Z", False),
        ("2026-11-30T12:04:50Z", False),
        ("2026-11-30T12:05:10Z", True),
        ("2026-12-24T12:00:00Z", True),
        ("2026-11-29T12:00:00Z", False),
        ("2025-11-29T12:00:00Z", False),
    ],
)
def test_a_time_by_itself(stated: str, is_wrong: bool) -> None:
    line = live(f"<13>1 {stated} gps-1 app 1 - - x")[0]
    assert (STATED in line.labels) is is_wrong
    assert (line.ts is None) is is_wrong


def test_a_star_of_cisco_makes_an_odd_time_wrong() -> None:
    assert wrong(in_file("<189>12: *Mar  3 04:00:20.123: %SYS-5-RESTART: System restarted --")) == [
        True
    ]
    assert wrong(in_file("<189>12: *Nov 30 11:00:20.123: %SYS-5-RESTART: System restarted --")) == [
        False
    ]


def test_no_more_devices_are_remembered_than_may() -> None:
    context = SenderContext()
    for n in range(50):
        normalise(f"<13>1 1970-01-01T00:00:01Z gps-{n} app 1 - - x", NOW, context)
    assert len(context.clocks) <= 6
