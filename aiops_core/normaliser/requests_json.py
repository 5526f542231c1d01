"""Requests as JSON: what nginx, Caddy, Traefik, Envoy and others log of what guests asked. Pure.

The message is the request in quotes, as in an access log, so that nothing of it is taken for words
of the server. Without a level of its own a 5xx is a warning and everything else information.
"""

from __future__ import annotations

from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser import stated_levels
from aiops_core.normaliser.json_fields import Object, content, flattened, text
from aiops_core.normaliser.parsed import ParsedLine

_STATUS = (
    "status",
    "status_code",
    "statuscode",
    "DownstreamStatus",
    "response_code",
    "resp_status",
)
_METHOD = ("request_method", "method", "RequestMethod", "request.method", "http_method", "verb")
_ADDRESS = (
    *("request_uri", "uri", "RequestPath", "request.uri", "path", "url", "request_path"),
    *("request.url", "requested_uri"),
)
_VHOST = ("http_host", "RequestHost", "request.host", "host", "authority", "vhost", "server_name")


def _of(flat: Object, names: tuple[str, ...]) -> str | None:
    return next((text(flat[name]) for name in names if flat.get(name) not in (None, "")), None)


def read(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A request, or None when there is no status of an answer to one."""
    flat = flattened(fields)
    status = _of(flat, _STATUS)
    if status is None or not status.isdecimal() or len(status) != 3:
        return None
    asked, method = flat.get("request"), _of(flat, _METHOD)
    if not isinstance(asked, str):
        address = _of(flat, _ADDRESS)
        if address is None:
            return None
        asked = f"{method or '-'} {address}"
    words = asked.split()
    told = flat.get("msg") or flat.get("message")
    quoted = asked.replace('"', "'")
    said = f'"{quoted}" {status}'
    rest = {key: value for key, value in flat.items() if key not in (*_STATUS, *_VHOST, "request")}
    for name in ("msg", "message", *_METHOD, *_ADDRESS):
        rest.pop(name, None)
    rest |= {
        "msg": f"{told} {said}" if isinstance(told, str) and told else said,
        "method": method or (words[0] if words else None),
        "url": _of(flat, _ADDRESS) or (words[1] if len(words) > 1 else None),
        "status_code": status,
        "server.address": _of(flat, _VHOST),
    }
    parsed = content({key: one for key, one in rest.items() if one is not None}, line, now)
    level = parsed.level or stated_levels.http_status(status) or Level.INFO
    return parsed._replace(level=level, service=parsed.service or "http")


SIGNATURES = {
    name: read
    for name in (
        *("remote_addr", "request", "request_uri", "RequestPath", "DownstreamStatus", "ClientHost"),
        *("http_user_agent", "response_code", "request_method", "remote_ip"),
    )
}
