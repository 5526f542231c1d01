"""Incidents on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import SEVERITY_STYLE, STATUS_STYLE, age, coloured, dig

MEMBERS_SHOWN = 20


def listing(items: Sequence[Mapping[str, Any]]) -> Table:
    """Incidents as a table, one row each."""
    table = Table(
        "id", "severity", "status", "title", "root cause", "members", "last seen", box=None
    )
    for one in items:
        table.add_row(
            one["id"],
            coloured(one["severity"], SEVERITY_STYLE),
            coloured(one["status"], STATUS_STYLE),
            Text(one["title"]),
            Text(root_cause(one)),
            str(one.get("anomaly_count", "")),
            f"{age(one['last_seen'])} ago",
        )
    return table


def root_cause(incident: Mapping[str, Any]) -> str:
    """The device, or else the service, that an incident is thought to come from."""
    return dig(incident, "root_cause", "device") or dig(incident, "root_cause", "service") or "-"


def detail(incident: Mapping[str, Any]) -> RenderableType:
    """One incident in full: what, why, who belongs to it, what happened to it."""
    head = Table.grid(padding=(0, 2))
    for name, value in _facts(incident):
        head.add_row(Text(name, style="dim"), value)
    parts: list[RenderableType] = [Text(incident["title"], style="bold"), head]
    if evidence := incident.get("evidence"):
        parts.append(_members(evidence))
    if timeline := incident.get("timeline"):
        parts.append(_history(timeline))
    return Group(*parts)


def _facts(incident: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
    cause = f"{root_cause(incident)}: {dig(incident, 'root_cause', 'reason') or 'no reason given'}"
    devices = ", ".join(incident.get("affected_devices", ()))
    facts: list[tuple[str, RenderableType]] = [
        ("id", incident["id"]),
        ("severity", coloured(incident["severity"], SEVERITY_STYLE)),
        ("status", coloured(incident["status"], STATUS_STYLE)),
        ("root cause", Text(cause)),
        ("devices", Text(devices)),
        ("anomalies", str(incident.get("anomaly_count", ""))),
        ("seen", f"{incident['first_seen']} - {incident['last_seen']}"),
    ]
    for key in ("description", "resolve_reason", "assignee"):
        if value := incident.get(key):
            facts.append((key.replace("_", " "), escape(str(value))))
    if narrative := dig(incident, "llm_insights", "narrative"):
        facts.append(("insight", Text(narrative)))
    return facts


def _members(evidence: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("time", "device", "service", "severity", "line", "why it belongs", box=None)
    table.title = f"newest {min(len(evidence), MEMBERS_SHOWN)} members"
    for one in evidence[-MEMBERS_SHOWN:]:
        table.add_row(
            one["ts"][11:23],
            one.get("device_id") or one["host"],
            one["service"],
            coloured(one["severity"], SEVERITY_STYLE),
            Text(one["msg"]),
            Text(one.get("reason", "")),
        )
    return table


def _history(timeline: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("time", "what", "by", "", box=None, title="history")
    for entry in timeline:
        words = (entry["kind"], entry.get("actor", ""), entry["text"])
        table.add_row(entry["ts"][:19], *(Text(word) for word in words))
    return table
