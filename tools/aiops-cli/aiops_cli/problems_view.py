"""Problems on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import (
    SEVERITY_STYLE,
    STATUS_STYLE,
    age,
    coloured,
    minute,
    span,
)
from aiops_core.gist import ordinal


def listing(items: Sequence[Mapping[str, Any]]) -> Table:
    """One row a problem."""
    table = Table(box=None)
    for name in ("id", "severity", "title", "device", "times", "cadence", "last seen", "state"):
        right = name == "times"
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "title")
    for one in items:
        table.add_row(
            one["id"],
            coloured(one["severity"], SEVERITY_STYLE),
            Text(one["title"]),
            Text(_device(one)),
            str(one["times"]),
            Text(one["cadence"] or "-"),
            f"{age(one['last_seen'])} ago",
            state(one),
        )
    return table


def _device(problem: Mapping[str, Any]) -> str:
    """Where its root is, otherwise what it affected, the last time."""
    devices = problem["devices"]
    if problem.get("problems", 1) > 1:
        return f"{problem['spread_devices']} devices"
    if problem["root_device"] or not devices:
        return str(problem["root_device"] or "-")
    return str(devices[0]) + (f" and {len(devices) - 1} more" if len(devices) > 1 else "")


def state(problem: Mapping[str, Any]) -> Text:
    if not problem["open"]:
        return Text("over", style=STATUS_STYLE["resolved"])
    is_wide = problem.get("problems", 1) > 1
    alive = f"{problem['open_problems']} open" if is_wide else "open"
    if quiet := problem["quiet_since"]:
        return Text(f"{alive}, quiet since {minute(quiet)}", style=STATUS_STYLE["open"])
    return Text(alive, style=STATUS_STYLE["open"])


def detail(problem: Mapping[str, Any]) -> RenderableType:
    """One problem in full: what it is, what ended it before, its newest times and incidents."""
    head = Table.grid(padding=(0, 2))
    for name, fact in _facts(problem):
        head.add_row(Text(name, style="dim"), fact)
    parts: list[RenderableType] = [Text(problem["title"], style="bold"), head]
    if problem["occurrences"]:
        parts.append(_occurrences(problem["occurrences"]))
    if parts_shown := problem.get("parts"):
        table = listing(parts_shown)
        table.title = f"newest {len(parts_shown)} of {problem['problems']} problems"
        parts.append(table)
    if problem["newest_incidents"]:
        parts.append(_incidents(problem["newest_incidents"]))
    return Group(*parts)


def _facts(problem: Mapping[str, Any]) -> Iterator[tuple[str, RenderableType]]:
    yield "id", problem["id"]
    yield "state", state(problem)
    yield "severity", coloured(problem["severity"], SEVERITY_STYLE)
    yield "device", Text(_device(problem))
    yield "came", Text(_times(problem))
    yield "seen", f"{minute(problem['first_seen'])} - {minute(problem['last_seen'])} UTC"
    if problem["endings"]:
        yield "ended before", Text("; ".join(map(_ending, problem["endings"])))


def _times(problem: Mapping[str, Any]) -> str:
    times = "once" if problem["times"] == 1 else f"{problem['times']} times"
    return f"{times}, {problem['cadence']}" if problem["cadence"] else times


def _ending(one: Mapping[str, Any]) -> str:
    times = "once" if one["number"] == 1 else f"{one['number']} times"
    return f"{one['ending']} ({times}, last {minute(one['last'])})"


def _occurrences(items: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, title=f"newest {len(items)} times" if len(items) > 1 else "the time")
    for name in ("", "began", "lasted", "severity", "devices", "how it ended", "incident"):
        right = name in ("", "lasted", "devices")
        wraps = name == "how it ended"
        table.add_column(name, justify="right" if right else "left", no_wrap=not wraps)
    for one in items:
        lasted = one["duration_s"]
        table.add_row(
            ordinal(one["number"]),
            minute(one["began"]),
            "goes on" if lasted is None else span(lasted) if lasted >= 1 else "a moment",
            coloured(one["severity"], SEVERITY_STYLE),
            str(one["devices"]),
            Text(_end(one)),
            one["incident_id"],
        )
    return table


def _end(one: Mapping[str, Any]) -> str:
    if one["ended"] is None:
        return ""
    return ": ".join(filter(None, (one["ending"], one["note"]))) or "it came again"


def _incidents(items: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, title="incidents")
    for name in ("id", "status", "title", "last seen"):
        table.add_column(name, no_wrap=name != "title")
    for one in items:
        table.add_row(
            one["id"],
            coloured(one["status"], STATUS_STYLE),
            Text(one["title"]),
            f"{age(one['last_seen'])} ago",
        )
    return table
