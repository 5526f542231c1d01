"""The answers of the API as ``aiops devices`` shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from aiops_cli.screen import SEVERITY_STYLE, age, coloured

NAMED = 12  # ids in one line


def listing(found: Sequence[Mapping[str, Any]]) -> Table:
    """Devices as a table, one row each."""
    table = Table("id", "name", "type", "site", "criticality", "needs", "owner", box=None)
    for one in found:
        table.add_row(
            Text(one["id"]),
            Text(one["name"]),
            Text(one["type"]),
            Text(one["site"]),
            coloured(one["criticality"], SEVERITY_STYLE),
            Text(" ".join(one["upstream"]) or "-"),
            Text(one["owner"]),
        )
    return table


def strangers(found: Sequence[Mapping[str, Any]]) -> Table:
    """Hosts that no device goes by, one row each."""
    table = Table("host", "anomalies", "last", "services", box=None)
    for one in found:
        last, services = f"{age(one['last_seen'])} ago", ", ".join(one["services"])
        table.add_row(Text(one["host"]), str(one["anomalies"]), last, Text(services))
    return table


def detail(view: Mapping[str, Any]) -> RenderableType:
    """One device in full, between two trees."""
    device = view["device"]
    head = Table.grid(padding=(0, 2))
    for field in ("type", "site", "owner"):
        head.add_row(Text(field, style="dim"), Text(device[field] or "-"))
    head.add_row(Text("criticality", style="dim"), coloured(device["criticality"], SEVERITY_STYLE))
    for key, value in device["labels"].items():
        head.add_row(Text(key, style="dim"), Text(value))
    title = Text(f"{device['id']}  {device['name']}", style="bold")
    return Group(title, head, *_trees(view))


def _trees(view: Mapping[str, Any]) -> Iterator[RenderableType]:
    device, above, below = view["device"], view["upstream"], view["downstream"]
    needs = {one["id"]: one["upstream"] for one in (*above, device)}
    members = {one["id"] for one in (*below, device)}
    needed = {id: [one["id"] for one in below if id in one["upstream"]] for id in members}
    about = {one["id"]: one for one in (*above, *below)}
    yield _tree(f"needs {len(above)}", device["id"], needs, about)
    yield _tree(f"needed by {len(below)}", device["id"], needed, about)


def _tree(
    title: str, root: str, edges: Mapping[str, Sequence[str]], about: Mapping[str, Any]
) -> Tree:
    """The tree below *root*. A device with several parents is unfolded once, at the nearest."""
    tree = Tree(Text(title, style="bold"))
    level, shown = [(root, tree)], {root}
    while level:
        following = []
        for id, branch in level:
            for child in (c for c in edges.get(id, ()) if c in about):
                grown = branch.add(_leaf(about[child], again=child in shown))
                if child not in shown:
                    shown.add(child)
                    following.append((child, grown))
        level = following
    return tree


def _leaf(one: Mapping[str, Any], *, again: bool) -> Text:
    leaf = Text(one["id"], style=SEVERITY_STYLE.get(one["criticality"], ""))
    leaf.append(f"  {one['name'] or one['type']}", style="dim")
    return leaf.append(" (again)", style="dim") if again else leaf


def difference(report: Mapping[str, Any]) -> RenderableType:
    """The changes of an import."""
    lines = [f"[green]+[/] {escape(id)}" for id in report["added"]]
    for change in report["changed"]:
        lines += [f"[yellow]~[/] {escape(change['id'])}  {_moved(f)}" for f in change["fields"]]
    lines += [f"[red]-[/] {escape(id)}" for id in report["removed"]]
    lines += [f"[yellow]![/] {escape(warning)}" for warning in report["warnings"]]
    if kept := report["kept"]:
        rest = f" and {len(kept) - NAMED} more" if len(kept) > NAMED else ""
        named = escape(", ".join(kept[:NAMED])) + rest
        lines.append(f"[dim]not in the file, kept (--prune removes them): {named}[/]")
    lines.append(_summary(report))
    return Group(*map(Text.from_markup, lines))


def _moved(field: Mapping[str, str]) -> str:
    before, after = (escape(field[key]) or "(empty)" for key in ("before", "after"))
    return f"{field['field']}: {before} → {after}"


def _summary(report: Mapping[str, Any]) -> str:
    counts = ", ".join(
        f"{len(report[key])} {key}" for key in ("added", "changed", "removed", "unchanged")
    )
    told = f"[bold]{report['total']} devices[/]: {counts}"
    return f"{told} [yellow](dry run: nothing was changed)[/]" if report["dry_run"] else told
