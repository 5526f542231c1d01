"""Lines that are JSON objects: a message of ours as it is, or what any logger writes.

Keys are found by their usual names; what no name claims becomes a label. A value that does not fit
(a time that is none) stays as a label too, because the rest of such a line is still worth having.
"""

from __future__ import annotations

import json
from datetime import datetime

from pydantic import ValidationError

from aiops_cli.ingest import levels, times
from aiops_cli.ingest.parsed import Parsed, Unreadable
from aiops_core.models import Level, LogEntry, MetricSample

Object = dict[str, object]

# The first name that is present wins.
TIME = ("ts", "time", "timestamp", "@timestamp", "datetime", "date", "t")
LEVEL = ("level", "severity", "lvl", "loglevel", "log_level", "levelname", "priority")
MESSAGE = ("msg", "message", "log", "text", "event", "short_message", "MESSAGE")
HOST = ("host", "hostname", "host_name", "_HOSTNAME", "node")
SERVICE = ("service", "app", "logger", "program", "appname", "application", "SYSLOG_IDENTIFIER")
DEVICE = ("device_id", "device")
SOURCE = ("source",)

_ENTRY = {"tracking_id", "ship_id", "ts", "host", "msg"}
_SAMPLE = {"tracking_id", "ship_id", "ts", "host", "metric", "value"}


def read(line: str, now: datetime) -> Parsed | LogEntry | MetricSample:
    """What the JSON object *line* says; raises Unreadable."""
    fields = _object(line)
    if kind := complete(fields):
        return _message(kind, fields)
    return _parsed(fields, line, now)


def _object(line: str) -> Object:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as exc:
        raise Unreadable(f"broken JSON: {exc.msg} at column {exc.colno}") from exc
    except (ValueError, RecursionError) as exc:
        raise Unreadable("broken JSON: a number too long or nested too deeply") from exc
    if not isinstance(fields, dict):
        raise Unreadable(f"JSON, but not an object: {type(fields).__name__}")
    if "\\u" in line:
        _check_text(fields)
    return fields


def _check_text(fields: Object) -> None:
    """Only JSON can spell half a surrogate pair, which no store or bus could take."""
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise Unreadable("half a surrogate pair, which is no text") from exc


def complete(fields: Object) -> type[LogEntry | MetricSample] | None:
    """The message class that *fields* already are, if any."""
    if fields.keys() >= _SAMPLE:
        return MetricSample
    return LogEntry if fields.keys() >= _ENTRY else None


def _message(kind: type[LogEntry | MetricSample], fields: Object) -> LogEntry | MetricSample:
    try:
        message = kind.model_validate(fields)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unreadable(f"not a {kind.__name__}: {where}: {first['msg']}") from exc
    except OverflowError as exc:  # a time at the end of the calendar, in a zone
        raise Unreadable(f"not a {kind.__name__}: a time out of range") from exc
    if times.in_range(message.ts) is None:
        raise Unreadable(f"not a {kind.__name__}: ts: out of range")
    return message


def _parsed(fields: Object, line: str, now: datetime) -> Parsed:
    left = dict(fields)
    msg = _take_text(left, MESSAGE) or line
    ts, level = _take_time(left, now), _take_level(left)
    return Parsed(
        msg=msg,
        level=levels.from_message(msg) if level is None else level,
        ts=ts,
        host=_take_text(left, HOST),
        device_id=_take_text(left, DEVICE),
        service=_take_text(left, SERVICE),
        source=_take_text(left, SOURCE),
        labels={key: _text(value) for key, value in left.items() if value is not None},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _first(fields: Object, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if fields.get(name) not in (None, "")), None)


def _take_text(left: Object, names: tuple[str, ...]) -> str | None:
    name = _first(left, names)
    return _text(left.pop(name)).strip() or None if name else None


def _take_time(left: Object, now: datetime) -> datetime | None:
    name = _first(left, TIME)
    when = _time(left[name], now) if name else None
    if name and when:
        del left[name]
    return when


def _time(value: object, now: datetime) -> datetime | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return times.from_number(value)
    return (times.epoch(value, now) or times.iso(value, now)) if isinstance(value, str) else None


def _take_level(left: Object) -> Level | None:
    name = _first(left, LEVEL)
    level = _level(left[name]) if name else None
    if name and level:
        del left[name]
    return level


def _level(value: object) -> Level | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return levels.from_number(value)
    if isinstance(value, str):
        return levels.from_number(int(value)) if value.isdecimal() else levels.from_word(value)
    return None
