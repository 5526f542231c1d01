"""A difference on the screen: counts first, then examples of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.screen import SEVERITY_STYLE, coloured
from aiops_cli.what_if.compare import Changed, Diff, Regrouped, Seen

EXAMPLES = 5  # of each kind
INCIDENT = ("severity", "first seen", "anomalies", "incident")
CHANGE = ("what", "now", "then", "incident")
RULE = ("rule", "number")
Row = tuple[str | Text, ...]


def report(diff: Diff, since: str) -> Iterator[RenderableType]:
    yield _counts(diff, since)
    for title, found in (
        ("gained: were no incident before", diff.gained),
        ("lost: would be no incident any more", diff.lost),
    ):
        yield from _examples(title, INCIDENT, map(_cells, found[:EXAMPLES]), len(found))
    for title, word, regrouped in (
        ("merged: would become one", "from", diff.merged),
        ("split: would fall apart", "into", diff.split),
    ):
        yield from _examples(title, INCIDENT, _regrouped(regrouped, word), len(regrouped))
    title = "changed: the same incident with another face"
    yield from _examples(title, CHANGE, _changes(diff.changed), len(diff.changed))
    for title, counted in (
        ("anomalies that would be suppressed", diff.hidden),
        ("anomalies that would no longer be suppressed", diff.shown),
    ):
        if counted:
            yield _table(title, RULE, ((Text(rule), f"{n:,}") for rule, n in counted.items()))
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


def _examples(
    title: str, columns: Sequence[str], rows: Iterable[Row], found: int
) -> Iterator[RenderableType]:
    if found:
        yield _table(title, columns, rows)
    if found > EXAMPLES:
        yield Text(f"and {found - EXAMPLES:,} more (--json lists all)", style="dim")


def _table(title: str, columns: Sequence[str], rows: Iterable[Row]) -> Table:
    table = Table(*columns, box=None, title=f"\n{title}", title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(one: Seen) -> tuple[Text, str, str, Text]:
    seen = f"{one.first_seen[:19]}Z"
    return coloured(one.severity, SEVERITY_STYLE), seen, str(one.anomalies), Text(one.title)


def _regrouped(found: Sequence[Regrouped], word: str) -> Iterator[Row]:
    for regrouped in found[:EXAMPLES]:
        yield _cells(regrouped.one)
        for one in regrouped.several[:EXAMPLES]:
            severity, seen, anomalies, name = _cells(one)
            yield severity, seen, anomalies, Text(f"  {word} ", style="dim") + name
        if (more := len(regrouped.several) - EXAMPLES) > 0:
            yield "", "", "", Text(f"  {word} {more} more", style="dim")


def _changes(found: Sequence[Changed]) -> Iterator[Row]:
    for change in found[:EXAMPLES]:
        for name in change.differs:
            now, then = (str(getattr(one, name)) for one in (change.before, change.after))
            yield name, Text(now), Text(then), Text(change.before.title)
