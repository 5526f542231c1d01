"""``aiops trace ID``: the way of one line through the platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console, dig, milliseconds

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def trace(
    tracking_id: Annotated[str, typer.Argument(metavar="ID", help="A line's tracking id.")],
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what became of one line: its stages, its anomaly, its incident."""
    with Api.open(api) as calls:
        found = calls.get(f"/trace/{tracking_id}")
    if as_json:
        emit_json(found)
    else:
        console().print(way(found))


def way(found: Mapping[str, Any]) -> RenderableType:
    """The line, its stages as a table, and its end."""
    total = milliseconds(found.get("total_latency_ms"))
    parts: list[RenderableType] = [
        Text(f"{found['tracking_id']}: {found['status']}, {total} in all", style="bold")
    ]
    for name, *keys in (("line", "log", "msg"), ("anomaly", "anomaly", "reason")):
        if value := dig(found, *keys):
            parts.append(Text(f"{name}: {value}"))
    parts.append(_stages(found.get("stages") or {}))
    if incident := found.get("incident"):
        parts.append(Text(f"incident: {incident.get('id')} {incident.get('title', '')}"))
    if hidden := found.get("suppressed"):
        parts.append(Text(suppression(hidden)))
    if digested := found.get("digested"):
        parts.append(Text(f"digested as {digested['anomaly_type']}: {digested['reason']}"))
    return Group(*parts)


def suppression(hidden: Mapping[str, Any]) -> str:
    """The rule that hid the line, its reason, and the incident or window to look at."""
    source = {"inhibition": "see incident", "maintenance": "window"}.get(hidden["kind"], "")
    see = f"; {source} {hidden['source']}" if hidden.get("source") else ""
    name = "rule" if hidden["kind"] in ("maintenance", "inhibition") else hidden["kind"]
    kind = "" if name == hidden["kind"] else f" ({hidden['kind']})"
    return f"hidden by {name} {hidden['by']}{kind}: {hidden['reason']}{see}"


def _stages(stages: Mapping[str, Any]) -> Table:
    table = Table("stage", "time", "latency", box=None)
    for name, stage in stages.items():
        table.add_row(name, dig(stage, "ts") or "-", milliseconds(dig(stage, "latency_ms")))
    return table
