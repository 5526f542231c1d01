"""``aiops ledger``: the end of every anomaly; each must have exactly one."""

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

UNBALANCED = 1  # exit code
ROWS = {
    "members": "members of incidents",
    "duplicates": "duplicates of members",
    "suppressed": "suppressed by a rule",
    "digested": "digested, see `aiops digest`",
    "dead_letters": "dead letters",
    "in_flight": "in flight",
    "unaccounted": "unaccounted for",
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def ledger(
    since: Annotated[str, typer.Option(help="15m, 1h, 24h, 7d … or a time with its zone.")] = "1h",
    unaccounted: Annotated[
        bool,
        typer.Option("--unaccounted", help="Only anomalies that ended nowhere, and their way."),
    ] = False,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where every anomaly ended; exit code 1 when one is lost or counted twice."""
    with Api.open(api) as calls:
        answer = calls.get("/ledger", since=since)
    if as_json:
        emit_json(answer["unaccounted"] if unaccounted else answer)
    else:
        console().print(Group(*(lost(answer) if unaccounted else report(answer, since))))
    if not answer["balanced"]:
        raise typer.Exit(UNBALANCED)


def report(answer: Mapping[str, Any], since: str) -> Iterator[RenderableType]:
    """The balance, the details of what is wrong, and the verdict."""
    yield balance(answer["balance"], since, answer["settled_after_s"])
    if answer["dead_letters"]:
        yield _dead(answer["dead_letters"])
    if answer["unaccounted"]:
        yield from lost(answer)
    if answer["doubled"]:
        yield _doubled(answer["doubled"])
    yield _verdict(answer["balance"])


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


def lost(answer: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The anomalies that ended nowhere, with the stages that they passed."""
    found: Sequence[Mapping[str, Any]] = answer["unaccounted"]
    if not answer["balance"]["unaccounted"]:
        yield Text("nothing is unaccounted for")
        return
    columns = ("seen", "device", "service", "type", "passed", "trace with `aiops trace`")
    table = Table(*columns, box=None, title="unaccounted for, oldest first", title_justify="left")
    for one in found:
        passed = sorted(one["stages"], key=lambda stage: str(one["stages"][stage]))
        table.add_row(
            f"{age(one['seen_at'])} ago",
            *(Text(one[key]) for key in ("device_id", "service", "anomaly_type")),
            " > ".join(passed),
            Text(one["tracking_id"]),
        )
    yield table
    unread = answer["balance"]["unread"]
    if (more := answer["balance"]["unaccounted"] - unread - len(found)) > 0:
        yield Text(f"and {more:,} more")
    if unread:
        yield Text(f"and {unread:,} that a stream discarded before anybody had read them")


def _doubled(found: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("anomaly", "in", box=None, title="counted twice", title_justify="left")
    for one in found:
        table.add_row(Text(one["anomaly_id"]), Text(", ".join(one["places"])))
    return table


def _dead(found: Sequence[Mapping[str, Any]]) -> Table:
    title = "dead letters (`aiops dead` shows all of them)"
    columns = ("age", "service", "reason", "anomaly")
    table = Table(*columns, box=None, title=title, title_justify="left")
    for one in found:
        cells = (Text(one[key]) for key in ("service", "reason", "anomaly_id"))
        table.add_row(age(one["at"]), *cells)
    return table


def _verdict(numbers: Mapping[str, int]) -> Text:
    if numbers["unaccounted"] or numbers["doubled"]:
        unread = numbers["unread"]
        of_them = f" ({unread:,} of them published and never read)" if unread else ""
        lost_ = f"{numbers['unaccounted']:,} unaccounted for{of_them}"
        said = f"{lost_}, {numbers['doubled']:,} counted twice"
        return Text(f"The ledger does not balance: {said}.", style="red")
    return Text("The ledger balances: every anomaly ended in exactly one place.", style="green")
