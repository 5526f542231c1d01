"""Which format a file has, and how to read its lines; mixed files are read line by line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from aiops_cli.ingest import json_lines, levels
from aiops_cli.ingest.parsed import Parsed, Readings, Unreadable
from aiops_cli.ingest.shapes import SHAPES, Shape
from aiops_core.models import LogEntry, MetricSample

Content = Parsed | Readings | LogEntry | MetricSample

SYSLOG = tuple(shape for shape in SHAPES if shape.syslog)
PLAIN = tuple(shape for shape in SHAPES if not shape.syslog)


JSON_NAME = re.compile(r"\.(?:json|jsonl|ndjson)(?:\.\d+)?(?:\.gz)?$", re.IGNORECASE)


class Format(StrEnum):
    AUTO = "auto"
    SYSLOG = "syslog"
    JSON = "json"
    PLAIN = "plain"
    NMEA = "nmea"


class Reader(Protocol):
    """Reads the lines of one file, in their order."""

    def read(self, line: str, now: datetime, /) -> Content:
        """What *line* says; raises Unreadable."""


@dataclass(frozen=True)
class LineReader:
    """Reads the lines of one file. *shapes* are tried in order; a line of none is its own message.

    In a file of JSON lines (*json_only*) a line that is neither JSON nor of a known shape is broken.
    With *strict* there is only the one format that was asked for.
    """

    name: str
    shapes: tuple[Shape, ...] = SHAPES
    json: bool = True
    json_only: bool = False
    strict: bool = False

    def read(self, line: str, now: datetime) -> Content:
        """What *line* says; raises Unreadable."""
        if self.json and line.startswith("{"):
            return self._read_object(line, now)
        for shape in self.shapes:
            if parsed := shape.read(line, now):
                return parsed
        if self.json_only or self.strict:
            raise Unreadable(f"not {self.name}")
        return Parsed(msg=line.strip(), level=levels.from_message(line.strip()))

    def _read_object(self, line: str, now: datetime) -> Content:
        try:
            return json_lines.read(line, now)
        except Unreadable:
            if self.json_only:
                raise
            return Parsed(msg=line.strip(), level=levels.from_message(line.strip()))


# A sentence of a ship's instrument, perhaps after a time or a tag block.
SENTENCE = re.compile(
    r"(?:\d[^$!\\]*?[\s;,]+)?(?:\\[^\\]+\\)?[$!][A-Z0-9]{2,}[A-Z]{2},[^*]*(?:\*[0-9A-Fa-f]{2})?$"
)

FORCED = {
    Format.SYSLOG: LineReader("syslog", SYSLOG, json=False, strict=True),
    Format.JSON: LineReader("a JSON object", (), json_only=True, strict=True),
    Format.PLAIN: LineReader("plain", PLAIN, json=False),
}


def reader_for(
    name: str, head: Iterable[str], now: datetime, wanted: Format = Format.AUTO
) -> Reader:
    """How to read the file *name* that begins with the lines *head*."""
    head = list(head)
    if is_nmea(head, wanted):
        return _sentences(head)
    if wanted is not Format.AUTO:
        return FORCED[wanted]
    seen = Counter(_kind(line, now) for line in head)
    if JSON_NAME.search(name) or seen["json"] > seen.total() / 2:
        return LineReader("a JSON object or another known shape", json_only=True)
    return LineReader("mixed", _most_frequent_first(seen))


def is_nmea(head: Sequence[str], wanted: Format = Format.AUTO) -> bool:
    """Whether lines that begin with *head* are sentences of instruments."""
    if wanted is not Format.AUTO:
        return wanted is Format.NMEA
    return sum(bool(SENTENCE.match(line.strip())) for line in head) > len(head) / 2


def _sentences(head: Sequence[str]) -> Reader:
    from aiops_cli.ingest.nmea.reader import NmeaReader

    return NmeaReader(head)


def _most_frequent_first(seen: Counter[str]) -> tuple[Shape, ...]:
    return tuple(sorted(SHAPES, key=lambda shape: -seen[shape.name]))


def _kind(line: str, now: datetime) -> str:
    if line.startswith("{"):
        return "json" if _looks_like_json(line) else "plain"
    return next((shape.name for shape in SHAPES if shape.read(line, now)), "plain")


def _looks_like_json(line: str) -> bool:
    """Also a broken object counts, if it begins like one: a key in quotes."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return line[1:].lstrip().startswith('"')
