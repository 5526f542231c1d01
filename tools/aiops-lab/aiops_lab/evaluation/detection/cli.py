"""``aiops eval detect``: the detectors of production, with its policy, on public data sets."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from aiops_cli.output import create
from aiops_cli.screen import console
from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import Settings
from aiops_lab.evaluation.detection import loghub, nab, report
from aiops_lab.evaluation.detection.plots import plot
from aiops_lab.evaluation.detection.run import Results, watch_corpus
from anomaly_detection.policy import DetectPolicy

SHARED = Path("../shared/data")  # data sets beside a checkout


def detect(
    nab_folder: Annotated[
        Path | None,
        typer.Option("--nab", help="Series laid out like NAB; default ../shared/data/nab."),
    ] = None,
    loghub_folder: Annotated[
        Path | None,
        typer.Option("--loghub", help="Logs laid out like loghub; default ../shared/data/loghub."),
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="Folder of the policies; default: AIOPS_POLICIES.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all measures to this file.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Write a picture of every series into this folder.")
    ] = None,
) -> None:
    """Score the detectors of readings and of lines against labelled references.

    Without --nab and --loghub, both data sets are taken from ../shared/data if they exist.
    """
    policy = DetectPolicy.load(policies or Settings.read().policies)
    chosen = nab_folder is not None or loghub_folder is not None
    series = nab_folder if chosen else _shared("nab")
    logs = loghub_folder if chosen else _shared("loghub")
    if series is None and logs is None:
        raise Misconfigured(f"{SHARED}: not there; give --nab FOLDER or --loghub FOLDER")
    screen, found = console(), dict[str, object]()
    with create(json_file) if json_file else nullcontext() as file:
        if series is not None:
            found["nab"] = _series(series, policy, screen, plots)
        if logs is not None:
            found["loghub"] = _logs(logs, policy, screen)
        if file:
            file.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def _shared(name: str) -> Path | None:
    folder = SHARED / name
    return folder if folder.is_dir() else None


def _series(folder: Path, policy: DetectPolicy, screen: Console, plots: Path | None) -> object:
    corpus, profiles = nab.load(folder), nab.load_profiles(folder)
    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task("readings", total=len(corpus))
        detected = watch_corpus(policy, corpus, lambda: progress.advance(task))
    results = Results(corpus, detected)
    screen.print(report.tables(results, profiles))
    if plots is not None:
        screen.print(f"{plot(results, plots)} pictures in {plots}")
    return report.as_json(results, profiles)


def _logs(folder: Path, policy: DetectPolicy, screen: Console) -> object:
    systems = loghub.score(folder, policy)
    screen.print(loghub.table(systems))
    return loghub.as_json(systems)
