"""A difference on the screen: counts first, then examples of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import SEVERITY_STYLE, coloured
from aiops_cli.what_if.compare import Changed, Diff, Regrouped, Seen

EXAMPLES = 5  # of each kind


def report(diff: Diff, since: str) -> Iterator[RenderableType]:
    yield _counts(diff, since)
    yield from _incidents("gained: were no incident before", diff.gained)
    yield from _incidents("lost: would be no incident any more", diff.lost)
    yield from _regrouped("merged: would become one", diff.merged, "from")
    yield from _regrouped("split: would fall apart", diff.split, "into")
    yield from _changes(diff.changed)
    yield from _rules("would be suppressed", diff.hidden)
    yield from _rules("would no longer be suppressed", diff.shown)
    if diff.empty:
        yield Text("No difference: the new policy makes the same incidents.", style="green")


def _counts(diff: Diff, since: str) -> Table:
    title = f"{diff.anomalies:,} anomalies since {since}, with both policies"
    table = Table(box=None, title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, number in (
        ("incidents now", diff.before),
        ("incidents with the new policy", diff.after),
        ("unchanged", diff.same),
        ("gained", len(diff.gained)),
        ("lost", len(diff.lost)),
        ("merged", len(diff.merged)),
        ("split", len(diff.split)),
        ("changed", len(diff.changed)),
        ("anomalies suppressed more", sum(diff.hidden.values())),
        ("anomalies suppressed less", sum(diff.shown.values())),
    ):
        table.add_row(name, f"{number:,}")
    return table


def _incidents(title: str, found: Sequence[Seen]) -> Iterator[RenderableType]:
    if not found:
        return
    table = _table(title, "severity", "first seen", "anomalies", "incident")
    for one in found[:EXAMPLES]:
        table.add_row(*_cells(one))
    yield table
    yield from _more(len(found))


def _cells(one: Seen) -> tuple[Text, str, str, Text]:
    seen = f"{one.first_seen[:19]}Z"
    return coloured(one.severity, SEVERITY_STYLE), seen, str(one.anomalies), Text(one.title)


def _regrouped(title: str, found: Sequence[Regrouped], word: str) -> Iterator[RenderableType]:
    if not found:
        return
    table = _table(title, "severity", "first seen", "anomalies", "incident")
    for regrouped in found[:EXAMPLES]:
        table.add_row(*_cells(regrouped.one))
        for one in regrouped.several[:EXAMPLES]:
            severity, seen, anomalies, name = _cells(one)
            table.add_row(severity, seen, anomalies, Text(f"  {word} ", style="dim") + name)
        if (more := len(regrouped.several) - EXAMPLES) > 0:
            table.add_row("", "", "", Text(f"  {word} {more} more", style="dim"))
    yield table
    yield from _more(len(found))


def _changes(found: Sequence[Changed]) -> Iterator[RenderableType]:
    if not found:
        return
    table = _table(
        "changed: the same incident with another face", "what", "now", "then", "incident"
    )
    for change in found[:EXAMPLES]:
        for name in change.differs:
            now, then = _value(change.before, name), _value(change.after, name)
            table.add_row(name, Text(now), Text(then), Text(change.before.title))
    yield table
    yield from _more(len(found))


def _value(one: Seen, name: str) -> str:
    return str(getattr(one, name))


def _rules(title: str, counted: Mapping[str, int]) -> Iterator[RenderableType]:
    if counted:
        table = _table(f"anomalies that {title}", "rule", "number")
        for rule, number in counted.items():
            table.add_row(Text(rule), f"{number:,}")
        yield table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, box=None, title=f"\n{title}", title_justify="left")


def _more(found: int) -> Iterator[Text]:
    if found > EXAMPLES:
        yield Text(f"and {found - EXAMPLES:,} more (--json lists all)", style="dim")
