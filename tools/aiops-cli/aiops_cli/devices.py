"""``aiops devices``: list them, show one with all that hangs on it, import and export files.

What is suggested is in ``suggestions``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from aiops_cli.api import Api, ApiOption, ApiRefused
from aiops_cli.device_file import BadFile, DeviceFile, Mistake, read_devices, write_devices
from aiops_cli.devices_view import detail, difference, listing, strangers
from aiops_cli.output import JsonOption, create, emit_json
from aiops_cli.screen import console
from aiops_cli.suggestions import register
from aiops_core.errors import Misconfigured
from aiops_core.models import Device

MISTAKE = 2  # exit code
PAGE = 500

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND …]",
)


@app.callback()
def devices(
    ctx: typer.Context,
    type: Annotated[str | None, typer.Option(help="switch, ap, app …")] = None,
    site: Annotated[str | None, typer.Option(help="Text in the site, such as a deck.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    criticality: Annotated[str | None, typer.Option(help="low, medium, high, critical.")] = None,
    text: Annotated[str | None, typer.Option("-q", help="Text in id, name or labels.")] = None,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the ship's devices; import them, show what hangs on one."""
    if ctx.invoked_subcommand is not None:
        return
    wanted = {"type": type, "site": site, "owner": owner, "criticality": criticality, "q": text}
    with Api.open(api) as calls:
        found = list(_all(calls, wanted))
    if as_json:
        emit_json(found)
    elif found:
        console().print(listing(found))
    else:
        console().print("no devices; `aiops devices import FILE` brings them")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id, host name, IP or name.")],
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a device, what it needs and what needs it."""
    with Api.open(api) as calls:
        view = calls.get(f"/devices/{quote(name, safe='')}")
    if as_json:
        emit_json(view)
    else:
        console().print(detail(view))


@app.command()
def unknown(
    hours: Annotated[float, typer.Option(min=0.1, help="So far back.")] = 24,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List hosts that anomalies came from and that the inventory lacks."""
    with Api.open(api) as calls:
        found = calls.get("/devices/unknown", hours=hours)["items"]
    if as_json:
        emit_json(found)
    elif found:
        console().print(strangers(found))
    else:
        console().print(f"the inventory knows every host of the last {hours:g} h")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or YAML.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove devices that the file does not mention.")
    ] = False,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import devices; a file with a mistake changes nothing, exit code 2."""
    try:
        given = read_devices(file)
        with Api.open(api) as calls:
            report = _imported(calls, given, dry_run=dry_run, prune=prune)
    except BadFile as exc:
        if as_json:
            emit_json({"mistakes": [asdict(mistake) for mistake in exc.mistakes]})
        for mistake in exc.mistakes:
            typer.echo(mistake, err=True)
        count = len(exc.mistakes)
        raise Misconfigured(
            f"{file}: {count} mistake{'s' * (count > 1)}, nothing was imported"
        ) from None
    if as_json:
        emit_json(report)
    else:
        console().print(difference(report))


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="CSV; default: standard output.")] = None,
    api: ApiOption = None,
) -> None:
    """Write all devices as the CSV that `import` reads."""
    with Api.open(api) as calls:
        found = [Device.model_validate(one) for one in _all(calls, {})]
    if file is None:
        write_devices(sys.stdout, found)
        return
    with create(file) as out:
        write_devices(out, found)


def _all(calls: Api, wanted: Mapping[str, object]) -> Iterator[Mapping[str, Any]]:
    cursor = None
    while True:
        page = calls.get("/devices", limit=PAGE, cursor=cursor, **wanted)
        yield from page["items"]
        if (cursor := page["next_cursor"]) is None:
            return


def _imported(calls: Api, given: DeviceFile, *, dry_run: bool, prune: bool) -> Any:
    """The API's report; raises BadFile with the lines of refused devices."""
    body = [device.model_dump(mode="json") for device in given.devices]
    try:
        return calls.post("/devices/import", devices=body, dry_run=dry_run, prune=prune)
    except ApiRefused as exc:
        if not exc.errors:
            raise
        raise BadFile([_located(given, *error) for error in exc.errors]) from None


def _located(given: DeviceFile, place: str, text: str) -> Mistake:
    """The line of ``body.devices.3.upstream``; the file for a mistake that has no line."""
    _, _, index, key = ([*place.split("."), "", ""])[:4]
    if not index.isdigit() or int(index) >= len(given.devices):
        return Mistake(given.name, 1, text)
    return given.mistake(int(index), key, text)


register(app)
