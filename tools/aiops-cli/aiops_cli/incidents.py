"""``aiops incidents``: list them, show one, acknowledge, resolve and merge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import (
    SEVERITY_STYLE,
    STATUS_STYLE,
    coloured,
    console,
    dig,
    minute,
    when,
)
from aiops_cli.spread_rows import Row, Rows, folded, is_folded
from aiops_cli.times import moment, since_of
from aiops_core.gist import ordinal

MEMBERS_SHOWN = 20
OPEN_SHOWN = 100
PAGES_READ = 20  # of a list that is folded, at most
QUIETEST = "longest_quiet"  # the order of the API

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="An incident's id.")]
CommentOption = Annotated[str | None, typer.Option(help="Comment for the history.")]


class ShowById(TyperGroup):
    """``incidents ID`` is short for ``incidents show ID``, and so elsewhere."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


def lists_and_shows() -> typer.Typer:
    """A command that lists, and shows the one whose id stands behind it."""
    return typer.Typer(
        cls=ShowById,
        add_completion=False,
        pretty_exceptions_enable=False,
        invoke_without_command=True,
        subcommand_metavar="[ID | COMMAND …]",
    )


app = lists_and_shows()


@app.callback()
def incidents(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="open, ack, resolved, suppressed.")] = None,
    severity: Annotated[str | None, typer.Option(help="low, medium, high, critical.")] = None,
    device_id: Annotated[str | None, typer.Option(help="An affected device.")] = None,
    tracking_id: Annotated[str | None, typer.Option(help="A log line of the incident.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="With anomalies of then or later: 2h, 7d, or a time like 2005-06-03."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="With anomalies of then or before: a time.")
    ] = None,
    problem_id: Annotated[str | None, typer.Option(help="Occurrences of a problem.")] = None,
    spread: Annotated[
        str | None, typer.Option(help="The incidents of a spread, each by itself.")
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Those of one spread are a row each, too.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Open, but nothing more was seen; longest quiet first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows at most.")] = 50,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List incidents, newest first; `incidents ID` shows one.

    The newest is that which was found last, whenever its log lines are of: the incidents of an old
    log stand first after its replay. The same trouble on several devices is one row.
    """
    if ctx.invoked_subcommand is not None:
        return
    chosen = {
        "status": status,
        "severity": severity,
        "device_id": device_id,
        "tracking_id": tracking_id,
        "problem_id": problem_id,
        "spread": spread,
        "since": since and since_of(since).isoformat(),
        "until": until and moment(until, "--until").isoformat(),
        "order": QUIETEST if quiet else None,
    }
    shown = list if each or spread else folded
    with Api.open(api) as calls:
        page = calls.get("/incidents", **chosen, limit=limit)
        if as_json:
            emit_json(page)
            return
        page = _filled(calls, page, chosen, limit, shown)
        older = [] if any(chosen.values()) else shown(_older(calls, page))
    _print_list(page, older, limit)


def _filled(
    calls: Api, page: Row, chosen: Mapping[str, Any], limit: int, shown: Callable[[list[Row]], Rows]
) -> Row:
    """*page* as it is *shown*, with what stands behind it in place of rows that became one."""
    items, pages = list(page["items"]), 1
    while page.get("next_cursor") and pages < PAGES_READ and len(shown(items)) < len(items[:limit]):
        page = calls.get("/incidents", **chosen, limit=limit, cursor=page["next_cursor"])
        items, pages = [*items, *page["items"]], pages + 1
    return {**page, "items": shown(items)}


def _older(calls: Api, page: Row) -> list[Row]:
    """Open incidents that newer ones have pushed from the *page*."""
    if not page.get("next_cursor"):
        return []
    shown = {one["id"] for one in page["items"]}
    alive = calls.get("/incidents", status=["open", "ack"], limit=OPEN_SHOWN)["items"]
    return [one for one in alive if not shown.intersection((one["id"], one.get("spread")))]


def _print_list(page: Row, older: Rows, limit: int) -> None:
    if items := page["items"]:
        console().print(listing(items))
    else:
        console().print("no incidents")
    if older:
        table = listing(older)
        table.title, table.title_justify = "older ones that are still open", "left"
        console().print("", table)
    if any(map(is_folded, (*items, *older))):
        console().print("one row for many devices: --spread ID shows its incidents, --each all")
    if page.get("next_cursor"):
        console().print(f"there are more than {limit}: choose with --since, --until or --limit")
    if partial := page.get("partial"):
        console().print(f"not all may be here: {partial}")


@app.command()
def show(ident: IdArgument, api: ApiOption = None, as_json: JsonOption = False) -> None:
    """Show one incident with its members and its history."""
    with Api.open(api) as calls:
        _print(calls.get(f"/incidents/{ident}"), as_json)


@app.command()
def ack(
    ident: IdArgument,
    comment: CommentOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge an incident: somebody works on it."""
    with Api.open(api) as calls:
        _print(calls.post(f"/incidents/{ident}/ack", comment=comment), as_json)


@app.command()
def resolve(
    ident: IdArgument,
    reason: Annotated[str | None, typer.Option(help="Reason of the end.")] = None,
    comment: CommentOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve an incident."""
    path = f"/incidents/{ident}/resolve"
    with Api.open(api) as calls:
        _print(calls.post(path, resolve_reason=reason, comment=comment), as_json)


@app.command()
def merge(
    ident: IdArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The incident that goes on.")],
    comment: CommentOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge an incident into another; later members join the other one."""
    with Api.open(api) as calls:
        _print(calls.post(f"/incidents/{ident}/merge", into=into, comment=comment), as_json)


def _print(incident: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(incident)
    else:
        console().print(detail(incident))


def listing(items: Sequence[Mapping[str, Any]]) -> Table:
    """One row an incident. How often it came has a column where no title says it."""
    often = [how_often(one) for one in items]
    table = Table(box=None)
    for name in ("id", "severity", "status", "title", "root cause", "members"):
        table.add_column(name, no_wrap=name != "title")  # an id that is cut off is of no use
    if any(often):
        table.add_column("how often")
    table.add_column("last seen", no_wrap=True)
    for one, times in zip(items, often, strict=True):
        table.add_row(
            one["id"],
            coloured(one["severity"], SEVERITY_STYLE),
            coloured(one["status"], STATUS_STYLE),
            Text(one["title"]),
            Text(_root_cause(one)),
            str(one.get("anomaly_count", "")),
            *((Text(times),) if any(often) else ()),
            last_seen(one),
        )
    return table


def how_often(incident: Mapping[str, Any]) -> str:
    """``3rd time, daily at 04:02``; empty when it came once, or the title says so itself."""
    number, cadence = incident.get("occurrence") or 1, incident.get("cadence")
    times = f"{ordinal(number)} time"
    if number == 1 or times in incident["title"]:
        return ""
    return f"{times}, {cadence}" if cadence else times


def last_seen(incident: Mapping[str, Any]) -> str:
    if quiet := incident.get("quiet_since"):
        return f"quiet since {minute(quiet)}"
    return when(incident["last_seen"])


def _root_cause(incident: Mapping[str, Any]) -> str:
    """The device, otherwise the service, of the probable root cause."""
    return dig(incident, "root_cause", "device") or dig(incident, "root_cause", "service") or "-"


def detail(incident: Mapping[str, Any]) -> RenderableType:
    """One incident in full: title, facts, newest members, history."""
    cause = f"{_root_cause(incident)}: {dig(incident, 'root_cause', 'reason') or 'no reason given'}"
    facts: dict[str, RenderableType] = {
        "id": incident["id"],
        "severity": coloured(incident["severity"], SEVERITY_STYLE),
        "status": coloured(incident["status"], STATUS_STYLE),
        "root cause": Text(cause),
        "devices": Text(", ".join(incident.get("affected_devices", ()))),
        "anomalies": str(incident.get("anomaly_count", "")),
        "seen": f"{incident['first_seen']} - {incident['last_seen']}",
    }
    facts |= {name: Text(text) for name, text in _recurrence(incident).items()}
    for key in ("description", "resolve_reason", "assignee"):
        if value := incident.get(key):
            facts[key.replace("_", " ")] = escape(str(value))
    facts |= {name: Text(text) for name, text in _explanation(incident).items()}
    head = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        head.add_row(Text(name, style="dim"), fact)
    parts: list[RenderableType] = [Text(incident["title"], style="bold"), head]
    if evidence := incident.get("evidence"):
        parts.append(_members(evidence))
    if timeline := incident.get("timeline"):
        parts.append(_history(timeline))
    return Group(*parts)


def _explanation(incident: Mapping[str, Any]) -> dict[str, str]:
    """What is thought of it, what to do, and what that was made without."""
    insights = dig(incident, "llm_insights") or {}
    steps = insights.get("recommendations") or ()
    told = {
        "cause": insights.get("root_cause"),
        "impact": insights.get("impact"),
        "to do": "\n".join(f"{n}. {step}" for n, step in enumerate(steps, start=1)),
        "insight": insights.get("narrative"),
        "made without": "; ".join(insights.get("missing") or ()),
    }
    return {name: text for name, text in told.items() if text}


def _recurrence(incident: Mapping[str, Any]) -> dict[str, str]:
    """That it is quiet; how often its problem came, when before, and how that ended."""
    told = {}
    if quiet := incident.get("quiet_since"):
        told["quiet since"] = f"{minute(quiet)} UTC: still open, though nothing more was seen"
    said = incident.get("recurrence") or {}
    if said.get("occurrence", 1) == 1:
        return told
    often = f", {said['cadence']}" if said["cadence"] else ""
    told["how often"] = f"{ordinal(said['occurrence'])} time{often}"
    if before := said.get("previous"):
        ended = f", ended by: {said['resolved_before']}" if said["resolved_before"] else ""
        told["before"] = f"{minute(before)} UTC{ended}"
    told["problem"] = said["problem_id"]
    return told


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
