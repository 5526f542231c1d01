"""``aiops packs``: what the messages of devices mean, and which pattern takes a line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_core.components import UNNAMED
from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import Settings
from anomaly_detection.detectors.base import Cleared
from anomaly_detection.packs import LoadedPack, Packs, load_pack, uncleared_of
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Burst, Harmless, LineRule, Pattern, Recovery, StatedLine
from anomaly_detection.samples import (
    Judge,
    Judged,
    complaints,
    complaints_about,
    entry_of,
    state_of,
    text_of,
)

MISTAKE = 2  # exit code

PoliciesOption = Annotated[
    Path | None, typer.Option("--policies", help="Folder of the policies; default: AIOPS_POLICIES.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def packs() -> None:
    """What devices' messages mean: list packs, try a line, check the samples."""


def _folder(policies: Path | None) -> Path:
    return policies or Settings.read().policies


@dataclass(frozen=True)
class ListedPack:
    """One pack in numbers; *problem* of one that was left out."""

    id: str
    kind: str
    title: str
    file: str
    patterns: int = 0
    bursts: int = 0
    harmless: int = 0
    samples: int = 0
    normal: int = 0
    problem: str | None = None


@app.command("list")
def list_(policies: PoliciesOption = None, as_json: JsonOption = False) -> None:
    """List all packs; exit code 2 when one was left out because of a mistake."""
    known = DetectPolicy.load(_folder(policies)).packs
    listed = listing(known)
    if as_json:
        emit_json([asdict(one) for one in listed])
    else:
        columns = ("pack", "kind", "title", "patterns", "bursts", "harmless", "samples", "normal")
        table = Table(*columns, box=None)
        for one in listed:
            counts = (one.patterns, one.bursts, one.harmless, one.samples, one.normal)
            title = f"[red]left out: {escape(one.problem)}[/]" if one.problem else escape(one.title)
            table.add_row(one.id, one.kind, title, *map(str, counts))
        console().print(table)
        rules = f"{len(known.rules)} rules"
        console().print(f"{len(known.loaded)} packs, {rules}, {len(known.left_out)} left out")
    if known.left_out:
        raise typer.Exit(MISTAKE)


def listing(known: Packs) -> list[ListedPack]:
    """All packs, those that were left out last."""
    found = [_listed(one) for one in known.loaded]
    for left in known.left_out:
        name = Path(left.file).stem
        found.append(ListedPack(name, "", "", left.file, problem=left.problem))
    return found


def _listed(one: LoadedPack) -> ListedPack:
    kinds = Counter(
        "bursts" if isinstance(r, Burst) else "harmless" if isinstance(r, Harmless) else "patterns"
        for r in one.rules
    )
    samples = sum(len(rule.positive) + len(rule.negative) for rule in one.rules)
    return ListedPack(
        one.pack.id,
        "site" if one.site else one.pack.kind,
        one.pack.title,
        one.file,
        kinds["patterns"],
        kinds["bursts"],
        kinds["harmless"],
        samples,
        len(one.pack.normal),
    )


@app.command()
def show(
    pack: Annotated[str, typer.Argument(help="Its id, as `aiops packs list` names it.")],
    policies: PoliciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the rules of one pack."""
    known = DetectPolicy.load(_folder(policies)).packs
    chosen = [one for one in known.loaded if one.pack.id == pack]
    if not chosen:
        raise Misconfigured(f"{pack}: no such pack; `aiops packs list` lists them")
    in_force = {id(rule) for rule in known.rules}
    if as_json:
        emit_json([rule_json(rule) for one in chosen for rule in one.rules])
        return
    screen = console()
    for one in chosen:
        screen.print(f"{escape(one.pack.title)} ({one.file}; {escape(one.pack.source)})")
        table = Table("rule", "state", "lasts", "means", "severity", "regex", box=None)
        for rule in one.rules:
            state = state_of(rule) if id(rule) in in_force else "replaced or removed"
            means, severity = meaning(rule)
            lasts = lasts_of(rule)
            table.add_row(rule.id, state, lasts, means, severity, escape(rule.regex.pattern))
        screen.print(table)


def meaning(rule: LineRule) -> tuple[str, str]:
    """What *rule* makes of a line: a type, what is cleared, or why not; and its severity."""
    if isinstance(rule, Recovery):
        return f"clears {', '.join(rule.clears)}", ""
    if isinstance(rule, Harmless):
        return rule.why, ""
    if isinstance(rule, Pattern | Burst):
        return rule.anomaly_type, rule.severity.value
    return "", ""


def lasts_of(rule: LineRule) -> str:
    """Whether what *rule* finds lasts until it is cleared."""
    if not isinstance(rule, Pattern):
        return ""
    return {True: "until cleared", False: "no", None: "as its type"}[rule.lasts]


def rule_json(rule: LineRule) -> Mapping[str, object]:
    stated = rule.model_dump(by_alias=True, exclude={"regex", "levels"}, mode="json")
    levels = sorted(rule.levels) if rule.levels else None
    return {**stated, "state": state_of(rule), "regex": rule.regex.pattern, "levels": levels}


@app.command("try")
def try_(
    line: Annotated[str, typer.Argument(help="A whole line as the device writes it; - is stdin.")],
    service: Annotated[str | None, typer.Option(help="LINE is a message of this service.")] = None,
    policies: PoliciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is read from LINE, which rule takes it and why; which others match and lose."""
    judge = Judge(DetectPolicy.load(_folder(policies)))
    lines = [text.rstrip("\n") for text in sys.stdin] if line == "-" else [line]
    results = []
    for text in filter(str.strip, lines):
        sample = StatedLine(msg=text, service=service) if service else text
        judged = judge.judge(entry_of(sample))
        results.append(judged_json(judged))
        if not as_json:
            _print(judged)
    if as_json:
        emit_json(results if line == "-" else results[0] if results else None)


def judged_json(judged: Judged) -> Mapping[str, object]:
    entry, anomaly, cleared = judged.entry, judged.anomaly, judged.cleared
    found = anomaly or cleared
    return {
        "read": {
            "host": entry.host,
            "service": entry.service,
            "level": entry.level.value,
            "ts": entry.ts.isoformat(),
            "msg": entry.msg,
            "labels": entry.labels,
        },
        "statement": judged.statement,
        "rule": judged.winner.id if judged.winner else None,
        "state": state_of(judged.winner) if judged.winner else None,
        "lost": [{"rule": one.rule.id, "why": one.why} for one in judged.losers],
        "bursts": [rule.id for rule in judged.bursts],
        "anomaly_type": anomaly.anomaly_type if anomaly else None,
        "severity": anomaly.severity.value if anomaly else None,
        "clears": list(cleared.anomaly_types) if cleared else None,
        "service": found.source.service if found else None,
        "component": found.component if found else None,
        "detector": found.detector if found else None,
        "reason": found.reason if found else None,
    }


def _print(judged: Judged) -> None:
    screen, entry = console(), judged.entry
    screen.print(
        f"[b]read[/]      host {escape(entry.host)}, service {escape(entry.service)}, "
        f"level {entry.level}, time {entry.ts:%Y-%m-%d %H:%M:%S}"
    )
    screen.print(f"[b]message[/]   {escape(entry.msg)}")
    if judged.statement != entry.msg:
        screen.print(f"[b]statement[/] {escape(judged.statement)}")
    if entry.labels:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(entry.labels.items()))
        screen.print(f"[b]labels[/]    {escape(labels)}")
    screen.print(f"[b]verdict[/]   {verdict(judged)}")
    for loser in judged.losers:
        screen.print(f"  matches and loses: {loser.rule.id} ({loser.why})")
    for burst in judged.bursts:
        within = f"{burst.count} such lines within {burst.within.total_seconds():g} s"
        screen.print(f"  counts for {burst.id}: {within} are {burst.anomaly_type}")


def verdict(judged: Judged) -> str:
    """One sentence of what becomes of the line, with markup."""
    winner, anomaly, cleared = judged.winner, judged.anomaly, judged.cleared
    if anomaly:
        by = f"[b]{winner.id}[/]" if winner else "its level alone, no rule matches"
        of = f" of {escape(anomaly.component)}" if anomaly.component else ""
        what = f"{anomaly.anomaly_type}{of}, {anomaly.severity} (service {anomaly.source.service})"
        state = f", {state_of(winner)}" if winner else ""
        return f"{escape(what)}{state} by {by}\n          {escape(anomaly.reason)}"
    if cleared and winner:
        part = _part_of(cleared)
        return f"clears {', '.join(cleared.anomaly_types)}{part} by [b]{winner.id}[/]"
    if isinstance(winner, Harmless):
        return f"harmless by [b]{winner.id}[/]: {escape(winner.why)}"
    return "nothing: no rule matches, and the level is no anomaly"


def _part_of(cleared: Cleared) -> str:
    if cleared.component == UNNAMED:
        return " of what names no part"
    return f" of {escape(cleared.component)}" if cleared.component else ""


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of packs; default: all of the policies.")
    ] = None,
    uncleared: Annotated[
        bool,
        typer.Option(
            "--uncleared", help="Only list what is raised and no rule of its pack clears."
        ),
    ] = False,
    policies: PoliciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the samples of packs through the normaliser and all rules; exit code 2 on a mistake."""
    folder = _folder(policies)
    if uncleared:
        _list_uncleared(DetectPolicy.load(folder).packs, as_json=as_json)
        return
    problems, lines = examine(folder, files or ())
    if as_json:
        emit_json([asdict(one) for one in problems])
    else:
        for problem in problems:
            console().print(f"[red]{escape(problem.text)}[/]", soft_wrap=True)
        console().print(f"{lines} samples, {len(problems)} mistakes")
    if problems:
        raise typer.Exit(MISTAKE)


def _list_uncleared(known: Packs, *, as_json: bool) -> None:
    """Such a state lasts until a person ends it: allowed, but better known."""
    found = [(rule.id, rule.anomaly_type) for one in known.loaded for rule in uncleared_of(one)]
    if as_json:
        emit_json([{"rule": id_, "anomaly_type": type_} for id_, type_ in found])
        return
    for id_, type_ in found:
        console().print(f"{id_} raises {type_}", soft_wrap=True)
    console().print(f"{len(found)} rules raise what no rule of their pack clears")


@dataclass(frozen=True)
class PackMistake:
    """In the pack *file*; *text* is for a person."""

    file: str
    text: str


def examine(folder: Path, files: Sequence[Path] = ()) -> tuple[list[PackMistake], int]:
    """The mistakes in *files* (default: all packs in *folder*), and the number of lines tried.

    A file from outside the folder is judged as if it were in it. To the mistakes of *files* belong
    lines of other packs that their rules take away.
    """
    policy = DetectPolicy.load(folder)
    chosen, broken = _chosen(policy.packs, folder, files)
    names = {one.pack.id for one in chosen}
    others = [one for one in policy.packs.loaded if one.pack.id not in names]
    judge = Judge(policy.using(Packs.of([*others, *chosen])) if files else policy)
    found = [*broken]
    for one in chosen:
        found += [PackMistake(one.file, str(complaint)) for complaint in complaints(one, judge)]
    if files:
        lost = complaints_about(names, others, judge)
        found += [PackMistake(complaint.file, str(complaint)) for complaint in lost]
    lines = sum(len(samples_of(one)) for one in chosen)
    return found, lines


def _chosen(
    known: Packs, folder: Path, files: Sequence[Path]
) -> tuple[list[LoadedPack], list[PackMistake]]:
    if not files:
        broken = [PackMistake(left.file, left.problem) for left in known.left_out]
        return list(known.loaded), broken
    chosen, broken = [], []
    for path in files:
        try:
            chosen.append(load_pack(path.resolve(), folder.resolve()))
        except Misconfigured as exc:
            broken.append(PackMistake(str(path), str(exc)))
    return chosen, broken


def samples_of(one: LoadedPack) -> Sequence[str]:
    """All sample lines of a pack."""
    of_rules = (sample for rule in one.rules for sample in (*rule.positive, *rule.negative))
    return [text_of(sample) for sample in (*of_rules, *one.pack.normal)]
