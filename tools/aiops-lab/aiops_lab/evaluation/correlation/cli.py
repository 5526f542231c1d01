"""``aiops eval correlate``: scenarios with known truth through the code that production runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from aiops_cli.output import create
from aiops_cli.screen import console
from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import Settings
from aiops_lab.evaluation.correlation import strangers
from aiops_lab.evaluation.correlation.judged import JudgedRun, LabelledRun, judge
from aiops_lab.evaluation.correlation.pipeline import pipeline
from aiops_lab.evaluation.correlation.plots import plot
from aiops_lab.evaluation.correlation.scores import GroupingScores, mean
from aiops_lab.simulator import SCENARIOS, named
from aiops_lab.simulator.other_ships import other_voyage
from correlation_service.policy import CorrelatePolicy

OTHERS, STRANGERS = "other-ships", "strange-ships"  # besides the simulator's own scenarios
OWN = ("overlap", "cascade", "two_at_once", "flapping", "slow_burn", "storm", "noise")
TARGETS = "overlapping faults: F1 >= 0.90, adjusted Rand >= 0.85, root >= 0.85, reduction >= 95 %"


def correlate(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(SCENARIOS)}, {OTHERS} or {STRANGERS}; repeatable"),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Runs of each scenario, with different random numbers")
    ] = 3,
    plots: Annotated[Path | None, typer.Option(help="Folder for a picture of each run")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write all numbers here")
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="Folder of correlate.yaml; default: AIOPS_POLICIES")
    ] = None,
) -> None:
    """Score the grouping of anomalies into incidents against known faults.

    Voyages of the simulator, on its own ship and on random others, pass through the real detection
    and enrichment; strange ships send anomalies of made-up types directly.
    """
    policy = CorrelatePolicy.load(policies or Settings.read().policies)
    names = scenario or [*OWN, OTHERS, STRANGERS]
    choice = [*SCENARIOS, OTHERS, STRANGERS]
    for name in names:
        if name not in choice:
            raise Misconfigured(f"--scenario {name}: there are {', '.join(choice)}")
    with create(json_file) if json_file else nullcontext() as file:
        found = {name: [judge(run, policy) for run in _runs(name, seeds)] for name in names}
        _show(console(), found)
        if plots:
            plots.mkdir(parents=True, exist_ok=True)
            for one in chain.from_iterable(found.values()):
                plot(one, plots)
        if file:
            file.write(json.dumps(_as_json(found), indent=2) + "\n")


def _runs(name: str, seeds: int) -> Iterator[LabelledRun]:
    numbers = range(1, seeds + 1)
    if name == STRANGERS:
        for seed in numbers:
            devices, faults, noise = 40 + 10 * (seed % 6), 3 + seed % 4, seed % 9
            yield strangers.run(seed, devices=devices, faults=faults, noise=noise)
        return
    with pipeline() as real:
        for seed in track(numbers, description=name, console=Console(stderr=True), transient=True):
            voyage = other_voyage(seed) if name == OTHERS else named(name, seed=seed)
            yield real.play(voyage)


def _show(screen: Console, found: dict[str, list[JudgedRun]]) -> None:
    table = Table(title="aiops eval correlate", caption=TARGETS)
    for column in ("scenario", "runs", "anomalies", "incidents", "faults"):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for column in ("missed", "root", "precision", "recall", "F1", "adj. Rand", "reduction"):
        table.add_column(column, justify="right")
    for name, judged in found.items():
        table.add_row(name, str(len(judged)), *_cells(mean([one.scores for one in judged])))
    screen.print(table)


def _cells(scores: GroupingScores) -> Iterator[str]:
    yield from map(str, (scores.anomalies, scores.incidents, scores.faults, scores.missed))
    yield f"{scores.top1:.0%}"
    for share in (scores.precision, scores.recall, scores.f1, scores.ari):
        yield f"{share:.3f}"
    yield f"{scores.reduction:.1%}"


def _as_json(found: dict[str, list[JudgedRun]]) -> dict[str, object]:
    return {
        name: {
            "mean": mean([one.scores for one in judged]).as_json(),
            "runs": {one.run.name: one.scores.as_json() for one in judged},
        }
        for name, judged in found.items()
    }
