"""A raw line → what it states: time, host, program, level, message and labels. Pure.

1. ``clean`` removes what is no text: NUL, byte order mark, colours.
2. A format of the whole line is found (JSON or text); the last one of the sender is tried first.
3. ``payloads`` reads what lies within the message.
4. A level that no field states comes from the words of the message.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from aiops_core.normaliser import json_lines, levels
from aiops_core.normaliser.context import JSON, PLAIN, SenderContext
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.parsed import ParsedLine, Unreadable
from aiops_core.normaliser.payloads import unwrapped
from aiops_core.normaliser.text_formats import FORMATS


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
    parsed = unwrapped(_read(clean(line), now, context, formats, json=json), now)
    if parsed.level is None:
        parsed = replace(parsed, level=levels.from_message(parsed.msg))
    return parsed


def clean(line: str) -> str:
    """*line* without what is no text."""
    return line.strip("\0\ufeff\r\n\t ")


def _read(
    line: str, now: datetime, context: SenderContext, formats: Sequence[TextFormat], *, json: bool
) -> ParsedLine:
    if json and line.startswith("{"):
        with contextlib.suppress(Unreadable):
            parsed = json_lines.read(line, now)
            context.format = JSON
            return parsed
    newest = context.format
    for line_format in sorted(formats, key=lambda one: one.name != newest):
        if found := line_format.read(line, now):
            context.format = line_format.name
            return found
    context.format = PLAIN
    return ParsedLine(line)
