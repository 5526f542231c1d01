"""Lines that are JSON objects: the output of any logger. Pure.

Fields are found by their usual names; other keys become labels. A value that does not fit its field
(an unreadable time) becomes a label too, because the rest of the line is still worth having.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from aiops_core.models import Level
from aiops_core.normaliser import levels, times
from aiops_core.normaliser.parsed import ParsedLine, Unreadable

Object = dict[str, object]
T = TypeVar("T")

# The first name that is present wins.
TIME = ("ts", "time", "timestamp", "@timestamp", "datetime", "date", "t")
LEVEL = ("level", "severity", "lvl", "loglevel", "log_level", "levelname", "priority")
MESSAGE = ("msg", "message", "log", "text", "event", "short_message", "MESSAGE")
HOST = ("host", "hostname", "host_name", "_HOSTNAME", "node")
SERVICE = ("service", "app", "logger", "program", "appname", "application", "SYSLOG_IDENTIFIER")
DEVICE = ("device_id", "device")
SOURCE = ("source",)


def read(line: str, now: datetime) -> ParsedLine:
    """The content of the JSON object *line*; raises Unreadable."""
    return read_object(parse(line), line, now)


def read_object(fields: Object, line: str, now: datetime) -> ParsedLine:
    """The content of *fields*, the object in *line*; takes fields out of it."""
    msg = _take_text(fields, MESSAGE) or line
    ts = _take(fields, TIME, lambda value: _time(value, now))
    level = _take(fields, LEVEL, _level)
    return ParsedLine(
        msg=msg,
        level=level,
        ts=ts,
        host=_take_text(fields, HOST),
        device_id=_take_text(fields, DEVICE),
        service=_take_text(fields, SERVICE),
        source=_take_text(fields, SOURCE),
        labels={key: _text(value) for key, value in fields.items() if value is not None},
    )


def parse(line: str) -> Object:
    """The JSON object in *line*; raises Unreadable."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as exc:
        raise Unreadable(f"broken JSON: {exc.msg} at column {exc.colno}") from exc
    except (ValueError, RecursionError) as exc:
        raise Unreadable("broken JSON: a number too long or nested too deeply") from exc
    if not isinstance(fields, dict):
        raise Unreadable(f"JSON, but not an object: {type(fields).__name__}")
    if "\\u" in line:  # only an escape can spell half a surrogate pair, which has no UTF-8
        try:
            json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError as exc:
            raise Unreadable("half a surrogate pair, which is no text") from exc
    return fields


def _take(
    fields: Object, names: tuple[str, ...], convert: Callable[[object], T | None]
) -> T | None:
    """The field of the first of *names* that has a value; removed, unless *convert* gives None."""
    for name in names:
        if fields.get(name) not in (None, ""):
            value = convert(fields[name])
            if value is not None:
                del fields[name]
            return value
    return None


def _take_text(fields: Object, names: tuple[str, ...]) -> str | None:
    text = _take(fields, names, _text)
    return text.strip() or None if text else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time(value: object, now: datetime) -> datetime | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return times.from_number(value)
    return (times.epoch(value, now) or times.iso(value, now)) if isinstance(value, str) else None


def _level(value: object) -> Level | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return levels.from_number(value)
    if isinstance(value, str):
        return levels.from_number(int(value)) if value.isdecimal() else levels.from_word(value)
    return None
