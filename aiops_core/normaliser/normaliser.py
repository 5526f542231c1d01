"""A raw line → what it states: time, host, program, level, message and labels. Pure.

1. ``clean`` removes what is no text: NUL, byte order mark, colours.
2. A format of the whole line is found (JSON or text); the last one of the sender is tried first.
3. ``payloads`` reads what lies within the message.
4. A level that no field states comes from the words of the message.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from aiops_core.normaliser import json_lines, levels
from aiops_core.normaliser.context import JSON, PLAIN, SenderContext
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.parsed import ParsedLine, Unreadable
from aiops_core.normaliser.payloads import unwrapped
from aiops_core.normaliser.text_formats import FORMATS

MAKER = "maker"  # the format of lines that are the payload of a maker, without a header
LABELS = 64  # of one line
LABEL_LENGTH = 1024  # characters

# ESC as itself and as rsyslog writes it; the NUL that many senders put at the end likewise.
_COLOUR = re.compile(r"(?:\x1b|#033)(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\))")
_PADDING = "\0\ufeff\r\n\t "


def normalise(
    line: str,
    now: datetime,
    context: SenderContext,
    formats: Sequence[TextFormat] = FORMATS,
    *,
    json: bool = True,
) -> ParsedLine:
    """*line*, which arrived at *now* from the sender of *context*; the context changes.

    It never raises: a line of no format is a message without a time. *formats* and *json* restrict
    what is tried.
    """
    found = _read(clean(line), now, context, formats, json=json)
    parsed = unwrapped(found, now)
    if parsed is not found and context.format == PLAIN:
        context.format = MAKER
    if parsed.level is None:
        parsed = replace(parsed, level=levels.from_message(parsed.msg))
    return parsed if _short(parsed.labels) else replace(parsed, labels=_bounded(parsed.labels))


def clean(line: str) -> str:
    """*line* without what is no text."""
    if "\x1b" in line or "#033" in line:
        line = _COLOUR.sub("", line)
    if "#011" in line:
        line = line.replace("#011", "\t")  # as rsyslog writes a tab
    return line.strip(_PADDING).removesuffix("#000")


def _short(labels: Mapping[str, str]) -> bool:
    return len(labels) <= LABELS and all(len(text) <= LABEL_LENGTH for text in labels.values())


def _bounded(labels: Mapping[str, str]) -> dict[str, str]:
    kept = list(labels.items())[:LABELS]
    return {name: text[:LABEL_LENGTH] for name, text in kept}


def _read(
    line: str, now: datetime, context: SenderContext, formats: Sequence[TextFormat], *, json: bool
) -> ParsedLine:
    first = line[:1]
    if json and first == "{":
        with contextlib.suppress(Unreadable):
            parsed = json_lines.read(line, now)
            context.format = JSON
            return parsed
    newest = next((one for one in formats if one.name == context.format), None)
    if newest is not None and (found := _tried(newest, first, line, now)):
        return found
    for line_format in formats:
        if line_format is not newest and (found := _tried(line_format, first, line, now)):
            context.format = line_format.name
            return found
    context.format = PLAIN
    return ParsedLine(line)


def _tried(line_format: TextFormat, first: str, line: str, now: datetime) -> ParsedLine | None:
    if line_format.starts and first not in line_format.starts:
        return None
    return line_format.read(line, now)
