"""Suggested devices and dependencies as ``aiops devices`` shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

SHOWN = 20  # names in one line
SURE, LIKELY = 0.8, 0.5  # confidences
OUTCOMES = {
    "new": "new",
    "stronger": "seen again",
    "known": "in the inventory already",
    "rejected": "rejected earlier",
    "contradicted": "the opposite is known or more certain",
    "itself": "both ends are one device",
}

Edges = Sequence[Mapping[str, Any]]


def listing(edges: Edges, devices: Edges) -> RenderableType:
    """Suggested edges, the surest first, and devices that nothing connects yet."""
    parts: list[RenderableType] = []
    if edges:
        table = Table("device", "needs", "confidence", "evidence", box=None)
        for one in edges:
            new = set(one["unknown"])
            table.add_row(
                _name(one["device"], is_new=one["device"] in new),
                _name(one["upstream"], is_new=one["upstream"] in new),
                _confidence(one["confidence"]),
                Text("; ".join(one["evidence"]) or ", ".join(one["kinds"])),
            )
        parts.append(table)
    if devices:
        table = Table("new device", "type", "address", "found", box=None)
        for one in devices:
            device = one["device"]
            table.add_row(
                Text(device["id"]),
                Text(device["type"]),
                Text(device["labels"].get("ip", "-")),
                Text(one["said"]),
            )
        parts.append(table)
    return Group(*parts)


def told(report: Mapping[str, Any], files: Sequence[str]) -> RenderableType:
    """What files told: the new edges and devices, and why others are not suggested."""
    table = Table("device", "needs", "confidence", "", box=None, show_header=bool(report["edges"]))
    for one in report["edges"]:
        shown = _confidence(one["confidence"]) if one["confidence"] else Text("-")
        table.add_row(
            Text(one["device"]), Text(one["upstream"]), shown, Text(OUTCOMES[one["outcome"]])
        )
    return Group(table, *map(Text, _summary(report, files)))


def _summary(report: Mapping[str, Any], files: Sequence[str]) -> Iterator[str]:
    yield "read: " + ", ".join(files)
    if devices := report["devices"]:
        yield f"{_number(len(devices), 'new device')}: {_some(devices)}"
    if pairs := report["undecided"]:
        yield f"nothing tells who needs whom: {_some([' and '.join(pair) for pair in pairs])}"
    if report["unnamed"]:
        number = report["unnamed"]
        yield f"{number} {'entry' if number == 1 else 'entries'} without a name left out"
    counts = Counter(one["outcome"] for one in report["edges"])
    parts = [f"{count} {OUTCOMES[outcome]}" for outcome, count in counts.items()]
    tail = " (dry run: nothing was kept)" if report["dry_run"] else ""
    yield f"{_number(len(report['edges']), 'dependency', 'dependencies')}" + (
        f": {', '.join(parts)}{tail}" if parts else tail
    )


def accepted(report: Mapping[str, Any]) -> RenderableType:
    """The changes of the inventory."""
    lines = [
        Text(f"+ {one['device']} needs {one['upstream']}", style="green")
        for one in report["accepted"]
    ]
    for one in report["skipped"]:
        said = f"! {one['device']} needs {one['upstream']}: skipped, {one['reason']}"
        lines.append(Text(said, style="yellow"))
    if report["added"]:
        lines.append(Text(f"new devices: {_some(report['added'])}"))
    tail = " (dry run: nothing was changed)" if report["dry_run"] else ""
    edges = _number(len(report["accepted"]), "dependency", "dependencies")
    devices = _number(len(report["added"]), "new device")
    lines.append(Text(f"{edges} and {devices} accepted; {report['total']} devices{tail}"))
    return Group(*lines)


def rejected(report: Mapping[str, Any]) -> RenderableType:
    lines = [Text(f"- {one['device']} needs {one['upstream']}") for one in report["rejected"]]
    lines += [Text(f"- {name}") for name in report["devices"]]
    return Group(*lines, Text("they will not be suggested again"))


def _name(name: str, *, is_new: bool) -> Text:
    shown = Text(name)
    return shown.append(" (new)", style="dim") if is_new else shown


def _confidence(value: float) -> Text:
    style = "green" if value >= SURE else "yellow" if value >= LIKELY else "dim"
    return Text(f"{value:.2f}", style=style)


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
