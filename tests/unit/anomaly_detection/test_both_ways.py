"""One line is one entry, whether Vector delivers it or ``aiops replay`` reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from aiops_cli.ingest.formats import reader_for
from aiops_cli.ingest.lines import LineOrigin, messages_of
from aiops_core.models import LogEntry
from anomaly_detection.reading import EntryReader
from tests.conftest import ROOT
from tests.vrl import Older, VectorFile

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
CASES = ROOT / "tests/normaliser_cases"
SAME = ("ship_id", "ts", "stages", "host", "device_id", "service", "level", "msg")


def rows() -> Iterator[Any]:
    for file in sorted(CASES.glob("*.yaml")):
        for row in yaml.safe_load(file.read_text()) or []:
            yield pytest.param(row, id=f"{file.stem}: {row['name']}")


@pytest.fixture(scope="module")
def vector() -> VectorFile:
    return VectorFile(Older())


def delivered(vector: VectorFile, line: str, sender: str, reader: EntryReader) -> list[LogEntry]:
    """What detection judges of *line*, which came over the network at NOW."""
    events = vector.through({"message": line, "host": sender}, "frames", "to_judge")
    arrived = [LogEntry.model_validate(event).stamped("ingest", NOW) for event in events]
    return [reader.read(entry) for entry in arrived]


def replayed(lines: list[str], sender: str) -> list[LogEntry]:
    """What ``aiops replay`` publishes of *lines* in a file, which it reads at NOW."""
    reader = reader_for("syslog", lines, NOW)
    origin = LineOrigin("mv-test", sender, "syslog", "syslog")
    told = (messages_of(reader.read(line, NOW), origin, NOW) for line in lines)
    return [one for messages in told for one in messages if isinstance(one, LogEntry)]


@pytest.mark.parametrize("row", list(rows()))
def test_a_line_is_the_same_entry_both_ways(vector: VectorFile, row: dict[str, Any]):
    sender = (row.get("args") or {}).get("host", "10.1.0.7")
    lines = row.get("lines") or [row["line"]]
    frames = [
        event["message"]
        for line in lines
        for event in vector.through({"message": line, "host": sender}, "frames", "frames")
    ]
    reader = EntryReader(100, (), pytest.fail)
    network = [entry for line in lines for entry in delivered(vector, line, sender, reader)]
    file = replayed(frames, sender)
    assert len(network) == len(file) == len(frames)
    for frame, one, other in zip(frames, network, file, strict=True):
        assert {name: getattr(one, name) for name in SAME} == {
            name: getattr(other, name) for name in SAME
        }, frame
        assert {k: v for k, v in one.labels.items() if k != "sender"} == {
            k: v for k, v in other.labels.items() if k != "sender"
        }, frame
