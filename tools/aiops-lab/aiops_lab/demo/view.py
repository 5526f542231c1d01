"""The demo on the screen: from its state to what rich can draw."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import SEVERITY_STYLE, STATUS_STYLE, age, coloured, dig, milliseconds
from aiops_lab.demo.data import Snapshot
from aiops_lab.demo.score import FaultVerdict
from aiops_lab.fleet.plan import SERVICES

ROWS = 14  # incidents on the screen
EVENTS_KEPT = 5


@dataclass
class Show:
    """Everything that is on the screen now; times in seconds since the start."""

    ship_id: str
    api_url: str
    elapsed: float = 0.0
    sent: int = 0  # lines and readings that the simulator has published
    rate: float = 0.0  # of them per second
    snapshot: Snapshot = field(default_factory=Snapshot)
    first_incident: float | None = None
    events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))


def screen(show: Show) -> RenderableType:
    """The whole view."""
    return Group(
        _header(show),
        _numbers(show),
        incidents_table(show.snapshot.incidents),
        _health(show.snapshot.problems),
        *(Text(event, style="dim") for event in show.events),
    )


def _header(show: Show) -> Panel:
    return Panel(
        f"ship [bold]{show.ship_id}[/]   {show.elapsed:.0f} s   "
        f"API {show.api_url}/api/v3/incidents   Ctrl-C stops",
        title="AIOps NAAS",
    )


def _numbers(show: Show) -> Table:
    now = show.snapshot
    first = "-" if show.first_incident is None else f"after {show.first_incident:.1f} s"
    table = Table(
        "sent", "per s", "handled", "anomalies", "incidents", "first", "p50", "p99", box=None
    )
    table.add_row(
        str(show.sent),
        f"{show.rate:.0f}",
        str(now.messages),
        str(now.anomalies),
        str(len(now.incidents)),
        first,
        milliseconds(now.p50),
        milliseconds(now.p99),
    )
    return table


def incidents_table(incidents: Sequence[Mapping[str, Any]]) -> Table:
    """The newest incidents, with their root causes and how many anomalies each explains."""
    table = Table("severity", "status", "title", "root cause", "members", "age", expand=True)
    for one in incidents[:ROWS]:
        table.add_row(
            coloured(one["severity"], SEVERITY_STYLE),
            coloured(one["status"], STATUS_STYLE),
            Text(one["title"], overflow="ellipsis", no_wrap=True),
            Text(dig(one, "root_cause", "device") or "-"),
            str(one.get("anomaly_count", "")),
            age(one["first_seen"]),
        )
    if len(incidents) > ROWS:
        table.caption = f"and {len(incidents) - ROWS} older ones"
    return table


def _health(problems: Mapping[str, str]) -> Text:
    words = Text()
    for name in SERVICES:
        problem = problems.get(name)
        words.append("● ", style="red" if problem else "green")
        words.append(f"{name}: {problem}   " if problem else f"{name}   ")
    return words


def changes(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """What happened between two looks, as lines for a log."""
    known = {one["id"]: one for one in before.incidents}
    for one in reversed(after.incidents):
        old = known.get(one["id"])
        if old is None:
            yield f"incident {_line(one)}"
        elif (old["severity"], old["status"]) != (one["severity"], one["status"]):
            yield f"now {_line(one)}"
    for name in sorted({*before.problems, *after.problems}):
        if before.problems.get(name) != after.problems.get(name):
            yield f"{name}: {after.problems.get(name) or 'ready'}"


def _line(incident: Mapping[str, Any]) -> str:
    cause = dig(incident, "root_cause", "device") or "unknown"
    return (
        f"[{incident['severity']}, {incident['status']}] {incident['title']} "
        f"(root cause {cause}, {incident.get('anomaly_count', '?')} anomalies)"
    )


def score_table(verdicts: Iterable[FaultVerdict]) -> Table:
    """Each simulated fault, the incident it became, and its root cause."""
    table = Table(
        "simulated fault", "became", "root cause", "lines in it", title="simulated → found"
    )
    for verdict in verdicts:
        table.add_row(verdict.episode.id, *_became(verdict), f"{verdict.covered}/{verdict.of}")
    return table


def _became(verdict: FaultVerdict) -> tuple[Text, Text]:
    if not verdict.hit:
        return Text("nothing", style="bold red"), Text("-")
    main, *others = verdict.incidents
    more = f" (+{len(others)})" if others else ""
    root = verdict.inferred or "nobody"
    style = "green" if verdict.root_found else "yellow"
    return Text(f"{main['severity']}: {main['title']}{more}", style="green"), Text(
        root, style=style
    )
