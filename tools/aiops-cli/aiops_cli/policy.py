"""``aiops policy check``: is every policy file right, and is every one read by somebody?"""

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

from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_cli.what_if.cli import diff
from aiops_core.adapters.victoriametrics import QueryRefused, VictoriaMetrics
from aiops_core.errors import Misconfigured
from aiops_core.policy.file import Policy, models
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.policy.settings import Settings

MISTAKE = 2  # exit code
EPOCH = datetime.fromtimestamp(0, UTC)  # there is no data then, so that an answer costs nothing

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
    """What is to say about one policy file; *problem* is None when it is right."""

    file: str
    model: str | None
    problem: str | None


@app.command()
def check(
    policies: Annotated[Path | None, typer.Option(help="Folder of the policy files.")] = None,
    victoriametrics: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this server about each PromQL query.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every policy file against the model that reads it; exit code 2 on a mistake."""
    folder = policies or Settings.read().policies
    if not folder.is_dir():
        raise Misconfigured(f"{folder}: no such folder")
    findings = examine(folder, announced())
    if victoriametrics:
        findings = asyncio.run(asked(victoriametrics, folder, announced(), findings))
    if as_json:
        emit_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.problem for finding in findings):
        raise typer.Exit(MISTAKE)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Of the file, without .yaml: detect, correlate …")],
    service: Annotated[str | None, typer.Option(help="Whose values: of this service,")] = None,
    device: Annotated[str | None, typer.Option(help="this device (or host),")] = None,
    metric: Annotated[str | None, typer.Option(help="this metric,")] = None,
    ship: Annotated[str | None, typer.Option(help="this ship; default: AIOPS_SHIP_ID.")] = None,
    key: Annotated[str, typer.Option(help="Only keys that begin so.")] = "",
    policies: Annotated[Path | None, typer.Option(help="Folder of the policy files.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the values in force, each with the place that it comes from."""
    settings = Settings.read()
    folder = policies or settings.policies
    asked_for = {"service": service, "device": device, "metric": metric, "ship": ship}
    about = {word: value for word, value in asked_for.items() if value is not None}
    if about:
        about.setdefault("ship", settings.ship_id)
    rows = explained(folder, name, about, key)
    if as_json:
        emit_json([asdict(row) for row in rows])
    else:
        console().print(_table(rows))


@dataclass(frozen=True)
class Row:
    """One value in force as it is shown."""

    key: str
    value: str
    source: str


def explained(folder: Path, name: str, about: Mapping[str, str], key: str = "") -> list[Row]:
    """The values of policy *name* for whom *about* names; raises Misconfigured."""
    file = f"{name.removesuffix('.yaml')}.yaml"
    readers = {model.file: model for model in announced()}
    if file not in readers:
        raise Misconfigured(f"{name}: no such policy; there are {', '.join(sorted(readers))}")
    model = readers[file]
    settings = model.load(folder).explain(about)
    lines = model.lines(folder, [s.place for s in settings if s.place])
    return [
        Row(s.key, _value(s.value), f"{file}:{lines[s.place]}" if s.place else "built in")
        for s in settings
        if s.key.startswith(key)
    ]


def _value(value: object) -> str:
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    if isinstance(value, tuple | frozenset):
        return ", ".join(
            sorted(map(str, value)) if isinstance(value, frozenset) else map(str, value)
        )
    return "-" if value is None else str(value)


def _table(rows: Sequence[Row]) -> Table:
    table = Table("key", "value", "source", box=None)
    for row in rows:
        table.add_row(escape(row.key), escape(row.value), row.source)
    return table


def announced() -> Sequence[type[Policy]]:
    """All models of installed distributions; raises Misconfigured for one that cannot be imported."""
    try:
        return models()
    except (ImportError, AttributeError) as exc:
        raise Misconfigured(f"a policy model cannot be loaded: {exc}") from exc


def examine(folder: Path, readers: Iterable[type[Policy]]) -> list[Finding]:
    """One finding per file that a model reads, and one per YAML file that none reads."""
    readers = list(readers)
    read = {model.file for model in readers}
    files = sorted(p.name for pattern in ("*.yaml", "*.yml") for p in folder.glob(pattern))
    unread = [Finding(file, None, "no model reads this file") for file in files if file not in read]
    checked = [_examined(folder, model) for model in readers]
    return sorted(_retained(folder, readers, checked + unread), key=lambda finding: finding.file)


def _examined(folder: Path, model: type[Policy]) -> Finding:
    name = f"{model.__module__}.{model.__qualname__}"
    try:
        model.load(folder)
    except Misconfigured as exc:
        return Finding(model.file, name, str(exc))
    return Finding(model.file, name, None)


def _retained(
    folder: Path, readers: Iterable[type[Policy]], findings: Sequence[Finding]
) -> list[Finding]:
    """*findings*, with the limits of streams that are too tight for what files that are right need."""
    right = {finding.file for finding in findings if finding.problem is None}
    if RetentionPolicy.file not in right:
        return list(findings)
    retention = RetentionPolicy.load(folder)
    needed = [model.load(folder) for model in readers if model.file in right]
    flaws = "; ".join(flaw for policy in needed for flaw in retention.flaws(policy, folder))
    tight = {RetentionPolicy.file: flaws} if flaws else {}
    return [replace(f, problem=tight.get(f.file, f.problem)) for f in findings]


async def asked(
    url: str, folder: Path, readers: Iterable[type[Policy]], findings: Sequence[Finding]
) -> list[Finding]:
    """*findings*, with what the server at *url* says of the queries in files that are right.

    Raises Unavailable when it does not answer.
    """
    right = {finding.file for finding in findings if finding.problem is None}
    refused: dict[str, str] = {}
    async with VictoriaMetrics.open(url) as server:
        for model in readers:
            if model.file in right and (problem := await _refused(server, folder, model)):
                refused[model.file] = problem
    return [replace(f, problem=refused.get(f.file, f.problem)) for f in findings]


async def _refused(server: VictoriaMetrics, folder: Path, model: type[Policy]) -> str:
    problems = []
    for place, query in model.load(folder).queries().items():
        try:
            await server.instant(query, at=EPOCH, freshness=timedelta(seconds=1))
        except QueryRefused as exc:
            problems.append(f"{model.where(folder, place)}: {exc}")
    return "; ".join(problems)


def _print(findings: Sequence[Finding]) -> None:
    screen = console()
    for finding in findings:
        verdict = f"[red]{escape(finding.problem)}[/]" if finding.problem else "[green]OK[/]"
        screen.print(f"{finding.file}: {verdict}", soft_wrap=True)
