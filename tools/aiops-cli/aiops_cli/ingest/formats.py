"""The format of a file and the reader of its lines. A mixed file is read line by line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from aiops_cli.ingest import own_messages
from aiops_cli.ingest.nmea.reader import NmeaReader
from aiops_cli.ingest.nmea.sentence import DATAGRAM
from aiops_cli.ingest.parsed import SensorReadings
from aiops_core.models import LogEntry, MetricSample
from aiops_core.normaliser import columns, json_lines
from aiops_core.normaliser.context import COLUMNS, PLAIN, SenderContext
from aiops_core.normaliser.continuations import CONTINUES
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.normaliser import learn, normalise
from aiops_core.normaliser.parsed import ParsedLine, Unreadable
from aiops_core.normaliser.text_formats import FORMATS

CONTINUED = "further lines of an entry"  # beside the names of formats
Content = ParsedLine | SensorReadings | LogEntry | MetricSample

JSON_NAME = re.compile(r"\.(?:json|jsonl|ndjson)(?:\.\d+)?(?:\.gz)?$", re.IGNORECASE)

# A sentence of a ship's instrument, perhaps after a time or a tag block.
SENTENCE = re.compile(
    rf"{DATAGRAM}(?:\d[^$!\\]*?[\s;,]+)?(?:\\[^\\]+\\)*"
    r"[$!][A-Z0-9]{2,}[A-Z]{2},[^*]*(?:\*[0-9A-Fa-f]{2})?$"
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


class TextReader:
    """Reads with the normaliser; a line of no format is a message without a time.

    In a file of JSON lines (*json_only*) a line that is neither JSON nor of a known format is
    broken. With *strict* only the requested format is accepted.
    """

    def __init__(
        self,
        name: str,
        formats: tuple[TextFormat, ...] = FORMATS,
        *,
        json: bool = True,
        json_only: bool = False,
        strict: bool = False,
        context: SenderContext | None = None,
    ) -> None:
        self._name, self._formats, self._json = name, formats, json
        self._json_only, self._strict = json_only, strict
        self._context = context or SenderContext()
        self._seen: Counter[str] = Counter()  # lines by format

    def read(self, line: str, now: datetime) -> Content:
        """The content of *line*; raises Unreadable."""
        if self._json and line.startswith("{"):
            try:
                if message := own_messages.read(json_lines.parse(line)):
                    return message
            except Unreadable:
                if self._json_only:
                    raise
        parsed = normalise(line, now, self._context, self._formats, json=self._json)
        self._seen[CONTINUED if CONTINUES in parsed.labels else self._context.format] += 1
        if self._context.format == PLAIN and (self._json_only or self._strict):
            raise Unreadable(f"not {self._name}")
        return parsed

    def understood(self) -> str:
        """What the lines so far were taken for, for a person."""
        plan = self._context.columns
        shown = []
        for name, lines in self._seen.most_common():
            if name == COLUMNS and plan:
                name = columns.described(plan)
            of_all = "" if lines == self._seen.total() else f" of {self._seen.total():,}"
            shown.append(f"{name} ({lines:,}{of_all} lines)")
        return ", ".join(shown)


_SYSLOG = tuple(one for one in FORMATS if one.syslog)
_OTHERS = tuple(one for one in FORMATS if not one.syslog)


def _forced(wanted: Format) -> TextReader:
    """A reader that accepts only what the user asked for."""
    if wanted is Format.SYSLOG:
        return TextReader("syslog", _SYSLOG, json=False, strict=True)
    if wanted is Format.JSON:
        return TextReader("a JSON object", (), json_only=True, strict=True)
    return TextReader("plain", _OTHERS, json=False)


def reader_for(
    name: str, head: Sequence[str], now: datetime, wanted: Format = Format.AUTO
) -> LineReader:
    """A reader for the file *name*, whose first lines are *head*."""
    if is_nmea(head, wanted):
        return NmeaReader(head, now)
    if wanted is not Format.AUTO:
        return _forced(wanted)
    seen = Counter(_format_of(line, now) for line in head)
    if JSON_NAME.search(name) or seen["json"] > seen.total() / 2:
        return TextReader("a JSON object or another known shape", json_only=True)
    return TextReader("mixed", context=learn(head, now))


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
