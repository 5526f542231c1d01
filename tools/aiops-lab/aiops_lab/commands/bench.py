"""``aiops bench``: speed of the whole fleet on this machine."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvloop
from rich.console import Console

from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_core.utils import StructuredLogger
from aiops_lab.bench.bench import bench_anomalies, bench_lines, bench_storm
from aiops_lab.bench.report import report
from aiops_lab.commands.up import PoliciesOption, plan_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


MEASUREMENTS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "lines": bench_lines,
    "anomalies": bench_anomalies,
    "storm": bench_storm,
}


@app.command()
def bench(
    rate: Annotated[float, typer.Option(min=1, help="Lines per second of the steady load.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="How long it lasts.")] = 30,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Anomalous part of it.")] = 0.1,
    only: Annotated[
        Literal["lines", "anomalies", "storm"],
        typer.Option(help="Log lines, or from enrichment on: anomalies, or a storm of them."),
    ] = "lines",
    data: Annotated[Path, typer.Option(help="Folder for the run; emptied afterwards.")] = Path(
        ".aiops/bench"
    ),
    policies: PoliciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure latency and throughput as ratios to a raw relay over the same hops."""
    StructuredLogger.configure("error")  # the report says what matters
    progress = Console(stderr=True, highlight=False)
    folder = data / time.strftime("%Y%m%dT%H%M%S")
    folder.mkdir(parents=True)  # a new one, so that every run starts alike
    try:
        plan = plan_of(folder, "auto", policies, "bench")
        measure = MEASUREMENTS[only]
        result = uvloop.run(
            measure(plan, rate=rate, seconds=seconds, share=share, say=progress.print)
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        return emit_json(dataclasses.asdict(result))
    screen = console()
    for part in report(result):
        screen.print(part)
