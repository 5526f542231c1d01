"""Silences on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import SEVERITY_STYLE, age, coloured

SOON = 3600.0  # seconds: what ends earlier stands out
STATE_STYLE = {"active": "bold", "pending": "cyan", "expired": "dim"}


def listing(items: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        "id", "state", "what", "owner", "reason", "ends", "hidden", "last matched", box=None
    )
    for one in items:
        last = one["last_matched_at"]
        table.add_row(
            one["id"],
            coloured(one["state"], STATE_STYLE),
            Text(" ".join(one["matchers"])),
            Text(one["owner"]),
            Text(one["reason"]),
            ending(one),
            _number(one["hidden"]),
            f"{age(last)} ago" if last else "never",
        )
    return table


def ending(one: Mapping[str, Any], now: datetime | None = None) -> Text:
    """When it ends, and in what colour: what ends soon may have to be extended."""
    now = now or datetime.now(UTC)
    at = datetime.fromisoformat(one["end"])
    if one["state"] == "expired":
        return Text(f"{age(at, now)} ago", style="dim")
    left = (at - now).total_seconds()
    return Text(f"in {age(now, at)}", style="yellow" if left < SOON else "")


def detail(one: Mapping[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    last = one["last_matched_at"]
    facts: list[tuple[str, RenderableType]] = [
        ("state", coloured(one["state"], STATE_STYLE)),
        ("what", Text(" ".join(one["matchers"]))),
        ("never hides", Text(", ".join(one["never_hides"]) or "-")),
        ("owner", Text(one["owner"])),
        ("reason", Text(one["reason"])),
        ("from", _time(one["start"])),
        ("until", Text.assemble(_time(one["end"]), " (", ending(one), ")")),
        ("hidden", _number(one["hidden"])),
        ("last matched", f"{age(last)} ago" if last else "never"),
        ("set by", Text(f"{one['created_by']}, {_time(one['created_at'])}")),
    ]
    for name, value in facts:
        grid.add_row(Text(name, style="dim"), value)
    return Group(Text(one["id"], style="bold"), grid)


def foreseen(found: Mapping[str, Any]) -> RenderableType:
    """A preview: the sum first, then of what it consists."""
    span = f"in the last {found['time_range']}"
    parts: list[RenderableType] = [
        Text(f"{found['hidden']} of {found['anomalies']} anomalies {span}", style="bold")
    ]
    if found["never_hidden"]:
        parts.append(Text(f"{found['never_hidden']} more match, but are never hidden"))
    if found["refused"]:
        parts.append(Text(f"such a silence is refused: {found['refused']}", style="red"))
    table = Table("anomaly", "device", "service", "severity", "number", box=None)
    for kind in found["top"]:
        severity = coloured(kind["severity"], SEVERITY_STYLE)
        where = (Text(kind[name]) for name in ("anomaly_type", "device", "service"))
        table.add_row(*where, severity, str(kind["number"]))
    return Group(*parts, table) if found["top"] else Group(*parts)


def _number(hidden: int | None) -> str:
    return "unknown" if hidden is None else str(hidden)


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
