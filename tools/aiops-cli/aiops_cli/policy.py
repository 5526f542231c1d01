"""``aiops policy``: check the policy files, show values in force, try changes on the past."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from aiops_cli import packs
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_cli.what_if.cli import diff
from aiops_core.errors import Misconfigured
from aiops_core.policy.file import Policy, models
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import Settings
from anomaly_detection.packs import Pack
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.victoriametrics import QueryRefused, VictoriaMetrics
from llm_enricher.policy import LlmPolicy
from llm_enricher.rules import checks
from llm_enricher.rules.book import RuleBook
from llm_enricher.rules.packs import InsightPack

MISTAKE = 2  # exit code
EPOCH = datetime.fromtimestamp(0, UTC)  # without data, so that a query costs nothing

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


@app.callback()
def policy() -> None:
    """Policies of this ship."""


app.command()(diff)


@dataclass(frozen=True)
class Finding:
    """The result for one policy file. *problem* is None when it is correct."""

    file: str
    model: str | None
    problem: str | None


@app.command()
def check(
    policies: Annotated[
        Path | None, typer.Option(help="Folder of the policy files; default: AIOPS_POLICIES.")
    ] = None,
    victoriametrics: Annotated[
        str | None, typer.Option(metavar="URL", help="Server that checks each PromQL query.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every policy file, and the samples of all packs; exit code 2 on a mistake."""
    folder = policies or Settings.read().policies
    if not folder.is_dir():
        raise Misconfigured(f"{folder}: no such folder")
    readers = announced()
    findings = [
        *examine(folder, readers),
        *examine_packs(folder, readers),
        *examine_insight(folder, readers),
    ]
    if victoriametrics:
        findings = asyncio.run(check_queries(victoriametrics, folder, readers, findings))
    if as_json:
        emit_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.problem for finding in findings):
        raise typer.Exit(MISTAKE)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The file without .yaml: detect, correlate …")],
    service: Annotated[str | None, typer.Option(help="Values for this service.")] = None,
    device_id: Annotated[str | None, typer.Option(help="Values for this device or host.")] = None,
    metric: Annotated[str | None, typer.Option(help="Values for this metric.")] = None,
    ship: Annotated[
        str | None, typer.Option(help="Values for this ship; default: AIOPS_SHIP_ID.")
    ] = None,
    key: Annotated[str, typer.Option(help="Only keys with this prefix.")] = "",
    policies: Annotated[
        Path | None, typer.Option(help="Folder of the policy files; default: AIOPS_POLICIES.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the values in force, each with its source."""
    settings = Settings.read()
    folder = policies or settings.policies
    asked_for = {"service": service, "device_id": device_id, "metric": metric, "ship": ship}
    about = {word: value for word, value in asked_for.items() if value is not None}
    if about:
        about.setdefault("ship", settings.ship_id)
    values = effective(folder, name, about, key)
    if as_json:
        emit_json([asdict(one) for one in values])
        return
    table = Table("key", "value", "source", box=None)
    for one in values:
        table.add_row(escape(one.key), escape(one.value), one.source)
    console().print(table)


@dataclass(frozen=True)
class EffectiveValue:
    """A value in force; *source* is ``file:line`` or ``built in``."""

    key: str
    value: str
    source: str


def effective(
    folder: Path, name: str, about: Mapping[str, str], key: str = ""
) -> list[EffectiveValue]:
    """The values of the policy *name* for the sender *about*; raises Misconfigured."""
    file = f"{name.removesuffix('.yaml')}.yaml"
    readers = {model.file: model for model in announced()}
    if file not in readers:
        raise Misconfigured(f"{name}: no such policy; there are {', '.join(sorted(readers))}")
    model = readers[file]
    settings = model.load(folder).explain(about)
    sources = model.sources(folder, [one.place for one in settings if one.place])
    return [
        EffectiveValue(one.key, _value(one.value), sources[one.place] if one.place else "built in")
        for one in settings
        if one.key.startswith(key)
    ]


def _value(value: object) -> str:
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    if isinstance(value, frozenset):
        value = tuple(sorted(map(str, value)))
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def announced() -> Sequence[type[Policy]]:
    """The models of all installed distributions; raises Misconfigured if one fails to load."""
    try:
        return models()
    except (ImportError, AttributeError) as exc:
        raise Misconfigured(f"a policy model cannot be loaded: {exc}") from exc


def examine(folder: Path, readers: Iterable[type[Policy]]) -> list[Finding]:
    """One finding per file that a model reads, and one per YAML file that no model reads."""
    findings: dict[str, Finding] = {}
    loaded: list[Policy] = []
    for model in readers:
        name, problem = f"{model.__module__}.{model.__qualname__}", None
        try:
            loaded.append(model.load(folder))
        except Misconfigured as exc:
            problem = str(exc)
        findings[model.file] = Finding(model.file, name, problem)
    for retention in loaded:
        if isinstance(retention, RetentionPolicy):
            flaws = [flaw for policy in loaded for flaw in retention.flaws(policy, folder)]
            problem = "; ".join(flaws) or None
            findings[retention.file] = replace(findings[retention.file], problem=problem)
    for path in (*folder.glob("*.yaml"), *folder.glob("*.yml")):
        unread = Finding(path.name, None, "no model reads this file")
        findings.setdefault(path.name, unread)
    return [findings[file] for file in sorted(findings)]


def examine_packs(folder: Path, readers: Iterable[type[Policy]]) -> list[Finding]:
    """One finding per pack: mistakes in the file, and samples that are not judged as it says."""
    if DetectPolicy not in readers or not (folder / DetectPolicy.file).is_file():
        return []
    try:
        known = DetectPolicy.load(folder).packs
    except Misconfigured:
        return []  # named already, as that of the file
    files = [*(one.file for one in known.loaded), *(one.file for one in known.left_out)]
    problems: dict[str, list[str]] = {file: [] for file in files}
    for mistake in packs.examine(folder)[0]:
        problems[mistake.file].append(mistake.text)
    model = f"{Pack.__module__}.{Pack.__qualname__}"
    return [
        Finding(file, model, "; ".join(found) or None) for file, found in sorted(problems.items())
    ]


def examine_insight(folder: Path, readers: Iterable[type[Policy]]) -> list[Finding]:
    """One finding per pack of explanations: mistakes in it, and samples explained otherwise."""
    if LlmPolicy not in readers or not (folder / LlmPolicy.file).is_file():
        return []
    try:
        policy = LlmPolicy.load(folder)
    except Misconfigured:
        return []  # named already, as that of the file
    known = policy.packs
    files = [*(one.file for one in known.read), *(one.file for one in known.left_out)]
    problems: dict[str, list[str]] = {file: [] for file in files}
    for mistake in checks.examine(known, RuleBook.of(policy)):
        problems[mistake.file].append(mistake.text)
    model = f"{InsightPack.__module__}.{InsightPack.__qualname__}"
    return [
        Finding(file, model, "; ".join(found) or None) for file, found in sorted(problems.items())
    ]


async def check_queries(
    url: str, folder: Path, readers: Iterable[type[Policy]], findings: Sequence[Finding]
) -> list[Finding]:
    """*findings*, with what the server at *url* refuses of the queries in correct files.

    Raises Unavailable when the server does not answer.
    """
    correct = {finding.file for finding in findings if finding.problem is None}
    refused: dict[str, list[str]] = {}
    async with VictoriaMetrics.open(url) as server:
        for model in readers:
            queries = model.load(folder).queries() if model.file in correct else {}
            for place, query in queries.items():
                try:
                    await server.instant(query, at=EPOCH, freshness=timedelta(seconds=1))
                except QueryRefused as exc:
                    problem = f"{model.where(folder, place)}: {exc}"
                    refused.setdefault(model.file, []).append(problem)
    return [
        replace(finding, problem="; ".join(refused[finding.file]))
        if finding.file in refused
        else finding
        for finding in findings
    ]


def _print(findings: Sequence[Finding]) -> None:
    screen = console()
    for finding in findings:
        verdict = f"[red]{escape(finding.problem)}[/]" if finding.problem else "[green]OK[/]"
        screen.print(f"{finding.file}: {verdict}", soft_wrap=True)
