"""Silences on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import SEVERITY_STYLE, age, coloured

SOON = 3600.0  # seconds; silences that end earlier are yellow
STATE_STYLE = {"active": "bold", "pending": "cyan", "expired": "dim"}


def listing(items: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        "id",
        "state",
        "matchers",
        "created by",
        "comment",
        "ends",
        "hidden",
        "last matched",
        box=None,
    )
    for one in items:
        last = one["last_matched_at"]
        table.add_row(
            one["id"],
            coloured(one["state"], STATE_STYLE),
            Text(" ".join(one["matchers"])),
            Text(one["created_by"]),
            Text(one["comment"]),
            ending(one),
            _number(one["hidden"]),
            f"{age(last)} ago" if last else "never",
        )
    return table


def ending(one: Mapping[str, Any], now: datetime | None = None) -> Text:
    """When it ends; yellow when that is soon, because it may have to be extended."""
    now = now or datetime.now(UTC)
    at = datetime.fromisoformat(one["ends_at"])
    if one["state"] == "expired":
        return Text(f"{age(at, now)} ago", style="dim")
    left = (at - now).total_seconds()
    return Text(f"in {age(now, at)}", style="yellow" if left < SOON else "")


def detail(one: Mapping[str, Any]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    last = one["last_matched_at"]
    facts: list[tuple[str, RenderableType]] = [
        ("state", coloured(one["state"], STATE_STYLE)),
        ("matchers", Text(" ".join(one["matchers"]))),
        ("never hides", Text(", ".join(one["never_hides"]) or "-")),
        ("created by", Text(one["created_by"])),
        ("comment", Text(one["comment"])),
        ("starts", _time(one["starts_at"])),
        ("ends", Text.assemble(_time(one["ends_at"]), " (", ending(one), ")")),
        ("hidden", _number(one["hidden"])),
        ("last matched", f"{age(last)} ago" if last else "never"),
        ("changed by", Text(f"{one['updated_by']}, {_time(one['updated_at'])}")),
    ]
    for name, value in facts:
        grid.add_row(Text(name, style="dim"), value)
    return Group(Text(one["id"], style="bold"), grid)


def preview_result(found: Mapping[str, Any]) -> RenderableType:
    """The sum first, then the most frequent anomalies."""
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
        where = (Text(kind[name]) for name in ("anomaly_type", "device_id", "service"))
        table.add_row(*where, severity, str(kind["number"]))
    return Group(*parts, table) if found["top"] else Group(*parts)


def _number(hidden: int | None) -> str:
    return "unknown" if hidden is None else str(hidden)


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
