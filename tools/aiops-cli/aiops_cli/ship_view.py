"""The answers of the API as ``aiops ship`` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import age

STATE_STYLE = {"running": "bold yellow", "planned": "cyan", "over": "dim", "withdrawn": "dim"}
SHOWN = 6  # device ids in one cell


def overview(view: Mapping[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [mode_line(view["mode"])]
    for title, items, table in (
        ("maintenance", view["maintenance"], windows),
        ("outages", view["outages"], outages),
    ):
        parts.append(Text(title, style="bold"))
        parts.append(table(items) if items else Text("none", style="dim"))
    return Group(*parts)


def mode_line(view: Mapping[str, Any]) -> Text:
    if view["mode"] is None:
        return Text("mode: nobody has declared one (`aiops ship mode at_sea`)")
    line = Text.assemble("mode: ", (view["mode"], "bold"), f" for {age(view['since'])}")
    line.append(f", set by {view['by']}" if view["by"] else "")
    return line.append(f": {view['reason']}" if view["reason"] else "")


def mode_history(view: Mapping[str, Any]) -> Table:
    table = Table("since", "mode", "by", "reason", box=None)
    for change in view["history"]:
        fields = (_time(change["since"]), change["mode"], change["by"], change["reason"])
        table.add_row(*map(Text, fields))
    return table


def windows(items: Sequence[Mapping[str, Any]]) -> Table:
    """Maintenance windows as a table."""
    table = Table("id", "state", "from", "until", "what", "covers", "owner", "reason", box=None)
    for view in items:
        window = view["window"]
        what = [*window["devices"], *(f"service {name}" for name in window["services"])]
        what += ["and dependants"] * window["dependants"]
        covers = _ids(view["covers"]) or ("-" if not window["devices"] else "no known device")
        table.add_row(*_spell(window, view["state"]), Text(", ".join(what)), Text(covers),
                      Text(window["owner"]), Text(window["reason"]))  # fmt: skip
    return table


def outages(items: Sequence[Mapping[str, Any]]) -> Table:
    """Outages as a table."""
    table = Table("id", "state", "from", "until", "link", "kind", "needed by", "source", "reason",
                  box=None)  # fmt: skip
    for view in items:
        told = view["outage"]
        fields = (told["device_id"], told["kind"], _ids(view["dependants"]) or "-", told["source"])
        table.add_row(*_spell(told, view["state"]), *map(Text, fields), Text(told["reason"]))
    return table


def _spell(told: Mapping[str, Any], state: str) -> tuple[Text, ...]:
    style = STATE_STYLE.get(state, "")
    times = (Text(_time(told[key])) for key in ("start", "end"))
    return (Text(told["id"]), Text(state, style=style), *times)


def _time(iso: str) -> str:
    return f"{iso[:10]} {iso[11:16]}"


def _ids(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more
