"""JSON of devices and their gateways: a Starlink dish, Home Assistant, MQTT. Pure.

A device's state is told in words: what it is in, and which of its alerts are raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from aiops_core.normaliser.json_fields import Object, content, flattened, text
from aiops_core.normaliser.parsed import ParsedLine

_NO_ALERT = (False, None, 0, "", "false", "off", "ok", "OK", "none")
_DISH = frozenset(
    {"state", "obstruction_stats", "obstructionStats", "pop_ping_drop_rate", "popPingDropRate",
     "uptime_s", "device_state", "deviceState", "dish_state", "outage", "dishGetStatus",
     "device_info", "deviceInfo"}
)  # fmt: skip


def _raised(flat: Object) -> Iterator[str]:
    """The alerts that are raised: keys of an object that are true, or the names of a list."""
    for key, value in flat.items():
        head, _, name = key.rpartition(".")
        if head.rpartition(".")[2] == "alerts" and name and value not in _NO_ALERT:
            yield name if value is True else f"{name}={text(value)}"
        elif key.rpartition(".")[2] == "alerts" and isinstance(value, list):
            for one in value:
                yield text(one.get("name", one)) if isinstance(one, dict) else text(one)


_STATES = ("state", "dishGetStatus.state", "dish_state", "status.state", "device_state")


def dish(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A dish's status: its state, the cause of an outage, its raised alerts."""
    inner = fields.get("dishGetStatus")
    own = inner if isinstance(inner, dict) else fields
    if not own.keys() & _DISH or not isinstance(own.get("alerts"), dict | list):
        return None
    flat = flattened(fields)
    state = next((text(flat[name]) for name in _STATES if isinstance(flat.get(name), str)), None)
    cause = flat.get("outage.cause", flat.get("dishGetStatus.outage.cause"))
    raised = ", ".join(_raised(flat))
    parts = [
        f"state {state}" if state else "",
        f"outage: {text(cause)}" if cause else "",
        f"alerts: {raised}" if raised else "",
    ]
    said = ", ".join(part for part in parts if part) or "no alerts"
    parsed = content(flat, line, now)
    msg = said if parsed.msg == line else f"{parsed.msg}: {said}"
    return parsed._replace(msg=msg)


def entity(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A state of Home Assistant, as it stands or within an event."""
    data = fields.get("data")
    data = data if isinstance(data, dict) else fields
    name, state = data.get("entity_id"), data.get("new_state", data)
    if name is None or not isinstance(state, dict) or "state" not in state:
        return None
    attributes = state.get("attributes")
    friendly = attributes.get("friendly_name") if isinstance(attributes, dict) else None
    parsed = content(
        flattened({key: one for key, one in fields.items() if key != "data"}), line, now
    )
    said = f"{text(friendly or name)} is {text(state['state'])}"
    before = data.get("old_state")
    if isinstance(before, dict) and before.get("state"):
        said += f", was {text(before['state'])}"
    labels = {**parsed.labels, "entity": text(name)}
    when = state.get("last_changed") or state.get("last_updated")
    if parsed.ts is None and when:
        parsed = parsed._replace(ts=content({"ts": when}, line, now).ts)
    msg = said if parsed.msg == line else parsed.msg
    return parsed._replace(msg=msg, service=parsed.service or "home", labels=labels)


def mqtt(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A message of a broker: its topic and what it carries, an object or text."""
    payload = fields.get("payload", fields.get("value"))
    if not isinstance(fields.get("topic"), str) or payload is None:
        return None
    if isinstance(payload, str) and payload.startswith("{"):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return None
    rest = {key: value for key, value in fields.items() if key not in ("payload", "value")}
    if isinstance(payload, dict):
        parsed = content(flattened({**rest, **payload}), line, now)
        if parsed.msg != line:
            return parsed
        said = ", ".join(f"{key}={text(value)}" for key, value in flattened(payload).items())
        return parsed._replace(msg=f"{text(fields['topic'])}: {said}")
    return content(flattened(rest), line, now)._replace(
        msg=f"{text(fields['topic'])}: {text(payload)}"
    )


SIGNATURES = {"alerts": dish, "dishGetStatus": dish, "entity_id": entity, "topic": mqtt,
              "data": lambda fields, line, now: entity(fields, line, now)}  # fmt: skip
