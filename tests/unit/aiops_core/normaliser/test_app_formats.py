"""Whatever is within a line: it is read or left as it is, bounded, and without an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.models import Level
from aiops_core.normaliser import json_lines, stated_levels, stated_times
from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.json_fields import ROLES, SEMANTIC
from aiops_core.normaliser.normaliser import normalise
from aiops_core.normaliser.parsed import ParsedLine
from tests.unit.aiops_core.normaliser.test_cases import ROWS, told

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LINES = [line for _, row in ROWS for line, _ in told(row)]
NAMES = sorted({*json_lines.SIGNATURES, *ROLES, *SEMANTIC})
INNER = ["System", "Provider", "Name", "attributes", "new_state", "state", "stringValue", "values"]


def objects() -> st.SearchStrategy[dict[str, object]]:
    simple = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    texts = st.sampled_from(["error", "2026-11-30", '{"a":', "{}", "1796039940", "-", "{x}"])
    values = st.recursive(
        simple | texts,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*INNER, *NAMES]), inner, max_size=4)
        ),
        max_leaves=6,
    )
    return st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), values, max_size=8)


def read(line: str) -> ParsedLine:
    parsed = normalise(line, NOW, SenderContext())
    assert isinstance(parsed.level, Level)
    assert len(parsed.labels) <= 64
    for name, text in parsed.labels.items():
        assert isinstance(name, str)
        assert isinstance(text, str)
        assert len(text) <= 1024
    for text in (parsed.msg, parsed.host or "", parsed.service or "", parsed.device_id or ""):
        assert isinstance(text, str)
    return parsed


@given(fields=objects())
def test_any_object_is_read(fields: dict[str, object]):
    read(json.dumps(fields))


@given(
    line=st.sampled_from(LINES), at=st.floats(0, 1), other=st.sampled_from(LINES), cut=st.booleans()
)
def test_any_part_of_a_line_is_read(line: str, at: float, other: str, cut: bool):
    head = line[: int(len(line) * at)]
    read(head if cut else head + other)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-30 12:59:00 CET x", "2026-11-30T11:59:00"),
        ("2026-11-30 06:59:00,5 EST x", "2026-11-30T11:59:00.5"),
        ("11/29/2026 11:59:00 PM", "2026-11-29T23:59:00"),
        ("29/11/2026 23:59:00", "2026-11-29T23:59:00"),
        ("03/11/2026 10:00:00", "2026-11-03T10:00:00"),
        ("Nov 30, 2026 @ 11:59:00.000", "2026-11-30T11:59:00"),
        ("Mon, 30 Nov 2026 12:59:00 +0100", "2026-11-30T11:59:00"),
        ("30. x", None),
        ("2026-13-30 11:59:00", None),
    ],
)
def test_times(text: str, when: str | None):
    found = stated_times.leading(text, NOW)
    assert (found and found[0]) == (when and datetime.fromisoformat(when).replace(tzinfo=UTC))


def test_a_time_of_day_is_of_today_or_yesterday():
    for minutes in (-600, -1, 30, 300):
        stated = NOW + timedelta(minutes=minutes)
        found = stated_times.leading(f"{stated:%H:%M:%S} x", NOW)
        assert found is not None
        assert found[0] == (stated if minutes <= 60 else stated - timedelta(days=1))


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Eror", "error"),
        ("WARN", "warning"),
        ("Verbose", "debug"),
        ("Information", "info"),
        ("SEVERE", "error"),
        ("daemon.err", "error"),
        ("Audit Failure", "warning"),
        ("ПАНИКА", "critical"),
        ("30", "info"),
        ("400", "error"),
        ("20000", "info"),
        ("purple", None),
    ],
)
def test_levels_of_fields(text: str, level: str | None):
    assert stated_levels.of_text(text) == (level and Level(level))


def test_a_long_line_takes_no_longer_than_its_length():
    for part in ("a", "A.", "x=1 ", "[a]", '"', "9", "- ", "a|", ": "):
        for line in LINES[::9]:
            read(line + part * (60_000 // len(part)))
