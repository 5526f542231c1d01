"""JSON lines that are messages of the platform itself, as ``aiops simulate --out`` writes them."""

from __future__ import annotations

from pydantic import ValidationError

from aiops_core.models import LogEntry, MetricSample
from aiops_core.normaliser import json_lines, times
from aiops_core.normaliser.parsed import Unreadable

_ENTRY = {"tracking_id", "ship_id", "ts", "host", "msg"}
_SAMPLE = {"tracking_id", "ship_id", "ts", "host", "metric", "value"}


def read(fields: json_lines.Object) -> LogEntry | MetricSample | None:
    """The message that *fields* are, or None; raises Unreadable when one is wrong."""
    if fields.keys() >= _SAMPLE:
        return _message(MetricSample, fields)
    if fields.keys() >= _ENTRY:
        return _message(LogEntry, fields)
    return None


def _message(
    kind: type[LogEntry | MetricSample], fields: json_lines.Object
) -> LogEntry | MetricSample:
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
