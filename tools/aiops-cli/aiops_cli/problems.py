"""``aiops problems``: what came back, how often and when; merge and split them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from aiops_cli.api import Api, ApiOption
from aiops_cli.incidents import CommentOption, lists_and_shows
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.problems_view import detail, listing
from aiops_cli.screen import console

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A problem's id.")]

app = lists_and_shows()


@app.callback()
def problems(
    ctx: typer.Context,
    is_open: Annotated[
        bool | None, typer.Option("--open/--over", help="With an open incident, or without.")
    ] = None,
    chronic: Annotated[
        bool | None, typer.Option("--chronic/--irregular", help="With a cadence, or without.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="An affected device.")] = None,
    text: Annotated[str | None, typer.Option(help="In a title, a device or the id.")] = None,
    spread: Annotated[
        str | None, typer.Option(help="The problems of a spread, each by itself.")
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="That came so often at least.")] = 2,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows at most.")] = 50,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List problems that came back, the last seen first; `problems ID` shows one.

    The same trouble on several devices is one row, a spread.
    """
    if ctx.invoked_subcommand is not None:
        return
    with Api.open(api) as calls:
        page = calls.get(
            "/problems",
            open=is_open,
            chronic=chronic,
            device=device,
            q=text,
            spread=spread,
            times=1 if spread else times,
            limit=limit,
        )
    if as_json:
        emit_json(page)
    elif items := page["items"]:
        console().print(listing(items))
        if page["next_cursor"]:
            console().print(f"there are more than {limit}: choose with --open, --device or --limit")
    else:
        console().print("no problem came back")


@app.command()
def show(ident: IdArgument, api: ApiOption = None, as_json: JsonOption = False) -> None:
    """Show one problem: when it came, how long it lasted, what ended it; of a spread, where."""
    with Api.open(api) as calls:
        _print(calls.get(f"/problems/{ident}"), as_json)


@app.command()
def merge(
    ident: IdArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The problem that has all.")],
    comment: CommentOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge a problem into another: what comes later belongs to the other one."""
    with Api.open(api) as calls:
        _print(calls.post(f"/problems/{ident}/merge", into=into, comment=comment), as_json)


@app.command()
def split(
    ident: IdArgument,
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id.")],
    comment: CommentOption = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an incident, and what comes like it, a problem of its own."""
    path = f"/problems/{ident}/split"
    with Api.open(api) as calls:
        _print(calls.post(path, incident_id=incident, comment=comment), as_json)


def _print(problem: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(problem)
    else:
        console().print(detail(problem))
