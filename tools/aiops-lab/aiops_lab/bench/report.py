"""A bench on the screen: tables with the ratio to the raw relay, and bars to compare by eye."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from aiops_lab.bench.bench import AnomalyBench, FleetResult, LineBench, StormBench
from aiops_lab.bench.measure import END_TO_END, LatencySummary, Usage
from aiops_lab.bench.relay import RelayResult

BAR = 40  # characters of the longest bar
PROMISED = {"enrich": 30.0, "correlate": 50.0}  # ms at the 99th percentile


def report(result: LineBench | AnomalyBench | StormBench) -> Iterator[RenderableType]:
    """Everything that *result* says."""
    match result:
        case LineBench():
            steady = f"{result.rate:g} lines/s for {result.seconds:g} s"
            yield from _load(steady, result.steady, result.steady_limit)
            saturated = f"{result.saturated.lines} lines as fast as accepted"
            yield from _load(saturated, result.saturated, result.saturated_limit)
        case AnomalyBench():
            steady = f"{result.rate:g} anomalies/s for {result.seconds:g} s"
            yield from _load(steady, result.outcome, result.limit)
            yield _promises(result.outcome)
            yield _balance(result.balance)
        case StormBench():
            yield _storm(result)
            yield _balance(result.balance)
            yield _usage(result.usage)


def _load(title: str, found: FleetResult, limit: RelayResult) -> Iterator[RenderableType]:
    yield _latencies(title, found, limit)
    yield Text(
        f"accepted {found.accepted_per_second:,.0f}/s, handled {found.handled_per_second:,.0f}/s "
        f"(raw relay {limit.per_second:,.0f}, "
        f"ratio {found.handled_per_second / limit.per_second:.2f}); of {found.anomalous:,} "
        f"anomalous {found.lost} lost, {found.doubled} doubled\n"
        f"all in ClickHouse {found.written_after:.1f} s after the last\n"
    )
    yield _usage(found.usage)


def _latencies(title: str, found: FleetResult, limit: RelayResult) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("stage", "p50 ms", "p95 ms", "p99 ms", "worst ms", "p99"):
        table.add_column(name, justify="left" if name in ("stage", "p99") else "right")
    rows = {**found.stages, "raw relay": limit.latency}
    longest = max(latency.p99 for latency in rows.values())
    for name, latency in rows.items():
        bar = Text("█" * max(1, round(BAR * latency.p99 / longest)), style="cyan")
        table.add_row(name, *(f"{value:.1f}" for value in _values(latency)), bar)
    pairs = zip(_values(found.stages[END_TO_END]), _values(limit.latency), strict=True)
    table.add_row("ratio", *(f"{a / b:.1f}x" for a, b in pairs), "end to end / raw relay")
    return table


def _values(latency: LatencySummary) -> tuple[float, ...]:
    return (latency.p50, latency.p95, latency.p99, latency.worst)


def _promises(found: FleetResult) -> Text:
    """Each promised stage against its limit."""
    text = Text()
    for stage, most in PROMISED.items():
        p99 = found.stages[stage].p99
        kept = p99 < most
        words = f"{stage} p99 {p99:.1f} ms of {most:g} ms ({p99 / most:.2f}): "
        text.append(words).append("kept\n" if kept else "broken\n", "green" if kept else "red")
    return text


def _storm(found: StormBench) -> Text:
    return Text(
        f"{found.sent:,} anomalies accepted in {found.seconds:.1f} s, all ended after "
        f"{found.drained:.1f} s ({found.sent / found.drained:,.0f}/s)\n"
        f"the storm is {found.incidents_of_the_storm} incident(s); {found.others_seen} of "
        f"{found.others} other faults have one of their own"
    )


def _balance(balance: Mapping[str, int]) -> Text:
    ends = (f"{value:,} {name.replace('_', ' ')}" for name, value in balance.items())
    return Text(f"ledger: {', '.join(ends)}\n")


def _usage(usage: Mapping[str, Usage]) -> Table:
    table = Table(title="processes", title_justify="left")
    for name in ("process", "cpu, % of a core", "memory MiB"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for name, used in sorted(usage.items(), key=lambda item: -item[1].cpu):
        table.add_row(name, f"{used.cpu * 100:.0f}", f"{used.memory_mib:.0f}")
    total = sum(u.cpu for u in usage.values()), sum(u.memory_mib for u in usage.values())
    table.add_row("all", f"{total[0] * 100:.0f}", f"{total[1]:.0f}", style="bold")
    return table
