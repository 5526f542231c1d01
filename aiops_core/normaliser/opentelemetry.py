"""Log records of OpenTelemetry: OTLP as JSON, and the records of collectors' exporters. Pure.

A line with several records is the most severe of them; ``otlp.records`` says how many there were.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels, stated_times
from aiops_core.normaliser.json_fields import Object, content, flattened, text
from aiops_core.normaliser.parsed import ParsedLine

_SIMPLE = ("stringValue", "intValue", "boolValue", "doubleValue", "bytesValue")


def value_of(wrapped: object) -> object:
    """The value within ``{"stringValue": …}``."""
    if not isinstance(wrapped, dict):
        return wrapped
    for name in _SIMPLE:
        if name in wrapped:
            return wrapped[name]
    if isinstance(listed := wrapped.get("kvlistValue"), dict):
        return attributes(listed.get("values"))
    if isinstance(array := wrapped.get("arrayValue"), dict):
        values = array.get("values")
        return [value_of(one) for one in values] if isinstance(values, list) else None
    return wrapped


def attributes(listed: object) -> Object:
    """Attributes, whether a list of keys and values or an object."""
    if isinstance(listed, dict):
        return {str(key): value_of(value) for key, value in listed.items()}
    if not isinstance(listed, list):
        return {}
    return {
        text(one["key"]): value_of(one.get("value"))
        for one in listed
        if isinstance(one, dict) and "key" in one
    }


def _of(fields: Object, *names: str) -> object:
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def record(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A single log record."""
    body = value_of(_of(fields, "body", "Body"))
    if body is None and not _of(fields, "attributes", "Attributes"):
        return None
    return _content(fields, _resource_of(fields), "", line, now)


def _resource_of(fields: Object) -> Object:
    resource = _of(fields, "resource", "Resource")
    if isinstance(resource, dict) and "attributes" in resource:
        return attributes(resource["attributes"])
    return attributes(resource)


def _content(fields: Object, resource: Object, scope: str, line: str, now: datetime) -> ParsedLine:
    body = value_of(_of(fields, "body", "Body"))
    number = stated_levels.opentelemetry(_of(fields, "severityNumber", "severity_number",
                                             "SeverityNumber"))  # fmt: skip
    word = _of(fields, "severityText", "severity_text", "SeverityText")
    level = number or (stated_levels.of_text(word) if word else None)
    when = _of(
        fields,
        *("timeUnixNano", "time_unix_nano", "Timestamp", "timestamp", "observedTimeUnixNano"),
        *("observed_time_unix_nano", "ObservedTimestamp", "observed_timestamp"),
    )
    stated = stated_times.value(_whole(when), now)
    own = attributes(_of(fields, "attributes", "Attributes"))
    flat = flattened({**{key: text(value) for key, value in resource.items()}, **own})
    if isinstance(body, dict):
        flat |= flattened(body)
    elif body is not None:
        flat["body"] = text(body)
    flat["@t"] = stated.isoformat() if stated else None
    if level:
        flat["level"] = level.value
    flat["trace_id"] = _of(fields, "traceId", "trace_id", "TraceId")
    flat["span_id"] = _of(fields, "spanId", "span_id", "SpanId")
    if scope:
        flat["logger"] = scope
    return content({key: value for key, value in flat.items() if value is not None}, line, now)


def _whole(when: object) -> object:
    return int(when) if isinstance(when, str) and when.isdecimal() and len(when) < 20 else when


def export(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """``{"resourceLogs": [...]}``: the most severe of its records."""
    found = list(_records(fields))
    if not found:
        return None
    read = [_content(one, resource, scope, line, now) for one, resource, scope in found[:64]]
    worst = max(read, key=lambda one: one.level or Level.DEBUG)
    if len(found) == 1:
        return worst
    labels = {**worst.labels, "otlp.records": str(len(found))}
    return ParsedLine(
        worst.msg, worst.level, worst.ts, worst.host, worst.device_id, worst.service, labels=labels
    )


def _list(value: object) -> list[Object]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _records(fields: Object) -> Iterator[tuple[Object, Object, str]]:
    for resource_log in _list(fields.get("resourceLogs", fields.get("resource_logs"))):
        resource = _resource_of(resource_log)
        for scope_log in _list(
            resource_log.get("scopeLogs", resource_log.get("instrumentationLibraryLogs"))
        ):
            scope = scope_log.get("scope")
            name = text(scope.get("name") or "") if isinstance(scope, dict) else ""
            for one in _list(scope_log.get("logRecords")):
                yield one, resource, name


SIGNATURES = {
    "resourceLogs": export,
    "resource_logs": export,
    "severityNumber": record,
    "severity_number": record,
    "SeverityNumber": record,
    "severityText": record,
    "severity_text": record,
    "SeverityText": record,
    "timeUnixNano": record,
    "observedTimeUnixNano": record,
}
