"""A bench on the screen: tables with the ratio to the raw relay, and bars to compare by eye."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from aiops_lab.bench.disk import STALL
from aiops_lab.bench.measure import END_TO_END, Percentiles, Usage
from aiops_lab.bench.run import Bench, Limit, Outcome
from aiops_lab.evaluation.detection.speed import Speed

BAR = 40  # characters of the longest bar


def report(bench: Bench) -> Iterator[RenderableType]:
    steady = f"{bench.rate:g} lines/s for {bench.seconds:g} s"
    yield latencies(steady, bench.steady, bench.steady_limit)
    yield stalls(bench.steady)
    yield accounts(bench.steady, bench.steady_limit)
    yield usages(bench.steady.usage)
    yield latencies(
        f"{bench.saturated.lines} lines as fast as accepted", bench.saturated, bench.saturated_limit
    )
    yield stalls(bench.saturated)
    yield accounts(bench.saturated, bench.saturated_limit)
    yield usages(bench.saturated.usage)
    if bench.speeds:
        yield paths(bench.speeds)


def latencies(title: str, outcome: Outcome, limit: Limit) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("stage", "p50 ms", "p95 ms", "p99 ms", "worst ms", "p99"):
        table.add_column(name, justify="left" if name in ("stage", "p99") else "right")
    rows = {**outcome.stages, "raw relay": limit.latency, "disk sync": outcome.disk}
    if outcome.stalls and outcome.calm.count:
        rows["without stalls"] = outcome.calm
    longest = max(p.p99 for p in rows.values())
    for name, p in rows.items():
        table.add_row(name, *_numbers(p), _bar(p.p99, longest))
    total = outcome.stages[END_TO_END]
    ratios = [f"{a / b:.1f}x" for a, b in zip(_values(total), _values(limit.latency), strict=True)]
    table.add_row("ratio", *ratios, "end to end / raw relay", style="bold")
    return table


def stalls(outcome: Outcome) -> Text:
    """What the disk did beside the load: "without stalls" is end to end of the lines that met none."""
    met = outcome.stages[END_TO_END].count - outcome.calm.count
    return Text(
        f"disk: stalled {outcome.stalls} times for more than {STALL.total_seconds() * 1000:g} ms, "
        f"{outcome.stalled_seconds:.1f} s in all; {met} met one of them on their way"
    )


def _values(p: Percentiles) -> tuple[float, ...]:
    return (p.p50, p.p95, p.p99, p.worst)


def _numbers(p: Percentiles) -> list[str]:
    return [f"{value:.1f}" for value in _values(p)]


def _bar(value: float, longest: float) -> Text:
    return Text("█" * max(1, round(BAR * value / longest)), style="cyan")


def accounts(outcome: Outcome, limit: Limit) -> Text:
    ratio = outcome.handled_per_second / limit.per_second
    return Text(
        f"accepted {outcome.accepted_per_second:,.0f} lines/s, handled {outcome.handled_per_second:,.0f} "
        f"lines/s (raw relay {limit.per_second:,.0f}, ratio {ratio:.2f}); {outcome.anomalous} anomalous "
        f"lines: {outcome.lost} lost, {outcome.doubled} doubled\nall in ClickHouse "
        f"{outcome.written_after:.1f} s after the last line\n"
    )


def usages(usage: dict[str, Usage]) -> Table:
    table = Table(title="processes", title_justify="left")
    for name in ("process", "cpu, % of a core", "memory MiB"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for name, used in sorted(usage.items(), key=lambda item: -item[1].cpu):
        table.add_row(name, f"{used.cpu * 100:.0f}", f"{used.memory_mib:.0f}")
    total = sum(u.cpu for u in usage.values()), sum(u.memory_mib for u in usage.values())
    table.add_row("all", f"{total[0] * 100:.0f}", f"{total[1]:.0f}", style="bold")
    return table


def paths(speeds: Sequence[Speed]) -> Table:
    table = Table(title="single paths, per second of one core", title_justify="left")
    for name in ("path", "measured", "limit", "limited by", "ratio"):
        table.add_column(name, justify="left" if name in ("path", "limited by") else "right")
    for speed in speeds:
        numbers = (f"{speed.measured:,.0f}", f"{speed.limit:,.0f}")
        table.add_row(speed.label, *numbers, speed.limited_by, f"{speed.ratio:.2f}")
    return table
