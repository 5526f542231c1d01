"""``aiops silence``: list, add, extend, end and preview silences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_cli.silence_view import detail, listing, preview_result
from aiops_cli.times import end_of, moment
from aiops_core.errors import Misconfigured
from aiops_core.suppression.silences import Matcher

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND …]",
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A silence's id.")]
Matchers = Annotated[
    list[str],
    typer.Argument(
        metavar="LABEL=VALUE…",
        help="All must hold; also LABEL!=VALUE, LABEL=~REGEX and LABEL!~REGEX.",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Also expired ones.")]
ExpiringOption = Annotated[
    str | None, typer.Option("--expiring", metavar="SPAN", help="Ending within 30m, 1h, …")
]
EndOption = Annotated[
    str | None,
    typer.Option("--ends-at", metavar="TIME", help="When it ends, ISO 8601; UTC without a zone."),
]


@app.callback()
def silence(
    ctx: typer.Context,
    everything: AllOption = False,
    expiring: ExpiringOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hide anomalies for a time; without a command list silences."""
    if ctx.invoked_subcommand is None:
        _list(everything, expiring, api, as_json)


@app.command("list")
def list_(
    everything: AllOption = False,
    expiring: ExpiringOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List silences; the same as no command."""
    _list(everything, expiring, api, as_json)


def _list(everything: bool, expiring: str | None, api: str | None, as_json: bool) -> None:
    states = None if everything else ["active", "pending"]
    with Api.open(api) as calls:
        found = calls.get("/silences", state=states, expiring_within=expiring)["items"]
    if as_json:
        emit_json(found)
    elif found:
        console().print(listing(found))
    else:
        console().print("no silences")


@app.command()
def add(
    matchers: Matchers,
    created_by: Annotated[str, typer.Option(help="The owner, who answers for it.")],
    comment: Annotated[str, typer.Option(help="Why, for whoever finds it.")],
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="SPAN", help="Instead of --ends-at: 30m, 2h, 1d …"),
    ] = None,
    ends_at: EndOption = None,
    starts_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="ISO 8601, UTC without a zone; default: now."),
    ] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Silence anomalies that have all these labels, until a time."""
    begins = moment(starts_at, "--starts-at") if starts_at else None
    ends = end_of("silence add", ends_at, lasting, begins)
    body = {"matchers": checked(matchers), "created_by": created_by, "comment": comment}
    with Api.open(api) as calls:
        made = calls.post("/silences", **body, starts_at=_text(begins), ends_at=_text(ends))
    _answer(made, as_json)


@app.command()
def show(ident: IdArgument, api: ApiOption = None, as_json: JsonOption = False) -> None:
    """Show one silence in full."""
    with Api.open(api) as calls:
        found = calls.get(f"/silences/{ident}")
    _answer(found, as_json)


@app.command()
def extend(
    ident: IdArgument,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="SPAN", help="From now on: 30m, 2h, 1d …")
    ] = None,
    ends_at: EndOption = None,
    created_by: Annotated[str | None, typer.Option(help="The new owner.")] = None,
    comment: Annotated[str | None, typer.Option(help="The new comment.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a silence end later, or earlier."""
    changes: dict[str, object] = {"created_by": created_by, "comment": comment}
    if ends_at or lasting:
        changes["ends_at"] = _text(end_of("silence extend", ends_at, lasting))
    with Api.open(api) as calls:
        changed = calls.patch(f"/silences/{ident}", **changes)
    _answer(changed, as_json)


@app.command()
def end(ident: IdArgument, api: ApiOption = None, as_json: JsonOption = False) -> None:
    """End a silence now; it stays in the list with its count."""
    with Api.open(api) as calls:
        over = calls.delete(f"/silences/{ident}")
    _answer(over, as_json)


@app.command()
def preview(
    matchers: Matchers,
    time_range: Annotated[str, typer.Option(help="1h, 24h, 7d …")] = "24h",
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the anomalies that a silence would have hidden, without setting it."""
    with Api.open(api) as calls:
        found = calls.get("/silences/preview", matcher=checked(matchers), time_range=time_range)
    if as_json:
        emit_json(found)
    else:
        console().print(preview_result(found))


def checked(matchers: Sequence[str]) -> list[str]:
    """The matchers as the API writes them; Misconfigured names the first that is none."""
    try:
        return [str(Matcher.parse(text)) for text in matchers]
    except ValueError as exc:
        raise Misconfigured(f"silence: {exc}") from exc


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _answer(one: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(one)
    else:
        console().print(detail(one))
