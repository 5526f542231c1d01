"""``aiops ship``: the ship's mode, maintenance windows and known outages of its links."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_cli.ship_view import mode_history, mode_line, outages, overview, windows
from aiops_cli.times import end_of, moment
from aiops_core.models import ShipMode
from aiops_core.suppression.ship import OutageKind

View = Mapping[str, Any]

_options: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False}
app = typer.Typer(**_options, invoke_without_command=True, subcommand_metavar="[COMMAND …]")
maintenance = typer.Typer(**_options, no_args_is_help=True, help="Maintenance windows.")
outage = typer.Typer(**_options, no_args_is_help=True, help="Known outages of links.")
app.add_typer(maintenance, name="maintenance")
app.add_typer(outage, name="outage")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `aiops ship` lists it.")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="ISO time, UTC; default: now.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="ISO time, UTC.")]
ForOption = Annotated[
    str | None, typer.Option("--for", metavar="SPAN", help="Instead of --until: 45m, 2h, 3d.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; everybody sees it.")]
AllOption = Annotated[bool, typer.Option("--all", help="Also those that are over.")]


@app.callback()
def ship(ctx: typer.Context, api: ApiOption = None, as_json: JsonOption = False) -> None:
    """Show the ship's mode, maintenance windows and known outages; declare them."""
    if ctx.invoked_subcommand is not None:
        return
    with Api.open(api) as calls:
        view = calls.get("/ship")
    _answer(view, as_json, overview(view))


@app.command()
def mode(
    to: Annotated[ShipMode | None, typer.Argument(metavar="MODE", help="The new mode.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it began, ISO, UTC; default: now.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="For the history.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the ship's mode and its history, or set it: at_sea, port, anchor, dry_dock,
    blackout_recovery."""
    with Api.open(api) as calls:
        if to is None:
            view = calls.get("/ship/mode")
        else:
            began = moment(since, "--since").isoformat() if since else None
            view = calls.put("/ship/mode", mode=to, since=began, reason=reason)
    _answer(view, as_json, Group(mode_line(view), mode_history(view)))


@maintenance.command("add")
def add_maintenance(
    reason: ReasonOption,
    devices: Annotated[
        list[str] | None, typer.Option("--device", help="Id or pattern (ap-d05-*); repeatable.")
    ] = None,
    services: Annotated[
        list[str] | None, typer.Option("--service", help="Service or pattern; repeatable.")
    ] = None,
    dependants: Annotated[
        bool, typer.Option("--dependants", help="Also everything that needs one of the devices.")
    ] = False,
    start: FromOption = None,
    until: UntilOption = None,
    length: ForOption = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare that somebody works on devices or services."""
    with Api.open(api) as calls:
        view = calls.post(
            "/ship/maintenance",
            devices=devices or [],
            services=services or [],
            dependants=dependants,
            owner=owner,
            reason=reason,
            **spell(start, until, length),
        )
    _answer(view, as_json, windows([view]))


@outage.command("add")
def add_outage(
    device_id: Annotated[str, typer.Argument(help="The device that carries the link.")],
    kind: Annotated[OutageKind, typer.Option(help="Why there is no link.")],
    reason: ReasonOption,
    start: FromOption = None,
    until: UntilOption = None,
    length: ForOption = None,
    source: Annotated[str | None, typer.Option(help="Who told of it.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare a known outage of a link."""
    with Api.open(api) as calls:
        view = calls.post(
            "/ship/outages",
            device_id=device_id,
            kind=kind,
            reason=reason,
            source=source,
            **spell(start, until, length),
        )
    _answer(view, as_json, outages([view]))


def spell(start: str | None, until: str | None, length: str | None) -> dict[str, str]:
    """``start`` and ``end`` for the API, which is given one of *until* and *length*."""
    begins = moment(start, "--from") if start else None
    times = {"start": begins} if begins else {}
    times["end"] = end_of("ship", until, length, begins, option="--until")
    return {name: time.isoformat() for name, time in times.items()}


def _list_and_end(
    group: typer.Typer, path: str, noun: str, table: Callable[[Sequence[View]], RenderableType]
) -> None:
    @group.command("list", help=f"List {noun}.")
    def list_declared(
        everything: AllOption = False, api: ApiOption = None, as_json: JsonOption = False
    ) -> None:
        with Api.open(api) as calls:
            known = calls.get(path)["items"]
        items = [one for one in known if everything or one["state"] != "over"]
        _answer(items, as_json, table(items) if items else Text(f"no {noun}"))

    @group.command("end", help="End a running one now, or withdraw a planned one.")
    def end_declared(id: IdArgument, api: ApiOption = None, as_json: JsonOption = False) -> None:
        with Api.open(api) as calls:
            view = calls.delete(f"{path}/{id}")
        _answer(view, as_json, table([view]))


_list_and_end(maintenance, "/ship/maintenance", "maintenance windows", windows)
_list_and_end(outage, "/ship/outages", "outages", outages)


def _answer(value: object, as_json: bool, shown: RenderableType) -> None:
    if as_json:
        emit_json(value)
    else:
        console().print(shown)
