"""The format of a file and the reader of its lines. A mixed file is read line by line."""

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
from aiops_cli.ingest.nmea.reader import NmeaReader
from aiops_cli.ingest.parsed import ParsedLine, SensorReadings, Unreadable
from aiops_cli.ingest.text_formats import FORMATS, LineFormat
from aiops_core.models import LogEntry, MetricSample

Content = ParsedLine | SensorReadings | LogEntry | MetricSample

JSON_NAME = re.compile(r"\.(?:json|jsonl|ndjson)(?:\.\d+)?(?:\.gz)?$", re.IGNORECASE)

# A sentence of a ship's instrument, perhaps after a time or a tag block.
SENTENCE = re.compile(
    r"(?:\d[^$!\\]*?[\s;,]+)?(?:\\[^\\]+\\)?[$!][A-Z0-9]{2,}[A-Z]{2},[^*]*(?:\*[0-9A-Fa-f]{2})?$"
)


class Format(StrEnum):
    AUTO = "auto"
    SYSLOG = "syslog"
    JSON = "json"
    PLAIN = "plain"
    NMEA = "nmea"


class LineReader(Protocol):
    """Reads the lines of one file, in their order."""

    def read(self, line: str, now: datetime, /) -> Content:
        """The content of *line*; raises Unreadable."""


@dataclass(frozen=True)
class TextReader:
    """Tries *formats* in order; a line of no format is a message without a time.

    In a file of JSON lines (*json_only*) a line that is neither JSON nor of a known format is
    broken. With *strict* only the requested format is accepted.
    """

    name: str
    formats: tuple[LineFormat, ...] = FORMATS
    json: bool = True
    json_only: bool = False
    strict: bool = False

    def read(self, line: str, now: datetime) -> Content:
        """The content of *line*; raises Unreadable."""
        if self.json and line.startswith("{"):
            try:
                return json_lines.read(line, now)
            except Unreadable:
                if self.json_only:
                    raise
        else:
            for line_format in self.formats:
                if parsed := line_format.read(line, now):
                    return parsed
            if self.json_only or self.strict:
                raise Unreadable(f"not {self.name}")
        return ParsedLine(msg=line.strip(), level=levels.from_message(line.strip()))


FORCED = {
    Format.SYSLOG: TextReader(
        "syslog", tuple(one for one in FORMATS if one.syslog), json=False, strict=True
    ),
    Format.JSON: TextReader("a JSON object", (), json_only=True, strict=True),
    Format.PLAIN: TextReader("plain", tuple(one for one in FORMATS if not one.syslog), json=False),
}


def reader_for(
    name: str, head: Sequence[str], now: datetime, wanted: Format = Format.AUTO
) -> LineReader:
    """A reader for the file *name*, whose first lines are *head*."""
    if is_nmea(head, wanted):
        return NmeaReader(head)
    if wanted is not Format.AUTO:
        return FORCED[wanted]
    seen = Counter(_format_of(line, now) for line in head)
    if JSON_NAME.search(name) or seen["json"] > seen.total() / 2:
        return TextReader("a JSON object or another known shape", json_only=True)
    return TextReader("mixed", tuple(sorted(FORMATS, key=lambda one: -seen[one.name])))


def is_nmea(head: Iterable[str], wanted: Format = Format.AUTO) -> bool:
    """Whether most lines of *head* are sentences of instruments."""
    if wanted is not Format.AUTO:
        return wanted is Format.NMEA
    matches = [bool(SENTENCE.match(line.strip())) for line in head]
    return sum(matches) > len(matches) / 2


def _format_of(line: str, now: datetime) -> str:
    if not line.startswith("{"):
        return next((one.name for one in FORMATS if one.read(line, now)), "plain")
    try:
        is_object = isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        is_object = line[1:].lstrip().startswith('"')  # a broken object that begins with a key
    return "json" if is_object else "plain"
