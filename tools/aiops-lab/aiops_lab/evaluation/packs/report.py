"""The scores of packs and field cases as tables, JSON and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from aiops_lab.evaluation.packs.cases import JudgedCase
from aiops_lab.evaluation.packs.scores import JudgedPack, PackScores, total

INK, OWN, GENERIC = "#27374d", "#8d99ae", "#1a936f"


def table(judged: Sequence[JudgedPack]) -> Table:
    """Each pack with all rules, then with its own rules left out."""
    found = Table(
        title="aiops eval packs",
        caption="left out: what the other packs see of it. named: of the right type or one near it",
    )
    for column in ("pack", "kind"):
        found.add_column(column)
    for column in ("faults", "named", "false", "left out: seen", "named", "exact", "cleared"):
        found.add_column(column, justify="right")
    for column in ("false", "precision"):
        found.add_column(column, justify="right")
    for one in judged:
        found.add_row(one.pack, one.kind, *_cells(one.full, one.without))
    described = [one for one in judged if one.kind != "generic"]
    full, without = (
        total(one.full for one in described),
        total(one.without for one in described),
    )
    found.add_section()
    found.add_row("all that are not generic", "", *_cells(full, without))
    return found


def _cells(full: PackScores, without: PackScores) -> Iterable[str]:
    yield str(full.faults)
    yield _share(full.named, full.faults)
    yield f"{full.false} of {full.quiet}"
    yield from (_share(n, without.faults) for n in (without.seen, without.named, without.exact))
    yield _share(without.cleared, without.good_news)
    yield f"{without.false} of {without.quiet}"
    yield f"{without.precision:.2f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def table_of_cases(folder: Path, judged: Sequence[JudgedCase]) -> Table:
    right = sum(one.right for one in judged)
    found = Table(title=f"{folder}: {right} of {len(judged)} cases")
    for column in ("case", "right", "found"):
        found.add_column(column)
    for one in judged:
        found.add_row(one.name, "yes" if one.right else "[red]no[/]", escape(one.said))
    return found


def as_json(
    judged: Sequence[JudgedPack], folders: Mapping[str, Sequence[JudgedCase]]
) -> Mapping[str, object]:
    described = [one for one in judged if one.kind != "generic"]
    return {
        "packs": [asdict(one) for one in judged],
        "total": {
            "full": _numbers(total(one.full for one in described)),
            "left_out": _numbers(total(one.without for one in described)),
        },
        "cases": {folder: [asdict(one) for one in cases] for folder, cases in folders.items()},
    }


def _numbers(scores: PackScores) -> Mapping[str, float]:
    return {**asdict(scores), "recall": scores.recall, "precision": scores.precision}


def plot(judged: Sequence[JudgedPack], folder: Path) -> Path:
    """Write ``packs.png``: the faults of each pack that are named, by all and by other packs."""
    rows = [one for one in judged if one.full.faults][::-1]
    figure = Figure(figsize=(9, 1.5 + 0.24 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    axes.barh(places, [one.full.recall for one in rows], color=OWN, height=0.8, label="all packs")
    axes.barh(
        places,
        [one.without.recall for one in rows],
        color=GENERIC,
        height=0.45,
        label="its own rules left out",
    )
    names = [f"{one.pack} ({one.full.faults})" for one in rows]
    axes.set_yticks(places, names, fontsize=7, color=INK)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the faults that are named")
    without = total(one.without for one in judged if one.kind != "generic")
    axes.set_title(
        f"packs: left out, {without.recall:.0%} named, {without.false} of {without.quiet} quiet "
        "lines alarm",
        loc="left",
        fontsize=10,
    )
    axes.legend(fontsize=7, loc="lower right", frameon=False)
    path = folder / "packs.png"
    figure.savefig(path, dpi=110)
    return path
