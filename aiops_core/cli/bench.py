"""``aiops bench``: speed of the whole fleet on this machine."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aiops_core.cli.output import JsonOption, console, emit_json
from aiops_core.cli.up import PoliciesOption, plan_of
from aiops_core.local.bench.report import report
from aiops_core.local.bench.run import run, scratch
from aiops_core.utils import StructuredLogger

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    rate: Annotated[float, typer.Option(min=1, help="Lines per second of the steady load.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="How long it lasts.")] = 30,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Anomalous part of it.")] = 0.1,
    data: Annotated[Path, typer.Option(help="Folder for the run; emptied afterwards.")] = Path(
        ".aiops/bench"
    ),
    policies: PoliciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure latency and throughput, and compare them with a raw relay over the same hops."""
    StructuredLogger.configure("error")  # the report says what matters
    progress = Console(stderr=True, highlight=False)
    folder = scratch(data)
    try:
        plan = plan_of(folder, "auto", policies, "bench")
        result = run(
            plan, rate=rate, seconds=seconds, share=share, say=lambda line: progress.print(line)
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        return emit_json(dataclasses.asdict(result))
    screen = console()
    for part in report(result):
        screen.print(part)
