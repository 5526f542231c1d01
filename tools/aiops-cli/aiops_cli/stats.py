"""``aiops stats``: numbers of incidents and latencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import age, console, dig, milliseconds

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def stats(
    time_range: Annotated[str, typer.Option(help="15m, 1h, 24h, 7d …")] = "1h",
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show numbers of incidents and latencies of both paths."""
    with Api.open(api) as calls:
        numbers = calls.get("/stats", time_range=time_range)
        hidden = calls.get("/stats/suppressions", time_range=time_range)
    if as_json:
        emit_json(numbers | {"suppressions": hidden})
    else:
        console().print(summary(numbers, time_range), suppressions(hidden))


def summary(numbers: Mapping[str, Any], time_range: str) -> RenderableType:
    """A table of counts and a table of latencies."""
    counts = Table("incidents", "", box=None, title=f"{numbers['total']} incidents in {time_range}")
    for key in ("by_severity", "by_status", "by_category"):
        for name, count in (numbers.get(key) or {}).items():
            counts.add_row(f"{key.removeprefix('by_')} {name}", str(count))
    return Group(counts, _paths(numbers))


def suppressions(hidden: Mapping[str, Any]) -> RenderableType:
    """Suppressed anomalies by rule, with rules that never matched: they may be a mistake."""
    title = f"{hidden['total']} anomalies hidden in {hidden['time_range']}"
    table = Table("hidden by", "kind", "hidden", "last matched", "reason", box=None, title=title)
    for rule in hidden["by_rule"]:
        last = rule["last_matched_at"]
        table.add_row(
            Text(rule["rule"], style="" if rule["in_force"] else "dim"),
            rule["kind"],
            str(rule["hidden"]),
            f"{age(last)} ago" if last else "never",
            Text(rule["reason"]),
        )
    return table


def _paths(numbers: Mapping[str, Any]) -> Table:
    table = Table("path", "processed", "errors", "p50", "p95", "p99", "within SLO", box=None)
    for path in ("fast_path", "insight_path"):
        one = numbers.get(path) or {}
        latencies = (milliseconds(dig(one, "latency_ms", p)) for p in ("p50", "p95", "p99"))
        share = one.get("compliance")
        table.add_row(
            path.replace("_", " "),
            str(one.get("processed", "-")),
            str(one.get("errors", "-")),
            *latencies,
            "-" if share is None else f"{share:.1%} of {one.get('slo_ms')} ms",
        )
    return table
