"""Events of .NET as JSON: Serilog's compact and its long form, the console's own. Pure.

A message template (``Cannot open {Port}``) is filled from the event's properties.
"""

from __future__ import annotations

import re
from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser.json_fields import Object, content, flattened, text
from aiops_core.normaliser.parsed import ParsedLine

_HOLE = re.compile(r"\{[@$]?(\w+)(?:,-?\d+)?(?::[^{}]*)?\}")


def filled(template: str, properties: Object) -> str:
    """*template* with the values of *properties*; a hole without a value stays."""
    return _HOLE.sub(
        lambda hole: text(properties[hole[1]]) if hole[1] in properties else hole[0], template
    )


def compact(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """CLEF: ``@t @m @mt @l @x``; without ``@l`` the level is information."""
    if not fields.keys() & {"@m", "@mt", "@l", "@x", "@i"}:
        return None
    rest = dict(fields)
    template = rest.pop("@mt", None)
    if not rest.get("@m") and isinstance(template, str):
        rest["@m"] = filled(template, fields)
    rest.setdefault("@l", "Information")
    if isinstance(number := rest.pop("@i", None), str | int):
        rest["event_id"] = rest.get("event_id", number)
    parsed = content(flattened(rest), line, now)
    return parsed._replace(level=parsed.level or Level.INFO)


def long(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """Serilog's JSON formatter: ``Timestamp Level MessageTemplate RenderedMessage Properties``."""
    template, properties = fields.get("MessageTemplate"), fields.get("Properties")
    if isinstance(template, dict):
        template = template.get("Text")
    if not isinstance(template, str):
        return None
    properties = properties if isinstance(properties, dict) else {}
    rest = {
        **{key: value for key, value in properties.items() if key not in fields},
        **{key: value for key, value in fields.items() if key not in _OWN},
    }
    rest["@m"] = fields.get("RenderedMessage") or filled(template, {**fields, **properties})
    return content(flattened(rest), line, now)


_OWN = frozenset({"MessageTemplate", "RenderedMessage", "Properties", "Renderings"})


def console(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """The JSON console of Microsoft.Extensions.Logging: ``EventId LogLevel Category State``."""
    if "Category" not in fields or "Message" not in fields:
        return None
    rest = {key: value for key, value in fields.items() if key not in ("State", "Scopes")}
    state = fields.get("State")
    for key, value in state.items() if isinstance(state, dict) else ():
        if key not in ("Message", "{OriginalFormat}"):
            rest.setdefault(key, value)
    return content(flattened(rest), line, now)


SIGNATURES = {"@t": compact, "@mt": compact, "MessageTemplate": long, "LogLevel": console}
