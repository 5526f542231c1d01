"""``aiops eval``: how good the decisions are, measured against known truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from aiops_cli.output import create
from aiops_cli.screen import console
from aiops_core.errors import Misconfigured
from aiops_core.inventory.policy import LearningPolicy
from aiops_core.policy.settings import Settings
from aiops_core.utils import StructuredLogger
from aiops_lab.evaluation.correlation import days, pipeline, strangers
from aiops_lab.evaluation.correlation import plots as grouping_plots
from aiops_lab.evaluation.correlation.scores import (
    GroupingScores,
    JudgedRun,
    LabelledRun,
    judge,
    mean,
)
from aiops_lab.evaluation.detection import loghub, nab, report
from aiops_lab.evaluation.detection import plots as series_plots
from aiops_lab.evaluation.detection.run import Results, watch_corpus
from aiops_lab.evaluation.insight import cases as written
from aiops_lab.evaluation.insight import report as insight_report
from aiops_lab.evaluation.insight.cases import COMMITTED, HELD_OUT
from aiops_lab.evaluation.insight.explainers import RulesAlone
from aiops_lab.evaluation.insight.retrieval import (
    RunbookQuestion,
    judge_retrieval,
    load_questions,
    of_incident,
)
from aiops_lab.evaluation.insight.run import explain_case
from aiops_lab.evaluation.insight.way import PlayedCase, play
from aiops_lab.evaluation.insight.words import WordFinder
from aiops_lab.evaluation.packs import report as pack_report
from aiops_lab.evaluation.packs.cases import judge_folder
from aiops_lab.evaluation.packs.scores import judge_packs
from aiops_lab.evaluation.signal import report as signal_report
from aiops_lab.evaluation.signal.logs import logs_in
from aiops_lab.evaluation.signal.replay import JudgingPolicies, replay
from aiops_lab.evaluation.signal.scores import JudgedLog, judge_log
from aiops_lab.evaluation.signal.truth import Expected
from aiops_lab.simulator.other_ships import other_voyage
from aiops_lab.simulator.scenario import SCENARIOS, named
from anomaly_detection.policy import DetectPolicy
from correlation_service.policy import CorrelatePolicy
from llm_enricher.policy import LlmPolicy
from llm_enricher.rules.book import RuleBook

T = TypeVar("T")

SHARED = Path("../shared/data")  # data sets beside a checkout
FIELD = Path("../shared/field")  # field cases beside a checkout
OTHERS, STRANGERS = "other-ships", "strange-ships"  # besides the simulator's own scenarios
LEARNED = "learned"  # overlap without an inventory: from the first minute, and after a day
OWN = ("overlap", "cascade", "two_at_once", "flapping", "slow_burn", "storm", "noise")
TARGETS = "overlapping faults: F1 >= 0.90, adjusted Rand >= 0.85, root >= 0.85, reduction >= 95 %"

PoliciesOption = Annotated[
    Path | None, typer.Option("--policies", help="Folder of the policies; default: AIOPS_POLICIES.")
]
FileOption = Annotated[Path | None, typer.Option("--json", help="Also write all numbers here.")]
PlotsOption = Annotated[
    Path | None, typer.Option("--plots", help="Folder for a picture of each series or run.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Score detection, correlation, what a person is told and explanations against known truth."""


@app.command()
def detect(
    nab_folder: Annotated[
        Path | None,
        typer.Option("--nab", help="Series laid out like NAB; default ../shared/data/nab."),
    ] = None,
    loghub_folder: Annotated[
        Path | None,
        typer.Option("--loghub", help="Logs laid out like loghub; default ../shared/data/loghub."),
    ] = None,
    policies: PoliciesOption = None,
    json_file: FileOption = None,
    plots: PlotsOption = None,
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
            systems = loghub.score(logs, policy)
            screen.print(loghub.table(systems))
            found["loghub"] = loghub.as_json(systems)
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
        screen.print(f"{series_plots.plot(results, plots)} pictures in {plots}")
    return report.as_json(results, profiles)


@app.command()
def packs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of field cases; default ../shared/field, if it exists."),
    ] = None,
    policies: PoliciesOption = None,
    json_file: FileOption = None,
    plots: PlotsOption = None,
    details: Annotated[
        bool, typer.Option(help="Also list what is missed or alarms with its pack left out.")
    ] = False,
) -> None:
    """Score the rules over all samples of packs, and what is seen without the pack itself.

    Field cases are files of lines with what should be found in them, judged by single detection.
    """
    policy = DetectPolicy.load(policies or Settings.read().policies)
    fields = folders or [folder for folder in (FIELD,) if folder.is_dir()]
    with create(json_file) if json_file else nullcontext() as file:
        judged = judge_packs(policy)
        cases = {str(folder): judge_folder(folder, policy) for folder in fields}
        console().print(pack_report.table(judged))
        for folder, found in cases.items():
            console().print(pack_report.table_of_cases(Path(folder), found))
        if details:
            for text in chain.from_iterable((*one.missed, *one.wrong) for one in judged):
                console().print(text, markup=False, soft_wrap=True)
        if plots is not None:
            plots.mkdir(parents=True, exist_ok=True)
            console().print(f"a picture in {pack_report.plot(judged, plots)}")
        if file:
            text = json.dumps(pack_report.as_json(judged, cases), indent=2, ensure_ascii=False)
            file.write(text + "\n")


@app.command()
def signal(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of log files, or files; default ../shared/data/loghub."),
    ] = None,
    policies: PoliciesOption = None,
    json_file: FileOption = None,
    plots: PlotsOption = None,
) -> None:
    """Count what a person is told about logs, and what of their evident faults is missing.

    Each log is replayed by its own clock through detection, enrichment and correlation, without a
    fleet. What a person finds by reading is known of the logs of loghub, and judged for them.
    """
    places = folders or [folder for folder in (_shared("loghub"),) if folder]
    if not places:
        raise Misconfigured(f"{SHARED}: no loghub there; name a folder of log files")
    files, expected = logs_in(places), Expected.load()
    chosen = JudgingPolicies.load(policies or Settings.read().policies)
    screen, judged, left_out = console(), list[JudgedLog](), list[str]()
    with create(json_file) if json_file else nullcontext() as file:
        for log in _progress(files, "logs"):
            try:
                judged.append(_judged(log, chosen, expected))
            except Misconfigured as exc:  # the other logs are judged all the same
                left_out.append(str(exc))
        for text in left_out:
            screen.print(f"left out: {text}", markup=False, soft_wrap=True)
        if not judged:
            raise Misconfigured("no log could be judged")
        screen.print(signal_report.tables(judged))
        if plots is not None:
            plots.mkdir(parents=True, exist_ok=True)
            screen.print(f"a picture in {signal_report.plot(judged, plots)}")
        if file:
            numbers = signal_report.as_json(judged, left_out)
            file.write(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n")


@app.command()
def insight(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of written incidents; default: both of ours."),
    ] = None,
    policies: PoliciesOption = None,
    json_file: FileOption = None,
    details: Annotated[bool, typer.Option(help="Also list everything that is wrong.")] = False,
) -> None:
    """Score explanations of written incidents by rules alone, and the search in the runbooks.

    The lines of each incident pass through detection, enrichment and correlation by their own
    clock; then every incident that comes of them is explained from what is known around it.
    """
    places = {str(path): path for path in files or ()} or {p.stem: p for p in (COMMITTED, HELD_OUT)}
    cases = {name: written.load(path) for name, path in places.items()}
    folder = policies or Settings.read().policies
    chosen, rules = JudgingPolicies.load(folder), RulesAlone(RuleBook.of(LlmPolicy.load(folder)))
    questions, screen = load_questions(), console()
    with create(json_file) if json_file else nullcontext() as file:
        played = {
            name: [play(case, chosen) for case in _progress(all, name)]
            for name, all in cases.items()
        }
        judged = {
            name: [asyncio.run(explain_case(one, rules)) for one in all]
            for name, all in played.items()
        }
        finder, asked = WordFinder(_runbooks(folder)), list(_asked(played.values()))
        found = {
            "words, of persons": judge_retrieval(finder, questions),
            "words, of incidents": judge_retrieval(finder, asked),
        }
        screen.print(insight_report.table(judged))
        screen.print(insight_report.table_of_retrieval(found))
        if details:
            for text in chain.from_iterable(
                one.problems() for all in judged.values() for one in all
            ):
                screen.print(text, markup=False, soft_wrap=True)
            for ask in chain.from_iterable(one.missed for one in found.values()):
                screen.print(f"no runbook for: {ask.splitlines()[0]}", markup=False, soft_wrap=True)
        if file:
            numbers = insight_report.as_json(judged, found)
            file.write(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n")


def _asked(played: Iterable[Sequence[PlayedCase]]) -> Iterator[RunbookQuestion]:
    for one in chain.from_iterable(played):
        for question in one.of_fault:
            yield of_incident(question.incident, one.case.runbooks)


def _runbooks(policies: Path) -> Mapping[str, str]:
    paths = sorted((policies / "runbooks").glob("*.md"))
    if not paths:
        raise Misconfigured(f"{policies / 'runbooks'}: has no runbooks")
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


def _judged(log: Path, policies: JudgingPolicies, expected: Expected) -> JudgedLog:
    truth, now = expected.logs.get(log.name), datetime.now(UTC)
    if truth is None:
        return judge_log(replay(log, policies, now))
    return judge_log(replay(log, policies, now, truth.shows), truth)


@app.command()
def correlate(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join((*SCENARIOS, OTHERS, STRANGERS))} or {LEARNED}; repeatable"),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Runs of each scenario, with different random numbers")
    ] = 3,
    json_file: FileOption = None,
    plots: PlotsOption = None,
    policies: PoliciesOption = None,
) -> None:
    """Score the grouping of anomalies into incidents against known faults.

    Voyages of the simulator, on its own ship and on random others, pass through the real detection
    and enrichment; strange ships send anomalies of made-up types directly.
    """
    StructuredLogger.configure("error")
    policy = CorrelatePolicy.load(policies or Settings.read().policies)
    names = scenario or [*OWN, OTHERS, STRANGERS, LEARNED]
    choice = [*SCENARIOS, OTHERS, STRANGERS, LEARNED]
    for name in names:
        if name not in choice:
            raise Misconfigured(f"--scenario {name}: there are {', '.join(choice)}")
    with create(json_file) if json_file else nullcontext() as file:
        judged: dict[str, list[JudgedRun]] = {}
        for name in names:
            if name == LEARNED:
                judged |= _learned(seeds, policy, policies or Settings.read().policies)
            else:
                judged[name] = [judge(run, policy) for run in _runs(name, seeds)]
        found = {name: {one.run.name: one.scores for one in runs} for name, runs in judged.items()}
        console().print(_table(found))
        if plots:
            plots.mkdir(parents=True, exist_ok=True)
            for one in chain.from_iterable(judged.values()):
                grouping_plots.plot(one, plots)
        if file:
            file.write(json.dumps(_as_json(found), indent=2) + "\n")


def _runs(name: str, seeds: int) -> Iterator[LabelledRun]:
    numbers = range(1, seeds + 1)
    for seed in _progress(numbers, name):
        if name == STRANGERS:
            devices, faults, noise = 40 + 10 * (seed % 6), 3 + seed % 4, seed % 9
            yield strangers.run(seed, devices=devices, faults=faults, noise=noise)
        else:
            voyage = other_voyage(seed) if name == OTHERS else named(name, seed=seed)
            yield asyncio.run(pipeline.play(voyage))


def _progress(work: Sequence[T], name: str) -> Iterable[T]:
    return track(work, description=name, console=Console(stderr=True), transient=True)


def _learned(seeds: int, policy: CorrelatePolicy, folder: Path) -> dict[str, list[JudgedRun]]:
    """The overlap scenario on the simulator's ship without its inventory, before and after a day;
    and how many of the edges that the day suggests are false."""
    detect, learning = DetectPolicy.load(folder), LearningPolicy.load(folder)
    before, after = list[JudgedRun](), list[JudgedRun]()
    for seed, run in enumerate(_runs("overlap", seeds), start=1):
        bare = days.untyped(run)
        taught = days.lesson(days.day(seed), detect, learning)
        before.append(judge(bare, policy))
        after.append(judge(bare, policy, taught.suggestions))
        parts = (
            f"{n} edges >= {least}, {false} false"
            for least in (0.5, 0.8)
            for n, false in (taught.edges(least),)
        )
        console().print(f"day {seed}, {days.FAULTS_A_DAY} faults: {'; '.join(parts)}")
    return {"overlap, no inventory": before, "overlap, after a day": after}


def _table(found: Mapping[str, Mapping[str, GroupingScores]]) -> Table:
    table = Table(title="aiops eval correlate", caption=TARGETS)
    for column in ("scenario", "runs", "anomalies", "incidents", "faults"):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for column in ("missed", "root", "precision", "recall", "F1", "adj. Rand", "reduction"):
        table.add_column(column, justify="right")
    for name, runs in found.items():
        table.add_row(name, str(len(runs)), *_cells(mean(list(runs.values()))))
    return table


def _cells(scores: GroupingScores) -> Iterator[str]:
    yield from map(str, (scores.anomalies, scores.incidents, scores.faults, scores.missed))
    yield f"{scores.top1:.0%}"
    for share in (scores.precision, scores.recall, scores.f1, scores.ari):
        yield f"{share:.3f}"
    yield f"{scores.reduction:.1%}"


def _as_json(found: Mapping[str, Mapping[str, GroupingScores]]) -> dict[str, object]:
    return {
        name: {
            "mean": mean(list(runs.values())).as_json(),
            "runs": {run: scores.as_json() for run, scores in runs.items()},
        }
        for name, runs in found.items()
    }
