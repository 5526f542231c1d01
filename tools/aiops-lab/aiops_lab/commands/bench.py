"""``aiops bench``: speed of the whole fleet on this machine."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console, RenderableType

from aiops_cli.output import JsonOption, console, emit_json
from aiops_core.utils import StructuredLogger
from aiops_lab.bench import pipeline, storm
from aiops_lab.bench.report import report
from aiops_lab.bench.run import Say, run, scratch
from aiops_lab.commands.up import PoliciesOption, plan_of
from aiops_lab.fleet.plan import Plan

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Shown = Callable[[Any], Iterator[RenderableType]]


class Only(StrEnum):
    """What is measured: log lines through the whole fleet, anomalies from enrichment on, or a storm
    of anomalies from one device while others have real faults."""

    LINES = "lines"
    ANOMALIES = "anomalies"
    STORM = "storm"


@app.command()
def bench(
    rate: Annotated[float, typer.Option(min=1, help="Lines per second of the steady load.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="How long it lasts.")] = 30,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Anomalous part of it.")] = 0.1,
    only: Annotated[
        Only, typer.Option(help="Log lines, or from enrichment on: anomalies, or a storm of them.")
    ] = Only.LINES,
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

    def say(line: str) -> None:
        progress.print(line)

    try:
        plan = plan_of(folder, "auto", policies, "bench")
        result, shown = _measured(plan, only, rate, seconds, share, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        return emit_json(dataclasses.asdict(result))
    screen = console()
    for part in shown(result):
        screen.print(part)


def _measured(
    plan: Plan, only: Only, rate: float, seconds: float, share: float, say: Say
) -> tuple[Any, Shown]:
    """The result, and how it is shown."""
    if only is Only.ANOMALIES:
        work = pipeline.bench(plan, rate=rate, seconds=seconds, say=say)
        return uvloop.run(work), pipeline.report
    if only is Only.STORM:
        raging = storm.bench(plan, total=round(rate * seconds), rate=rate, say=say)
        return uvloop.run(raging), storm.report
    return run(plan, rate=rate, seconds=seconds, share=share, say=say), report
