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
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from aiops_core.normaliser import clocks, columns, continuations, json_lines, levels
from aiops_core.normaliser.app_formats import GENERAL
from aiops_core.normaliser.context import COLUMNS, JSON, PLAIN, SenderContext
from aiops_core.normaliser.format_table import FormatTable
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.parsed import ParsedLine, Unreadable
from aiops_core.normaliser.payloads import unwrapped
from aiops_core.normaliser.statement import CHAT, chat_of
from aiops_core.normaliser.text_formats import FORMATS

WEAK = (PLAIN, "dated")  # formats that say no more than the time of a line
LEVEL_WORDS = {word.upper() for word in levels.BY_WORD if len(word) > 2}
ONE_PAST = timedelta(days=7)
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
    formats: tuple[TextFormat, ...] = FORMATS,
    *,
    json: bool = True,
) -> ParsedLine:
    """*line*, which arrived at *now* from the sender of *context*; the context changes.

    It never raises: a line of no format is a message without a time. *formats* and *json* restrict
    what is tried.
    """
    text, newest = clean(line), context.format
    found = _read(text, now, context, formats, json=json)
    part = None
    if context.format != JSON and continuations.may_continue(found, text):
        part = continuations.of_bare(line, found, now, context)
    if part is not None:
        context.format = newest
        return _with_level(part)
    parsed = unwrapped(found, now)
    if parsed is not found:
        context.format = MAKER if context.format == PLAIN else context.format
    context.weak = parsed is found and context.format in WEAK
    if context.weak and found.level is None:
        parsed = _unknown(parsed, text, now, context)
    if parsed.ts is None:
        parsed = parsed._replace(ts=continuations.time_of_neighbour(now, context))
    parsed = clocks.believed(parsed, line, now, context)
    parsed = continuations.of_entry(_with_level(parsed), now, context)
    return parsed if _short(parsed.labels) else parsed._replace(labels=_bounded(parsed.labels))


def learn(head: Sequence[str], now: datetime) -> SenderContext:
    """The context of a file that begins with the lines *head*: its columns, and whether it is old.

    Lines of *head* are read again with it.
    """
    read, plain, stated = SenderContext(), [], []
    for line in head:
        parsed = normalise(line, now, read)
        if continuations.CONTINUES in parsed.labels:
            continue
        if read.weak or read.format == COLUMNS:
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
    return line._replace(level=levels.from_message(line.msg, line.labels))


def _unknown(line: ParsedLine, text: str, now: datetime, context: SenderContext) -> ParsedLine:
    """*line*, of which at most the time is known, by the columns of its sender."""
    plan, plain = context.columns, context.format == PLAIN
    found = columns.read(text, plan, now) if plan else None
    columns.observe(text, now, context, fits=found is not None)
    if found is not None and (plain or found.level is not None):
        context.format = COLUMNS
        return unwrapped(found, now)
    if chat := chat_of(text):
        return line._replace(labels={**line.labels, CHAT: chat})
    return line._replace(level=continuations.level_of_exception(text)) if plain else line


def clean(line: str) -> str:
    """*line* without what is no text."""
    if "\x1b" in line or "#033" in line:
        line = _COLOUR.sub("", line)
    if "#011" in line:
        line = line.replace("#011", "\t")  # as rsyslog writes a tab
    return line.strip(_PADDING).removesuffix("#000")


def _short(labels: Mapping[str, str]) -> bool:
    if len(labels) > LABELS:
        return False
    for text in labels.values():  # four times as fast as all()
        if len(text) > LABEL_LENGTH:
            return False
    return True


def _bounded(labels: Mapping[str, str]) -> dict[str, str]:
    kept = list(labels.items())[:LABELS]
    return {name: text[:LABEL_LENGTH] for name, text in kept}


def _read(
    line: str, now: datetime, context: SenderContext, formats: tuple[TextFormat, ...], *, json: bool
) -> ParsedLine:
    first = line[:1]
    if json and first == "{":
        with contextlib.suppress(Unreadable):
            parsed = json_lines.read(line, now)
            context.format = JSON
            return parsed
    table = _TABLE if formats is FORMATS else _table(formats)
    newest = None
    if context.format not in GENERAL:  # these read what others read better
        newest = table.named(context.format, line)
    if newest is not None and (found := _tried(newest, line, now)):
        return found
    for line_format in table.possible(line):
        if line_format is not newest and (found := _tried(line_format, line, now)):
            context.format = line_format.name
            return found
    context.format = PLAIN
    return ParsedLine(line)


_TABLE = FormatTable(FORMATS)
_table = lru_cache(16)(FormatTable)


def _tried(line_format: TextFormat, line: str, now: datetime) -> ParsedLine | None:
    found = line_format.read(line, now)
    # 26/11/29 11:10:15 INFO executor.Poller: no host is called INFO
    return None if found and found.host in LEVEL_WORDS else found
