"""Lines that begin with a time, and whose next columns may state a level: most loggers. Pure.

Columns are read from left to right as long as they look like columns: in brackets, before a
separator, or a name with dots, digits or slashes. The first that is a level ends them; a level word
further on is part of the message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.app_format import LABEL_LIMIT, LETTERS
from aiops_core.normaliser.line_format import DIGITS
from aiops_core.normaliser.parsed import ParsedLine
from aiops_core.normaliser.runtime_logs import EXCEPTION, Logfmt

COLUMNS = 6  # before the level, at most
_COLUMN = re.compile(
    r"[\s|,;]*(?:-+\s+|:\s+|-(?=[\[(]))?(?:\[(?P<b>(?:[^\[\]]|\[[^\[\]]*\]){0,120})\]"
    r"|\((?P<p>[^()]{0,80})\)|<(?P<a>[^<>]{0,80})>|(?P<w>[^\s\[\]()|,;<>]+))"
)
_SEPARATED = re.compile(r"\s*(?:\t|\||,|;|-\s|–\s|:)")  # what follows a column and not a word
_NAME = re.compile(r"[\w$][\w$./\\#@+*-]*(?:::?[\w$.-]+)*:?|<[^>]*>")
_HAS_MARK = re.compile(r"[\d._/@$#\\-]|::")
_LETTER = {"E": Level.ERROR, "W": Level.WARNING, "I": Level.INFO, "D": Level.DEBUG}
_LETTER |= {"F": Level.CRITICAL, "C": Level.CRITICAL, "V": Level.DEBUG, "N": Level.INFO}
_LETTER |= {"T": Level.DEBUG}

_THREAD_LOGGER = re.compile(
    r"\[(?P<thread>(?:[^\[\]]|\[[^\[\]]*\]){1,120}?)(?::(?P<at>[\w$.]+@\d+))?\]"
    r"\s+(?:\[[^\]]*\]\s+)?(?:(?P<logger>[\w$.#/<>-]{1,120})\s*)?(?:-|:)\s+(?P<msg>.*)",
    re.DOTALL,
)
_SPRING = re.compile(
    r"(?P<pid>\d+)\s+---\s+(?:\[[^\]]*\]\s*)?\[\s*(?P<thread>[^\]]*)\]\s+(?P<logger>\S+)\s*:\s+"
    r"(?P<msg>.*)",
    re.DOTALL,
)
_LOGGER = re.compile(
    r"(?P<logger>[A-Za-z_$][\w$]*(?:(?:\.|::)[\w$\[\]-]+)+(?::\d+)?)\s*(?:-|:)\s+(?P<msg>.*)"
    r"|(?P<name>[A-Za-z_$][\w$./#-]{1,60})\s+-\s+(?P<text>.*)",
    re.DOTALL,
)
_BRACKETS = re.compile(
    r"\s*\[(?P<first>[A-Za-z][\w.$/-]{0,80}\s*)\]\s*(?:\[(?P<second>[^\]\s]{1,60})\])?\s*"
)
_IN_PARENTHESES = re.compile(
    r"\((?P<thread>[\w -]{1,40})\) \[(?P<logger>[\w.]+)\] (?P<msg>.*)", re.DOTALL
)
_TAIL_LOGGER = re.compile(r" \((?P<logger>(?:[a-z]\w*\.){2,}[\w$]+)\)$")
_PROGRAM = re.compile(
    r"(?P<service>[A-Za-z][\w./-]{0,40})\[(?P<pid>\d+)\]:\s+(?P<msg>.*)", re.DOTALL
)
_PROGRAM_NAME = re.compile(r"[A-Za-z][\w.-]{1,40}")
_ID = re.compile(r"\d{1,7}")


@dataclass
class _Columns:
    """What stands between the time and the message."""

    level: Level | None
    msg: str
    before: list[str] = field(default_factory=list)
    closed: bool = False  # the level stood in brackets, and another bracket followed at once


def _in_brackets(line: str, end: int) -> tuple[str, int] | None:
    """The rest of the bracket in which the time stood, and where it ends."""
    close = line.find("]", end)
    if close < 0 or close - end > 120:
        return None
    return line[end:close], close + 1


def _columns(text: str) -> _Columns:
    at, plain, before = 0, 0, []
    for _ in range(COLUMNS):
        found = _COLUMN.match(text, at)
        if found is None:
            break
        word = found["w"]
        raw = word if word is not None else found["b"] or found["p"] or found["a"] or ""
        after = _SEPARATED.match(text, found.end())
        marked = (
            word is None or raw.endswith(":") or bool(after) or _ends_line_of(text, found.end())
        )
        level = stated_levels.of_column(raw, marked=marked)
        if level is None and len(raw) == 1 and (word is None or (before and marked)):
            level = _LETTER.get(raw)
        if level is not None and not (plain > 1):
            closed = found["b"] is not None and text[found.end() : found.end() + 1] == "["
            return _Columns(level, _after(text, found.end()), before, closed)
        if word is not None:
            if not _NAME.fullmatch(raw):
                break
            if not (after or _HAS_MARK.search(raw)):
                plain += 1
                if plain > 1:
                    break
            elif raw.endswith(":") and not _HAS_MARK.search(raw[:-1]) and before:
                break
        before.append(raw.strip().rstrip(":"))
        at = found.end()
        if word is not None and text[at - 1 : at] != ":" and after and ":" in after[0]:
            at = after.end()
    return _Columns(None, text.strip(), [])


def _ends_line_of(text: str, end: int) -> bool:
    return end >= len(text)


def _after(text: str, end: int) -> str:
    return text[end:].lstrip(" :|-,;\t\u2013") if text[end : end + 1] != "[" else text[end:]


def _named(before: list[str]) -> Iterator[tuple[str, str]]:
    """Labels of the columns before the level: numbers are a process, names a component."""
    for text in before:
        if _ID.fullmatch(text):
            yield "process.pid", text
        elif text:
            yield "logger" if _PROGRAM_NAME.fullmatch(text) else "thread.name", text


def _message(columns: _Columns, labels: dict[str, str]) -> str:
    """The message after the level, without thread and logger, which become labels."""
    msg = columns.msg
    for pattern in (_SPRING, _IN_PARENTHESES, _THREAD_LOGGER):
        if found := pattern.match(msg):
            parts = found.groupdict()
            msg = parts.pop("msg") or ""
            names = {"thread": "thread.name", "pid": "process.pid", "logger": "logger"}
            labels.update({names[k]: v.strip() for k, v in parts.items() if v and k in names})
            if parts.get("at"):
                labels["logger"] = parts["at"] or ""
            return msg
    if found := _LOGGER.match(msg):
        labels["logger"] = found["logger"] or found["name"]
        return found["msg"] if found["logger"] else found["text"]
    if columns.closed and (found := _BRACKETS.match(msg)):
        labels["logger"] = found["first"].strip()
        if found["second"]:
            labels["service.instance.id"] = found["second"]
        return msg[found.end() :]
    if found := _TAIL_LOGGER.search(msg):
        labels["logger"] = found["logger"]
        return msg[: found.start()]
    return msg


def _tabbed(msg: str, labels: dict[str, str]) -> str:
    """zap on a console: place, message and a JSON object, between tabs."""
    parts = msg.split("\t")
    if len(parts) > 1 and re.fullmatch(r"[\w./@-]+\.\w+:\d+", parts[0]):
        labels["code.file.path"] = parts.pop(0)
    elif len(parts) > 2 and re.fullmatch(r"[\w.-]+", parts[0]):
        labels["logger"] = parts.pop(0)
        return _tabbed("\t".join(parts), labels)
    if len(parts) > 1 and parts[-1].startswith("{") and parts[-1].endswith("}"):
        try:
            fields = json.loads(parts[-1])
        except (ValueError, RecursionError):
            return " ".join(parts)
        parts.pop()
        for key, value in list(fields.items())[:40]:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            labels["exception.message" if key in ("error", "err") else key] = text[:LABEL_LIMIT]
        if error := labels.get("exception.message"):
            parts.append(error)
            return ": ".join(parts)
    return " ".join(parts)


_LOGFMT = Logfmt()


class DatedFormat:
    """A time, perhaps in brackets, columns, a message."""

    name, syslog = "dated", False
    starts = "[(<" + DIGITS + LETTERS

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it does not begin with a time."""
        opened = line[:1] in "[(<"
        found = stated_times.leading(line, now, 1 if opened else 0)
        if found is None:
            return None
        ts, end = found
        if opened:
            inner = _in_brackets(line, end) if line[0] == "[" else self._closed(line, end)
            if inner is None:
                return None
            text = (
                f"{inner[0].strip(' ,|')} {line[inner[1] :]}"
                if inner[0].strip()
                else line[inner[1] :]
            )
            if inner[0].strip() and stated_levels.of_column(
                first := inner[0].split()[0], marked=True
            ):
                # [2026-11-30T12:00:00Z ERROR ais::feed] message
                logger = inner[0].strip()[len(first) :].strip()
                text = f"[{first}]{' ' + logger + ':' if logger else ''} {line[inner[1] :].strip()}"
        elif line[end : end + 1] not in ("", " ", "\t", ":", "|", ",", ";", "-", "["):
            return None
        else:
            text = line[end:]
        return self._content(text.strip(" \t:|,;"), ts, now)

    def _closed(self, line: str, end: int) -> tuple[str, int] | None:
        close = line.find({"(": ")", "<": ">"}[line[0]], end)
        return None if close < 0 or close - end > 40 else (line[end:close], close + 1)

    def _content(self, text: str, ts: datetime, now: datetime) -> ParsedLine:
        text = text.removeprefix("- ")
        labels: dict[str, str] = {}
        if "=" in text[:48] and (pairs := _LOGFMT.read(text, now)) and pairs.level:
            return ParsedLine(
                pairs.msg, pairs.level, pairs.ts or ts, pairs.host,
                service=pairs.service, labels=pairs.labels,
            )  # fmt: skip
        columns = _columns(text)
        service = None
        if columns.level is None:
            if found := _PROGRAM.match(columns.msg):
                service, labels["process.pid"] = found["service"], found["pid"]
                columns.msg = found["msg"]
            return ParsedLine(columns.msg, None, ts, service=service, labels=labels)
        labels.update(_named(columns.before))
        msg = _message(columns, labels) if "\t" not in columns.msg else _tabbed(columns.msg, labels)
        if columns.before and _PROGRAM_NAME.fullmatch(columns.before[0]):
            service = columns.before[0]
            if labels.get("logger") == service:
                del labels["logger"]
        if found := EXCEPTION.match(msg):
            labels["exception.type"] = found[1]
        return ParsedLine(msg.strip(), columns.level, ts, service=service, labels=labels)


class BareTime:
    """A line that is nothing but a time: Oracle's alert log writes it before its entries."""

    name, syslog, starts = "time", False, DIGITS + LETTERS + "["

    def read(self, line: str, now: datetime) -> ParsedLine | None:
        """*line* parsed, or None when it is more than a time."""
        if len(line) > 40:
            return None
        found = stated_times.leading(line, now)
        if found is None or found[1] != len(line):
            return None
        return ParsedLine(line, Level.INFO, found[0])


FORMATS = (BareTime(), DatedFormat())
