"""Lines that are JSON objects: the output of any logger. Pure.

A maker's form is known by a field that only it has (``SIGNATURES``); its reader brings the fields
into the usual names. Fields are then found by those names (``json_fields``), others become labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from aiops_core.normaliser import (
    device_json,
    dotnet_json,
    journald,
    kubernetes_events,
    opentelemetry,
    requests_json,
    security_json,
    server_json,
    windows_events,
)
from aiops_core.normaliser.json_fields import (
    HOST,
    LEVEL,
    MESSAGE,
    SERVICE,
    TIME,
    Object,
    content,
    flattened,
)
from aiops_core.normaliser.parsed import ParsedLine, Unreadable

__all__ = ["HOST", "LEVEL", "MESSAGE", "SERVICE", "TIME", "Object", "parse", "read", "read_object"]

JsonReader = Callable[[Object, str, datetime], ParsedLine | None]

SIGNATURES: dict[str, JsonReader] = {
    **journald.SIGNATURES,
    **windows_events.SIGNATURES,
    **opentelemetry.SIGNATURES,
    **dotnet_json.SIGNATURES,
    **server_json.SIGNATURES,
    **security_json.SIGNATURES,
    **requests_json.SIGNATURES,
    **kubernetes_events.SIGNATURES,
    **device_json.SIGNATURES,
}


def read(line: str, now: datetime) -> ParsedLine:
    """The content of the JSON object *line*; raises Unreadable."""
    return read_object(parse(line), line, now)


def read_object(fields: Object, line: str, now: datetime) -> ParsedLine:
    """The content of *fields*, the object in *line*."""
    for key in fields:
        if (reader := SIGNATURES.get(key)) and (found := reader(fields, line, now)):
            return found
    return content(flattened(fields), line, now)


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
