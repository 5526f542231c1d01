"""What a person is told about logs, as tables, JSON and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from aiops_lab.evaluation.signal.scores import (
    KINDS,
    MOST_ITEMS,
    JudgedLog,
    SignalScores,
    TitleKind,
    total,
)

TARGET = f"<= {MOST_ITEMS:g} open items per 1,000 lines, 0 told again, 0 vague, 0 faults lost"
INK, INCIDENTS, ITEMS, LIMIT = "#27374d", "#8d99ae", "#1a936f", "#c1292e"
COLUMNS = ("lines", "anomalies", "incidents", "per 1,000", "open items", "per 1,000", "again")
MORE = ("vague", "single", "no fault", "faults", "lost", "named")


def tables(judged: Sequence[JudgedLog]) -> Group:
    shown = [_counts(judged), _kinds(judged)]
    return Group(*shown, *([_faults(judged)] if any(one.faults for one in judged) else []))


def _counts(judged: Sequence[JudgedLog]) -> Table:
    whole = total([one.scores for one in judged])
    reached = "reached" if whole.on_target else "not reached"
    table = _table(
        "aiops eval signal",
        ("log",),
        (*COLUMNS, *MORE),
        f"over all: {TARGET}: {reached}. Incidents are what the platform opens, open items what "
        "they are when all of one problem, or of one spread over devices, count once. No fault: "
        "items of lines that a person passes over",
    )
    names = _names(judged)
    for one in judged:
        table.add_row(names[one.name], *_cells(one.scores))
    table.add_section()
    table.add_row("all", *_cells(whole), style="bold")
    return table


def _names(judged: Sequence[JudgedLog]) -> Mapping[str, str]:
    """What each log is called: its folder is told only where files of one name differ by it."""
    short = {one.name: one.name.rpartition("/")[2] for one in judged}
    times = Counter(short.values())
    return {name: file if times[file] == 1 else name for name, file in short.items()}


def _cells(scores: SignalScores) -> Iterator[str]:
    unread = f" ({scores.refused:,} unread)" if scores.refused else ""
    yield f"{scores.lines:,}{unread}"
    yield from (f"{n:,}" for n in (scores.anomalies, scores.incidents))
    yield f"{scores.incidents_per_1000:.1f}"
    yield f"{scores.items:,}"
    yield f"{scores.items_per_1000:.1f}"
    numbers = (scores.again, scores.vague, scores.single, scores.no_fault, scores.faults)
    yield from ("-" if n is None else str(n) for n in (*numbers, scores.lost, scores.named))


def _kinds(judged: Sequence[JudgedLog]) -> Table:
    table = _table(
        f"the {KINDS} largest kinds of titles",
        ("title", "log", "rule or detector at the root"),
        ("incidents",),
        "without devices, addresses and numbers",
    )
    names = _names(judged)
    for log, kind, n in largest(judged):
        table.add_row(escape(kind.title), names[log], escape(kind.maker), str(n))
    return table


def largest(judged: Sequence[JudgedLog]) -> list[tuple[str, TitleKind, int]]:
    """The largest kinds of titles: log, kind and number of incidents."""
    every = [(one.name, kind, n) for one in judged for kind, n in one.kinds.items()]
    return sorted(every, key=lambda kind: -kind[2])[:KINDS]


def _faults(judged: Sequence[JudgedLog]) -> Table:
    table = _table(
        "faults that a person finds by reading",
        ("log", "fault", "what", "found", "named"),
        ("lines", "devices", "told", "incidents", "items"),
        "devices: how many have it, and on how many of them it is told",
    )
    names = _names(judged)
    for one in judged:
        for fault in one.faults:
            name = f"{fault.fault} {fault.device}".strip()
            said = "yes" if fault.named else "no"
            table.add_row(
                *(names[one.name], name, fault.what),
                *("yes" if fault.found else "[red]lost[/]", said if fault.found else "-"),
                *map(str, (fault.lines, fault.devices, fault.told)),
                *map(str, (fault.incidents, fault.items)),
            )
    return table


def _table(title: str, texts: Sequence[str], numbers: Sequence[str], caption: str) -> Table:
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def as_json(judged: Sequence[JudgedLog], left_out: Sequence[str]) -> Mapping[str, object]:
    return {
        "target": TARGET,
        "total": total([one.scores for one in judged]).as_json(),
        "logs": [_log(one) for one in judged],
        "left_out": list(left_out),
    }


def _log(one: JudgedLog) -> Mapping[str, object]:
    titles = [{**asdict(kind), "incidents": n} for kind, n in one.kinds.most_common()]
    faults = [{**asdict(fault), "found": fault.found} for fault in one.faults]
    return {"log": one.name, **one.scores.as_json(), "titles": titles, "evident_faults": faults}


def plot(judged: Sequence[JudgedLog], folder: Path) -> Path:
    """Write ``signal.png``: incidents and open items of each log per 1,000 lines."""
    rows = [*judged][::-1]
    figure = Figure(figsize=(9, 2 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    for part, colour, height, label in (
        ([one.scores.incidents_per_1000 for one in rows], INCIDENTS, 0.8, "incidents"),
        ([one.scores.items_per_1000 for one in rows], ITEMS, 0.45, "open items"),
    ):
        axes.barh(places, part, color=colour, height=height, label=label)
    axes.axvline(MOST_ITEMS, color=LIMIT, linewidth=1, linestyle="--", label="target, over all")
    names = _names(judged)
    axes.set_yticks(places, [names[one.name] for one in rows], fontsize=8, color=INK)
    axes.set_xlabel("per 1,000 lines")
    whole = total([one.scores for one in judged])
    lost = f", {whole.lost} of {whole.faults} faults lost" if whole.faults else ""
    axes.set_title(
        f"{whole.incidents_per_1000:.1f} incidents, {whole.items_per_1000:.1f} open items per "
        f"1,000 lines, {whole.again} told again, {whole.vague} vague{lost}",
        loc="left",
        fontsize=10,
    )
    axes.legend(fontsize=8, loc="lower right", frameon=False)
    path = folder / "signal.png"
    figure.savefig(path, dpi=110)
    return path
