"""Which format a file has, and how to read its lines; mixed files are read line by line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aiops_core.ingest import json_lines, levels
from aiops_core.ingest.parsed import Parsed, Unreadable
from aiops_core.ingest.shapes import SHAPES, Shape
from aiops_core.models import LogEntry, MetricSample

Content = Parsed | LogEntry | MetricSample

SYSLOG = tuple(shape for shape in SHAPES if shape.syslog)
PLAIN = tuple(shape for shape in SHAPES if not shape.syslog)


JSON_NAME = re.compile(r"\.(?:json|jsonl|ndjson)(?:\.\d+)?(?:\.gz)?$", re.IGNORECASE)


class Format(StrEnum):
    AUTO = "auto"
    SYSLOG = "syslog"
    JSON = "json"
    PLAIN = "plain"


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


FORCED = {
    Format.SYSLOG: LineReader("syslog", SYSLOG, json=False, strict=True),
    Format.JSON: LineReader("a JSON object", (), json_only=True, strict=True),
    Format.PLAIN: LineReader("plain", PLAIN, json=False),
}


def reader_for(
    name: str, head: Iterable[str], now: datetime, wanted: Format = Format.AUTO
) -> LineReader:
    """How to read the file *name* that begins with the lines *head*."""
    if wanted is not Format.AUTO:
        return FORCED[wanted]
    seen = Counter(_kind(line, now) for line in head)
    if JSON_NAME.search(name) or seen["json"] > seen.total() / 2:
        return LineReader("a JSON object or another known shape", json_only=True)
    return LineReader("mixed", _most_frequent_first(seen))


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
