"""A raw line → what it states: time, host, program, level, message and labels. Pure.

1. ``clean`` removes what is no text: NUL, byte order mark, colours.
2. A format of the whole line is found (JSON or text); the last one of the sender is tried first.
3. Without a format it is a part of the entry before (``continuations``), or has columns that were
   learned from earlier lines of its sender (``columns``).
4. ``payloads`` reads what lies within the message.
5. A time that no clock can mean is not believed (``clocks``).
6. A level that no field states comes from the words of the message.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from aiops_core.normaliser import clocks, columns, continuations, json_lines, levels
from aiops_core.normaliser.context import COLUMNS, JSON, PLAIN, SenderContext
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.parsed import ParsedLine, Unreadable
from aiops_core.normaliser.payloads import unwrapped
from aiops_core.normaliser.text_formats import FORMATS

WEAK = (PLAIN, "dated")  # formats that say no more than the time of a line
ONE_PAST = timedelta(days=7)


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
    text, newest = clean(line), context.format
    parsed = _read(text, now, context, formats, json=json)
    if context.format == PLAIN:
        if part := continuations.of_bare(line, now, context):
            context.format = newest
            return _with_level(part)
        level = continuations.level_of_exception(text)
        parsed = replace(parsed, level=level, ts=continuations.time_of_neighbour(now, context))
    if context.format in WEAK:
        parsed = _in_columns(text, now, context) or parsed
    parsed = clocks.believed(unwrapped(parsed, now), line, now, context)
    return continuations.of_entry(_with_level(parsed), now, context)


def learn(head: Sequence[str], now: datetime) -> SenderContext:
    """The context of a file that begins with the lines *head*: its columns, and whether it is old.

    Lines of *head* are read again with it.
    """
    read, plain, stated = SenderContext(), [], []
    for line in head:
        parsed = normalise(line, now, read)
        if continuations.CONTINUES in parsed.labels:
            continue
        if read.format in (*WEAK, COLUMNS):
            plain.append(clean(line))
        if text := parsed.labels.get(clocks.STATED):
            stated.append(datetime.fromisoformat(text))
        elif parsed.ts:
            stated.append(parsed.ts)
    one_past = bool(stated) and max(stated) - min(stated) <= ONE_PAST
    plan = columns.learn(plain, now) if len(plain) >= len(head) / 2 else None
    return SenderContext(format=COLUMNS if plan else "", columns=plan, one_past=one_past)


def _with_level(line: ParsedLine) -> ParsedLine:
    if line.level is not None:
        return line
    return replace(line, level=levels.from_message(line.msg, line.labels))


def _in_columns(text: str, now: datetime, context: SenderContext) -> ParsedLine | None:
    """*text* by the columns of its sender; a line of which only the time is known has a level."""
    plan = context.columns
    found = columns.read(text, plan, now) if plan else None
    columns.observe(text, now, context, fits=found is not None)
    if found is None or (context.format != PLAIN and found.level is None):
        return None
    context.format = COLUMNS
    return found


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
