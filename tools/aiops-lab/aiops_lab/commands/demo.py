"""``aiops demo``: the whole platform in one terminal."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aiops_cli.screen import console
from aiops_core.utils import StructuredLogger
from aiops_lab.commands.up import DataOption, PoliciesOption, PortsOption, ShipOption, plan_of
from aiops_lab.demo.demo import Demo
from aiops_lab.fleet.files import only_one
from aiops_lab.simulator.scenario import named

RUN_FOLDER = "run-"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    once: Annotated[
        bool,
        typer.Option("--once", help="End after the scenario; exit code 1 when a fault was missed."),
    ] = False,
    data: DataOption = Path(".aiops/demo"),
    ports: PortsOption = "auto",
    policies: PoliciesOption = None,
    ship_id: ShipOption = None,
    scenario: Annotated[str, typer.Option(help="See `aiops simulate --list`.")] = "demo",
    seed: Annotated[int, typer.Option(help="The same seed gives the same voyage.")] = 1,
) -> None:
    """Run the fleet, a simulated ship with faults on it, and watch the incidents."""
    StructuredLogger.configure("error")  # the view says what matters
    try:
        voyage = named(scenario, seed=seed)
    except LookupError as exc:
        raise typer.BadParameter(str(exc.args[0])) from None
    with fresh_folder(data) as folder:
        plan = plan_of(folder, ports, policies, ship_id)
        done = asyncio.run(Demo(plan, console(), voyage, once).perform())
    raise typer.Exit(0 if done else 1)


@contextlib.contextmanager
def fresh_folder(data: Path) -> Iterator[Path]:
    """A folder below *data* for one demo, so that no incident of an earlier one absorbs its lines.

    It stays afterwards, with its logs; those of earlier demos are removed.
    """
    with only_one(data):
        for old in data.glob(f"{RUN_FOLDER}*"):
            shutil.rmtree(old, ignore_errors=True)
        yield data / f"{RUN_FOLDER}{datetime.now(UTC):%Y%m%dT%H%M%S}"
