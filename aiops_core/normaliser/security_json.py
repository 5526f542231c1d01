"""JSON of network monitors: Suricata's eve.json and Zeek's logs. Pure.

Names that they have seen (of hosts, files, programs) are others' text and stay labels.
"""

from __future__ import annotations

from datetime import datetime

from aiops_core.models import Level
from aiops_core.normaliser.json_fields import Object, content, flattened, text
from aiops_core.normaliser.parsed import ParsedLine

_SURICATA = {1: Level.ERROR, 2: Level.WARNING}  # 1 is the most severe


def suricata(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """An event of Suricata: of an alert its signature, of others who spoke with whom."""
    kind = fields.get("event_type")
    if not isinstance(kind, str) or not fields.keys() & {"src_ip", "flow_id", "stats", "engine"}:
        return None
    alert = fields.get("alert")
    severity = alert.get("severity") if isinstance(alert, dict) else None
    level = _SURICATA.get(severity, Level.INFO) if isinstance(severity, int) else Level.INFO
    said = f"{kind}{_between(fields)}"
    if isinstance(alert, dict):
        category = f" ({alert['category']})" if alert.get("category") else ""
        said = f"alert: {alert.get('signature', '')}{category}{_between(fields)}"
    flat = flattened({**fields, "msg": said, "level": level.value, "service": "suricata"})
    flat.pop("event_type", None)
    flat["suricata.event_type"] = kind
    return content(flat, line, now)._replace(level=level)


def _between(fields: Object) -> str:
    ends = [
        f"{text(fields[address])}:{text(fields[port])}"
        if fields.get(port)
        else text(fields[address])
        for address, port in (("src_ip", "src_port"), ("dest_ip", "dest_port"))
        if fields.get(address)
    ]
    return f" {' -> '.join(ends)}" if ends else ""


def zeek(fields: Object, line: str, now: datetime) -> ParsedLine | None:
    """A line of one of Zeek's logs; only a notice says something in words."""
    if "ts" not in fields or not fields.keys() & {"uid", "_path", "note"}:
        return None
    path = text(fields.get("_path", "zeek"))
    ends = [
        f"{text(fields[host])}:{text(fields.get(port, '-'))}"
        for host, port in (("id.orig_h", "id.orig_p"), ("id.resp_h", "id.resp_p"))
        if fields.get(host)
    ]
    rest = {key: value for key, value in fields.items() if key not in ("_path", "note", "service")}
    note = fields.get("note")
    if note is None:
        rest["msg"] = f"{path} {' -> '.join(ends)}".strip()
        rest["level"] = Level.INFO.value
    else:
        rest["msg"] = f"{text(note)}: {text(fields.get('msg', ''))}".rstrip(": ")
        rest["event_id"] = note
    rest |= {"app": "zeek", "zeek.log": path, "zeek.service": fields.get("service")}
    return content(flattened(rest), line, now)


SIGNATURES = {"event_type": suricata, "uid": zeek, "_path": zeek, "note": zeek}
