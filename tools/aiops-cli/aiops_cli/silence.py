"""``aiops silence``: what operators do not want to hear of, until when, and what it has hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_cli.silence_view import detail, foreseen, listing
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
AllOption = Annotated[bool, typer.Option("--all", help="Also those that are over.")]
ExpiringOption = Annotated[
    str | None, typer.Option("--expiring", metavar="SPAN", help="Ending within 30m, 1h, …")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="When it ends, ISO 8601 with a zone.")
]


@app.callback()
def silence(
    ctx: typer.Context,
    everything: AllOption = False,
    expiring: ExpiringOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hide anomalies on purpose, for a time; without a command list what is silenced."""
    if ctx.invoked_subcommand is None:
        _list(everything, expiring, api, as_json)


@app.command("list")
def list_(
    everything: AllOption = False,
    expiring: ExpiringOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is silenced; the same as no command."""
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
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it.")],
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="SPAN", help="30m, 2h, 1d …")
    ] = None,
    until: Until = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601 with a zone; default: now.")
    ] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Silence what has all these labels, until a time."""
    order = {"matchers": checked(matchers), "owner": owner, "reason": reason, "start": start}
    with Api.open(api) as calls:
        made = calls.post("/silences", **order, **_end("add", lasting, until))
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
    until: Until = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it from now on.")] = None,
    reason: Annotated[str | None, typer.Option(help="The reason from now on.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a silence end later, or earlier."""
    with Api.open(api) as calls:
        body = {"owner": owner, "reason": reason} | _end("extend", lasting, until)
        changed = calls.patch(f"/silences/{ident}", **body)
    _answer(changed, as_json)


@app.command()
def end(ident: IdArgument, api: ApiOption = None, as_json: JsonOption = False) -> None:
    """End a silence now; it stays in the list with what it has hidden."""
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
    """Count what a silence would have hidden, without setting it."""
    with Api.open(api) as calls:
        found = calls.get("/silences/preview", matcher=checked(matchers), time_range=time_range)
    if as_json:
        emit_json(found)
    else:
        console().print(foreseen(found))


def checked(matchers: Sequence[str]) -> list[str]:
    """The matchers as the API writes them; Misconfigured names the first that is none."""
    try:
        return [str(Matcher.parse(text)) for text in matchers]
    except ValueError as exc:
        raise Misconfigured(f"silence: {_words(exc)}") from exc


def _end(command: str, lasting: str | None, until: str | None) -> dict[str, str | None]:
    if lasting and until:
        raise Misconfigured(f"silence {command}: give --for or --until, not both")
    if command == "add" and not (lasting or until):
        raise Misconfigured("silence add: give --for or --until; a silence always ends")
    return {"for": lasting, "end": until}


def _answer(one: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(one)
    else:
        console().print(detail(one))


def _words(exc: ValueError) -> str:
    """Of pydantic's several lines only what is wrong."""
    errors = getattr(exc, "errors", None)
    return "; ".join(str(error["ctx"]["error"]) for error in errors()) if errors else str(exc)
