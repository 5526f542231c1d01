"""The table of lines in ``tests/normaliser_cases``: what a device writes and what is read of it.

A row has ``line`` and ``expect``, or ``lines`` of one sender and a list of expects in their order.
Of ``expect`` only what is named is compared: ``host`` (null: the line names none), ``device_id``,
``service``, ``level``, ``ts`` (ISO; null: the line states none), ``msg``, ``msg_has``, ``msg_not``,
``source``, ``labels`` (those named; null: no such label). ``args.host`` is the sender's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.normaliser import normalise
from aiops_core.normaliser.parsed import ParsedLine

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
FOLDER = Path(__file__).parents[3] / "normaliser_cases"
Row = dict[str, Any]
KNOWN = {"name", "line", "lines", "args", "expect", "vector"}
FIELDS = ("service", "level", "msg", "source", "device_id")
EXPECTED = {*FIELDS, "host", "ts", "msg_has", "msg_not", "labels"}


def rows() -> Iterator[tuple[str, Row]]:
    for file in sorted(FOLDER.glob("*.yaml")):
        for row in yaml.safe_load(file.read_text()) or []:
            yield f"{file.stem}: {row['name']}", row


ROWS = list(rows())


def told(row: Row) -> list[tuple[str, Row]]:
    """The lines of *row* with what is expected of each."""
    if "lines" in row:
        return list(zip(row["lines"], row["expect"], strict=True))
    return [(row["line"], row["expect"])]


def stated(text: Any) -> datetime | None:
    if text is None:
        return None
    when = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when


def differences(want: Row, got: ParsedLine, sender: str | None) -> dict[str, Any]:
    """What *got* has in place of what is wanted."""
    values = {name: getattr(got, name) for name in FIELDS} | {"host": got.host or sender}
    checks = {
        **{name: lambda value, name=name: values[name] == value for name in values},
        "ts": lambda value: got.ts == stated(value),
        "msg_has": lambda value: value in got.msg,
        "msg_not": lambda value: value not in got.msg,
        "labels": lambda value: all(
            got.labels.get(name) == (None if text is None else str(text))
            for name, text in value.items()
        ),
    }
    found = {**values, "ts": got.ts, "labels": dict(got.labels)}
    return {
        name: found.get(name, got.msg)
        for name in want.keys() & checks
        if not checks[name](want[name])
    }


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=[name for name, _ in ROWS])
def test_a_line_is_read_as_its_device_means_it(row: Row):
    context, sender = SenderContext(), (row.get("args") or {}).get("host")
    for line, want in told(row):
        got = normalise(line, NOW, context)
        assert not differences(want, got, sender), line


def test_rows_are_complete_and_have_a_name_of_their_own():
    assert not [name for name, count in Counter(name for name, _ in ROWS).items() if count > 1]
    assert not [name for name, row in ROWS if row.keys() - KNOWN or "expect" not in row]
    wrong = [name for name, row in ROWS for _, want in told(row) if want.keys() - EXPECTED]
    assert not wrong
