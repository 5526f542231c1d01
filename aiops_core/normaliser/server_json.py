"""JSON of servers and collectors whose fields need more than names: MongoDB, log4j, GELF. Pure."""

from __future__ import annotations

from datetime import datetime

from aiops_core.normaliser import stated_levels
from aiops_core.normaliser.database_logs import mongo_level
from aiops_core.normaliser.json_fields import Object, content, cut, flattened, text
from aiops_core.normaliser.parsed import ParsedLine


def mongodb(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """``{"t": {"$date": …}, "s": "I", "c": "NETWORK", "id": …, "ctx": …, "msg": …, "attr": …}``."""
    initial, when = fields.get("s"), fields.get("t")
    if not isinstance(initial, str) or not isinstance(when, dict) or "msg" not in fields:
        return None
    rest = {
        "ts": when.get("$date"),
        "level": mongo_level(initial).value,
        "service": "mongodb",
        "msg": fields["msg"],
        "event_id": fields.get("id"),
        "provider": fields.get("c"),
        "thread": fields.get("ctx"),
        **{key: value for key, value in fields.items() if key not in _MONGO},
    }
    attributes = fields.get("attr")
    flat = flattened({**rest, "attr": attributes if isinstance(attributes, dict) else {}})
    error = flat.pop("attr.error.errmsg", None) or flat.pop("attr.error", None)
    if error is not None:
        flat["error"] = text(error)
    return content(flat, line, now)


_MONGO = frozenset({"t", "s", "c", "id", "ctx", "msg", "attr", "svc"})


def log4j(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """log4j 2's JsonLayout: the time is an object of seconds and nanoseconds."""
    instant = fields.get("instant")
    if not isinstance(instant, dict) or not isinstance(instant.get("epochSecond"), int | float):
        return None
    nanos = instant.get("nanoOfSecond", 0)
    seconds = float(instant["epochSecond"])
    seconds += nanos / 1e9 if isinstance(nanos, int | float) else 0
    drop = ("instant", "endOfBatch", "loggerFqcn", "threadPriority", "threadId")
    rest = {key: value for key, value in fields.items() if key not in drop}
    flat = flattened({**rest, "timeMillis": seconds})
    for name in [key for key in flat if key.startswith("thrown.extendedStackTrace")]:
        flat[name] = text(flat[name])
    return content(flat, line, now)


def gelf(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """Graylog's format: the level is syslog's, names of more fields begin with ``_``."""
    rest = {key.removeprefix("_"): value for key, value in fields.items() if key != "version"}
    level = stated_levels.syslog(fields.get("level"))
    if level is not None:
        rest["level"] = level.value
    full = rest.pop("full_message", None)
    if isinstance(full, str) and full.strip() != text(fields["short_message"]).strip():
        rest.setdefault("stack_trace", full)
    facility = rest.pop("facility", None)
    parsed = content(flattened(rest), line, now)
    if facility:
        labels = cut([*parsed.labels.items(), ("facility", text(facility))])
        parsed = parsed._replace(service=parsed.service or text(facility), labels=labels)
    return parsed


def cloudwatch(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A subscription of CloudWatch: the first of its events, of its stream and group."""
    events = fields.get("logEvents")
    if not isinstance(events, list) or not events or not isinstance(events[0], dict):
        return None
    rest = {key: value for key, value in fields.items() if key not in ("logEvents", "messageType")}
    group = fields.get("logGroup")
    service = text(group).rpartition("/")[2] if group else None
    return content(flattened({"service": service, **rest, **events[0]}), line, now)


SIGNATURES = {"t": mongodb, "instant": log4j, "short_message": gelf, "logEvents": cloudwatch}
