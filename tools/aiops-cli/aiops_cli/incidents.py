"""``aiops incidents``: list them, show one, acknowledge and resolve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from aiops_cli.api import Api, ApiOption
from aiops_cli.incidents_view import detail, listing
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="An incident's id.")]


class _ShowById(TyperGroup):
    """``incidents ID`` is short for ``incidents show ID``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_ShowById,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    subcommand_metavar="[ID | COMMAND …]",
)


@app.callback()
def incidents(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="open, ack, resolved, suppressed.")] = None,
    severity: Annotated[str | None, typer.Option(help="low, medium, high, critical.")] = None,
    device: Annotated[str | None, typer.Option(help="An affected device.")] = None,
    tracking_id: Annotated[str | None, typer.Option(help="Of a line that belongs to it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows at most.")] = 50,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List incidents, newest first; `incidents ID` shows one."""
    if ctx.invoked_subcommand is not None:
        return
    with Api.open(api) as calls:
        page = calls.get(
            "/incidents",
            status=status,
            severity=severity,
            device_id=device,
            tracking_id=tracking_id,
            limit=limit,
        )
    if as_json:
        emit_json(page)
        return
    if items := page["items"]:
        console().print(listing(items))
    else:
        console().print("no incidents")
    if partial := page.get("partial"):
        console().print(f"not all may be here: {partial}")


@app.command()
def show(ident: IdArgument, api: ApiOption = None, as_json: JsonOption = False) -> None:
    """Show one incident with its members and its history."""
    with Api.open(api) as calls:
        incident = calls.get(f"/incidents/{ident}")
    _answer(incident, as_json)


@app.command()
def ack(
    ident: IdArgument,
    comment: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge an incident: somebody works on it."""
    with Api.open(api) as calls:
        incident = calls.post(f"/incidents/{ident}/ack", comment=comment)
    _answer(incident, as_json)


@app.command()
def resolve(
    ident: IdArgument,
    reason: Annotated[str | None, typer.Option(help="How it ended.")] = None,
    comment: Annotated[str | None, typer.Option(help="For the history.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve an incident."""
    with Api.open(api) as calls:
        incident = calls.post(f"/incidents/{ident}/resolve", resolve_reason=reason, comment=comment)
    _answer(incident, as_json)


@app.command()
def merge(
    ident: IdArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The incident that goes on.")],
    comment: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge an incident into another, which what belongs to it joins from now on."""
    with Api.open(api) as calls:
        incident = calls.post(f"/incidents/{ident}/merge", into=into, comment=comment)
    _answer(incident, as_json)


def _answer(incident: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(incident)
    else:
        console().print(detail(incident))
