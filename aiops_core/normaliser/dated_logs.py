"""Lines that begin with a time, and whose next columns may state a level: most loggers. Pure.

Columns are read from left to right as long as they look like columns: in brackets, before a
separator, or a name with dots, digits or slashes. The first that is a level ends them; a level word
further on is part of the message.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.app_format import ALPHABET, LABEL_LIMIT, NAMES
from aiops_core.normaliser.line_format import DIGITS
from aiops_core.normaliser.parsed import ParsedLine
from aiops_core.normaliser.runtime_logs import EXCEPTION, LABELS_LIMIT, Logfmt

COLUMNS = 6  # before the level, at most
_COLUMN = re.compile(
    r"[\s|,;]*(?:-+\s+|:\s+|-(?=[\[(]))?(?:\[(?P<b>(?:[^\[\]]|\[[^\[\]]*\]){0,120})\]"
    r"|\((?P<p>[^()]{0,80})\)|<(?P<a>[^<>]{0,80})>|(?P<w>[^\s\[\]()|,;<>]+))"
)
_SEPARATED = re.compile(r"\s*(?:\t|\||,|;|-\s|\u2013\s|:)")  # follows a column and not a word
_NAME = re.compile(r"[\w$][\w$./\\#@+*-]*(?:::?[\w$.-]+)*:?")
_HAS_MARK = re.compile(r"[\d._/@$#\\-]|::")
_INITIALS = {
    "F": Level.CRITICAL,
    "C": Level.CRITICAL,
    "E": Level.ERROR,
    "W": Level.WARNING,
    "N": Level.INFO,
    "I": Level.INFO,
    "D": Level.DEBUG,
    "T": Level.DEBUG,
    "V": Level.DEBUG,
}

# What may stand between a level and the message.
_SPRING = re.compile(
    r"(?P<pid>\d+)\s+---\s+(?:\[[^\]]*\]\s*)?\[\s*(?P<thread>[^\]]*)\]\s+(?P<logger>\S+)\s*:\s+"
    r"(?P<msg>.*)",
    re.DOTALL,
)
_HOME_ASSISTANT = re.compile(
    r"\((?P<thread>[\w -]{1,40})\) \[(?P<logger>[\w.]+)\] (?P<msg>.*)", re.DOTALL
)
_THREAD_LOGGER = re.compile(
    r"\[(?P<thread>(?:[^\[\]]|\[[^\[\]]*\]){1,120}?)(?::(?P<at>[\w$.]+@\d+))?\]"
    r"\s+(?:\[[^\]]*\]\s+)?(?:(?P<logger>[\w$.#/<>-]{1,120})\s*)?(?:-|:)\s+(?P<msg>.*)",
    re.DOTALL,
)
_LOGGER = re.compile(
    r"(?P<logger>[A-Za-z_$][\w$]*(?:(?:\.|::)[\w$\[\]-]+)+(?::[\w<>]+)?(?::\d+)?)\s*(?:-|:)\s+(?P<msg>.*)",
    re.DOTALL,
)
_LOGGER_DASH = re.compile(r"(?P<logger>[A-Za-z_$][\w$./#-]{1,60})\s+-\s+(?P<msg>.*)", re.DOTALL)
_NLOG = re.compile(r"(?P<logger>[A-Za-z_][\w.+-]{0,100})\|(?P<msg>.*?)\|?$", re.DOTALL)
_WILDFLY = re.compile(
    r"\[(?P<logger>[\w.$-]{1,100})\] \((?P<thread>[^)]{1,100})\) (?P<msg>.*)", re.DOTALL
)
_LOG4NET = re.compile(r"(?P<logger>[\w.$]{1,100}) \[[^\]]{0,60}\] - (?P<msg>.*)", re.DOTALL)
_BEFORE_MESSAGE = (
    *(_SPRING, _HOME_ASSISTANT, _THREAD_LOGGER, _WILDFLY, _LOG4NET, _NLOG, _LOGGER, _LOGGER_DASH),
)
_BRACKETS = re.compile(
    r"\s*\[(?P<first>[A-Za-z][\w.$/-]{0,80}\s*)\]\s*(?:\[(?P<second>[^\]\s]{1,60})\])?\s*"
)
_LOGGER_AT_END = re.compile(r" \((?P<logger>(?:[a-z]\w*\.){2,}[\w$]+)\)$")
_PROGRAM = re.compile(
    r"(?:(?P<host>[\w.-]{1,60}) )?(?P<service>[A-Za-z][\w./-]{0,40})\[(?P<pid>\d+)\]:\s+"
    r"(?P<msg>.*)",
    re.DOTALL,
)
_PROGRAM_NAME = re.compile(r"[A-Za-z][\w.-]{1,40}")
_NUMBER = re.compile(r"\d{1,7}")


_ENGLISH = frozenset("IA")  # letters that are words
# Levels that are nouns as well: after another word they belong to it (HOST ALERT, RED ALERT).
_WORDS_TOO = frozenset({"alert", "alerts", "panic", "attention", "log", "note", "config"})


class _Column(NamedTuple):
    """A column: its text, whether it is a bare word, whether a separator follows, its end."""

    text: str
    bare: bool
    separated: bool
    end: int

    def level(self, before: list[_Column]) -> Level | None:
        """The level that it states: a word, after another column also an initial."""
        text, bare = self.text, self.bare
        marked = not bare or self.separated or text[-1:] == ":"
        if not marked and text.isascii() and text.islower():
            return None
        if bare and before and text.rstrip(":").casefold() in _WORDS_TOO:
            return None
        if found := stated_levels.of_column(text, marked):
            return found
        if len(text) != 1 or (bare and not (before and self._stands_alone(before[-1]))):
            return None
        return _INITIALS.get(text)

    def _stands_alone(self, before: _Column) -> bool:
        """Whether a letter is a column: between separators, or after a number or a bracket."""
        numbered = not before.bare or before.text.isdecimal()
        return self.separated or (numbered and self.text not in _ENGLISH)

    def ends(self, before: list[_Column], text: str) -> bool:
        """Whether the message of *text* begins with this: it could as well be a word of it."""
        if not self.bare:
            return False
        if not self.separated and not _HAS_MARK.search(self.text.rstrip(":")):
            return bool(before) or (self.text[-1:] == ":" and _spoken(text, self))
        return _NAME.fullmatch(self.text) is None


@dataclass(slots=True)
class _Columns:
    """What stands between the time and the message."""

    level: Level | None
    msg: str
    before: list[_Column] = field(default_factory=list)
    closed: bool = False  # the level stood in brackets, and another bracket followed at once


_SEPARATORS = frozenset("\t|,;:-\u2013 ")


def _column(text: str, at: int) -> _Column | None:
    found = _COLUMN.match(text, at)
    if found is None:
        return None
    kind, end = found.lastgroup or "w", found.end()
    following = text[end + 1 : end + 2] if text[end : end + 1] == " " else text[end : end + 1]
    separated = following in _SEPARATORS and _SEPARATED.match(text, end) is not None
    return _Column(found[kind], kind == "w", separated or end == len(text), end)


def _columns(text: str) -> _Columns:
    at, before = 0, list[_Column]()
    for _ in range(COLUMNS):
        column = _column(text, at)
        if column is None:
            break
        if level := column.level(before):
            closed = not column.bare and text[column.end : column.end + 1] == "["
            return _Columns(level, _after(text, column.end), before, closed)
        if column.bare and "." in column.text and (dotted := _after_dot(column)):
            named = column._replace(text=column.text.rpartition(".")[0])
            return _Columns(dotted, _after(text, column.end), [*before, named])
        if column.ends(before, text):
            break
        before.append(column)
        at = column.end
    return _Columns(None, text.strip())


def _spoken(text: str, column: _Column) -> bool:
    """Whether ``word:`` begins a message: no level in brackets follows (``modbus: [ERROR] …``)."""
    following = _column(text, column.end)
    return following is None or following.bare or following.level([column]) is None


def _after_dot(column: _Column) -> Level | None:
    """The level of ``production.ERROR:``."""
    name, dot, word = column.text.rstrip(":").rpartition(".")
    marked = column.text.endswith(":") or column.separated
    return stated_levels.of_column(word, False) if dot and name and marked else None


def _after(text: str, end: int) -> str:
    return text[end:] if text[end : end + 1] == "[" else text[end:].lstrip(" :|-,;\t\u2013")


def _message(columns: _Columns, labels: dict[str, str]) -> str:
    """The message after the level, without thread and logger, which become labels."""
    msg = columns.msg
    for pattern in _BEFORE_MESSAGE:
        if found := pattern.match(msg):
            parts = found.groupdict()
            labels.update({NAMES[k]: v.strip() for k, v in parts.items() if v and k in _PARTS})
            labels |= {"logger": parts["at"]} if parts.get("at") else {}
            return found["msg"]
    if columns.closed and (found := _BRACKETS.match(msg)):
        labels["logger"] = found["first"].strip()
        labels |= {"service.instance.id": found["second"]} if found["second"] else {}
        return msg[found.end() :]
    if msg.endswith(")") and (found := _LOGGER_AT_END.search(msg)):
        labels["logger"] = found["logger"]
        return msg[: found.start()]
    return msg


_PARTS = frozenset({"thread", "logger", "pid"})
_PLACE = re.compile(r"[\w./@-]+\.\w+:\d+")


def _tabbed(msg: str, labels: dict[str, str]) -> str:
    """zap on a console: logger, place, message and a JSON object, between tabs."""
    parts = msg.split("\t")
    if len(parts) > 2 and not _PLACE.fullmatch(parts[0]) and " " not in parts[0]:
        labels["logger"] = parts.pop(0)
    if len(parts) > 1 and _PLACE.fullmatch(parts[0]):
        labels["code.file.path"] = parts.pop(0)
    if len(parts) > 1 and parts[-1].startswith("{"):
        fields = _object(parts[-1])
        if fields is not None:
            parts.pop()
            labels.update(fields)
            if error := labels.get("exception.message"):
                parts[-1] = f"{parts[-1]}: {error}"
    return " ".join(parts)


def _object(text: str) -> dict[str, str] | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return {
        "exception.message" if key in ("error", "err") else key: (
            value if isinstance(value, str) else json.dumps(value)
        )[:LABEL_LIMIT]
        for key, value in list(fields.items())[:LABELS_LIMIT]
    }


_LOGFMT = Logfmt()
_CLOSING = {"[": "]", "(": ")", "<": ">"}
_ENDS_TIME = frozenset(" \t:|,;-[")


class DatedFormat:
    """A time, perhaps in brackets, columns, a message."""

    name, syslog = "dated", False
    starts = "[(<" + DIGITS + ALPHABET
    begins = stated_times.BEGINS

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not begin with a time."""
        closing = _CLOSING.get(line[:1])
        found = stated_times.leading(line, now, 1 if closing else 0)
        if found is None:
            return None
        ts, end = found
        if closing:
            text = _closed(line, end, closing)
        else:
            text = line[end:] if end == len(line) or line[end] in _ENDS_TIME else None
        if text is None:
            return None
        text = text.strip(" \t:|,;")
        # Oracle's alert log writes a time on a line of its own before its entries.
        return _content(text, ts, now) if text else ParsedLine(line, Level.INFO, ts)


def _closed(line: str, end: int, closing: str) -> str | None:
    """The columns of a line whose time is in brackets, with what else stands in them."""
    close = line.find(closing, end)
    if close < 0 or close - end > 120:
        return None
    inner, rest = line[end:close].strip(" ,|"), line[close + 1 :].strip()
    if not inner:
        return rest
    first, _, logger = inner.partition(" ")
    if stated_levels.of_column(first, True):  # [2026-11-30T12:00:00Z ERROR ais::feed] text
        return f"[{first}] {logger.strip()}: {rest}" if logger.strip() else f"[{first}] {rest}"
    return f"{inner} {rest}"


def _content(text: str, ts: datetime, now: datetime) -> ParsedLine:
    text = text.removeprefix("- ")
    if "=" in text[:48] and (pairs := _LOGFMT.read(text, now)) and pairs.level:
        return pairs._replace(ts=pairs.ts or ts)
    columns = _columns(text)
    if columns.level is None:
        if found := _PROGRAM.match(columns.msg):
            labels = {"process.pid": found["pid"]}
            program = found["service"]
            return ParsedLine(found["msg"], None, ts, found["host"], service=program, labels=labels)
        return ParsedLine(columns.msg, None, ts)
    labels = dict[str, str]()
    msg = _message(columns, labels) if "\t" not in columns.msg else _tabbed(columns.msg, labels)
    service = _named(columns.before, labels)
    if found := EXCEPTION.match(msg):
        labels["exception.type"] = found[1]
    return ParsedLine(msg.strip(), columns.level, ts, service=service, labels=labels)


def _named(before: list[_Column], labels: dict[str, str]) -> str | None:
    """The program that the columns before the level name; process and thread become labels."""
    service = None
    for column in before:
        name = column.text.rstrip(":").strip()
        if _NUMBER.fullmatch(name):
            labels.setdefault("process.pid", name)
        elif column.bare and service is None and _PROGRAM_NAME.fullmatch(name):
            service = name
        elif name:
            labels.setdefault("thread.name", name[:LABEL_LIMIT])
    return service


_LEVEL_FIRST = re.compile(r"([\[(<]?)([A-Za-z]{1,9})[\])>]?(:?)[\s|-]+(?=[\[(]?\d)")


class LevelThenTime:
    """``ERROR 2026-11-30 12:00:00 message``."""

    name, syslog, starts = "level and time", False, "[(<" + ALPHABET
    begins = rf"{_LEVEL_FIRST.pattern}(?={stated_times.BEGINS})"

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not begin with a level and a time."""
        found = _LEVEL_FIRST.match(line)
        if found is None:
            return None
        opened, word, colon = found.groups()
        level = stated_levels.of_column(word, bool(opened or colon)) or _INITIALS.get(word)
        if level is None:
            return None
        dated = _DATED.read(line[found.end() :], now)
        return None if dated is None else dated._replace(level=level)


class QuotedCsv:
    """``"2026-11-30 12:00:00","ERROR","pump","message"``."""

    name, syslog, starts = "csv", False, '"'

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when its first value is no time."""
        if '","' not in line and '";"' not in line:
            return None
        delimiter = "," if '","' in line else ";"
        try:
            values = next(csv.reader([line], delimiter=delimiter))
        except (csv.Error, StopIteration):
            return None
        return _DATED.read("; ".join(values), now)


_DATED = DatedFormat()
