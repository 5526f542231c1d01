"""``aiops up``: the fleet on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import Settings
from aiops_lab.fleet.fleet import Fleet
from aiops_lab.fleet.plan import Plan, Ports
from aiops_lab.fleet.view import addresses, progress, stop_on_signals

DataOption = Annotated[Path, typer.Option("--data", help="Folder of all data and logs.")]
PoliciesOption = Annotated[Path | None, typer.Option("--policies", help="Folder of policy files.")]
ShipOption = Annotated[str | None, typer.Option("--ship-id", help="Identity of the ship.")]
PortsOption = Annotated[
    Literal["default", "auto"], typer.Option("--ports", help="auto: any free ports.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def up(
    data: DataOption = Path(".aiops"),
    ports: PortsOption = "default",
    ready_file: Annotated[
        Path | None, typer.Option(help="Gets all addresses and pids as JSON when all are ready.")
    ] = None,
    policies: PoliciesOption = None,
    ship_id: ShipOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the whole fleet on embedded parts and keep it running until Ctrl-C."""
    plan = plan_of(data, ports, policies, ship_id)
    asyncio.run(_up(plan, ready_file, as_json))


def plan_of(data: Path, ports: str, policies: Path | None, ship_id: str | None) -> Plan:
    """The fleet that was asked for; what was not said comes from the environment."""
    settings = Settings.read()
    return Plan(
        data=data.resolve(),
        policies=_folder(policies or settings.policies),
        migrations=_folder(settings.migrations),
        ship_id=ship_id or settings.ship_id,
        ports=Ports.free() if ports == "auto" else Ports(),
    )


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise Misconfigured(f"{path}: no such folder")
    return path.resolve()


async def _up(plan: Plan, ready_file: Path | None, as_json: bool) -> None:
    screen = Console(stderr=True, highlight=False) if as_json else console()
    began = time.monotonic()
    fleet = Fleet(
        plan,
        say=lambda line: screen.print(line, markup=False, soft_wrap=True),
        ready_file=ready_file,
    )
    async with stop_on_signals(fleet), fleet:
        async with progress(fleet, screen):
            await fleet.ready()
        if fleet.stopping:
            return
        if as_json:
            emit_json(fleet.description())
        screen.print(addresses(fleet))
        screen.print(f"ready after {time.monotonic() - began:.1f} s; Ctrl-C stops")
        await fleet.stopped()
        screen.print("stopping")
