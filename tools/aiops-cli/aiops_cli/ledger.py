"""``aiops ledger``: does every anomaly end in exactly one place?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import age, console

WRONG = 1  # exit code: something is unaccounted for, or counted twice
ROWS = {
    "members": "members of incidents",
    "duplicates": "duplicates of members",
    "suppressed": "suppressed by a rule",
    "dead_letters": "dead letters",
    "in_flight": "in flight",
    "unaccounted": "unaccounted for",
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def ledger(
    since: Annotated[str, typer.Option(help="15m, 1h, 24h, 7d … or a time with its zone.")] = "1h",
    unaccounted: Annotated[
        bool, typer.Option("--unaccounted", help="Only what ended nowhere, and its way so far.")
    ] = False,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where every anomaly ended; exit code 1 when one is lost or counted twice."""
    with Api.open(api) as calls:
        books = calls.get("/ledger", since=since)
    if as_json:
        emit_json(books["unaccounted"] if unaccounted else books)
    else:
        console().print(Group(*(lost(books) if unaccounted else report(books, since))))
    if not books["balanced"]:
        raise typer.Exit(WRONG)


def report(books: Mapping[str, Any], since: str) -> Iterator[RenderableType]:
    """The balance, what is wrong with it, and the verdict."""
    yield balance(books["balance"], since, books["settled_after_s"])
    if books["dead_letters"]:
        yield _dead(books["dead_letters"])
    if books["unaccounted"]:
        yield from lost(books)
    if books["doubled"]:
        yield _doubled(books["doubled"])
    yield _verdict(books["balance"])


def balance(numbers: Mapping[str, int], since: str, settle: float) -> Table:
    table = Table(box=None, title=f"anomalies since {since}", title_justify="left")
    table.add_column("where they ended")
    table.add_column("number", justify="right")
    table.add_column("share", justify="right")
    notes = {"in_flight": f" (younger than {settle:g} s, or waiting)"}
    for key, name in ROWS.items():
        share = numbers[key] / numbers["detected"] if numbers["detected"] else 0.0
        style = "red" if key == "unaccounted" and numbers[key] else ""
        table.add_row(name + notes.get(key, ""), f"{numbers[key]:,}", f"{share:.1%}", style=style)
    table.add_section()
    table.add_row("detected", f"{numbers['detected']:,}", "", style="bold")
    return table


def lost(books: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The anomalies that ended nowhere, with the way that they are known to have gone."""
    found: Sequence[Mapping[str, Any]] = books["unaccounted"]
    if not books["balance"]["unaccounted"]:
        yield Text("nothing is unaccounted for")
        return
    columns = ("seen", "device", "service", "type", "passed", "trace with `aiops trace`")
    table = Table(*columns, box=None, title="unaccounted for, oldest first", title_justify="left")
    for one in found:
        where = (one["device_id"], one["service"], one["anomaly_type"])
        seen = f"{age(one['seen_at'])} ago"
        table.add_row(seen, *map(Text, where), " > ".join(_way(one)), Text(one["tracking_id"]))
    yield table
    unread = books["balance"]["unread"]
    if (more := books["balance"]["unaccounted"] - unread - len(found)) > 0:
        yield Text(f"and {more:,} more")
    if unread:
        yield Text(f"and {unread:,} that a stream discarded before anybody had read them")


def _way(one: Mapping[str, Any]) -> list[str]:
    return [stage for stage, _ in sorted(one["stages"].items(), key=lambda item: str(item[1]))]


def _doubled(found: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("anomaly", "in", box=None, title="counted twice", title_justify="left")
    for one in found:
        table.add_row(Text(one["anomaly_id"]), Text(", ".join(one["places"])))
    return table


def _dead(found: Sequence[Mapping[str, Any]]) -> Table:
    title = "dead letters (`aiops dead` shows all of them)"
    table = Table("age", "service", "reason", "anomaly", box=None, title=title)
    table.title_justify = "left"
    for one in found:
        reason = Text(one["reason"])
        table.add_row(age(one["at"]), Text(one["service"]), reason, Text(one["anomaly_id"]))
    return table


def _verdict(numbers: Mapping[str, int]) -> Text:
    if numbers["unaccounted"] or numbers["doubled"]:
        unread = numbers["unread"]
        of_them = f" ({unread:,} of them published and never read)" if unread else ""
        lost_ = f"{numbers['unaccounted']:,} unaccounted for{of_them}"
        said = f"{lost_}, {numbers['doubled']:,} counted twice"
        return Text(f"The ledger does not balance: {said}.", style="red")
    return Text("The ledger balances: every anomaly ended in exactly one place.", style="green")
