"""``aiops simulate``: a ship lives for a while, with faults; its messages are published or kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from aiops_cli.device_file import write_devices
from aiops_cli.output import create
from aiops_core.models import Device, LogEntry, MetricSample
from aiops_core.policy.settings import Settings
from aiops_lab.simulator.convert import Run
from aiops_lab.simulator.driver import Summary, play, start_of
from aiops_lab.simulator.fault_table import FAULTS
from aiops_lab.simulator.files import JsonLines, TruthWriter
from aiops_lab.simulator.inventory import SHIP
from aiops_lab.simulator.scenario import (
    AFTERMATH,
    FIRST_FAULT,
    NAMES,
    SCENARIOS,
    Event,
    Injection,
    Scenario,
    length_of,
    named,
)

PAUSE = 15.0  # s between two faults whose times were not given


class Sink(Protocol):
    """Where messages go."""

    async def send(
        self, entries: Sequence[LogEntry | MetricSample], raw: Sequence[str] | None = None
    ) -> None: ...


SinkFactory = Callable[[], AbstractAsyncContextManager[Sink]]
LoadInventory = Callable[[Sequence[Device]], Awaitable[None]]


def injections_of(texts: Iterable[str]) -> tuple[Injection, ...]:
    """Parse ``NAME[@SECONDS][:DEVICE]``; those without a time follow one another."""
    found: list[Injection] = []
    free = FIRST_FAULT
    for text in texts:
        injection = _injection(text, free)
        free = injection.at + length_of(injection.fault) + PAUSE
        found.append(injection)
    return tuple(found)


def _injection(text: str, default_at: float) -> Injection:
    head, _, device = text.partition(":")
    name, _, at = head.partition("@")
    if name not in NAMES:
        raise ValueError(f"no fault {name!r}; there are {', '.join(NAMES)}")
    return Injection(name, float(at) if at else default_at, device or None)


def scenario_of(
    name: str, faults: Sequence[str], seed: int, rate: float, duration: float | None
) -> Scenario:
    """The named scenario, or one made of the given faults."""
    if not faults:
        return named(name, seed=seed, rate=rate, duration=duration)
    injections = injections_of(faults)
    natural = max(one.at + length_of(one.fault) for one in injections) + AFTERMATH
    return Scenario(duration or natural, injections, seed=seed, rate=rate)


def catalogue() -> Table:
    """Everything that can be simulated."""
    table = Table("name", "kind", "seconds", "root device", "what happens", title="aiops simulate")
    for name, outline in SCENARIOS.items():
        roots = FAULTS[name].device if name in FAULTS else ""
        kind = "scenario, fault" if name in NAMES else "scenario"
        table.add_row(name, kind, f"{outline.duration:g}", roots, outline.title)
    return table


def _report(summary: Summary, scenario: Scenario) -> Table:
    table = Table("episode", "root device", "from s", "to s", "lines", "devices")
    for one in scenario.episodes:
        times = (f"{one.start:.1f}", f"{one.end:.1f}")
        table.add_row(one.id, one.root_device, *times, str(one.lines), str(len(one.affected)))
    table.title = (
        f"{summary.lines} lines, {summary.readings} readings in {summary.elapsed:.1f} s; "
        f"{summary.faulty} of them anomalous, {len(scenario.episodes)} episodes"
    )
    return table


def _as_json(summary: Summary, scenario: Scenario, run: Run) -> str:
    return json.dumps(
        {
            "scenario": scenario.name,
            "seed": scenario.seed,
            "run_id": run.id,
            "start": run.t0.isoformat(),
            "lines": summary.lines,
            "readings": summary.readings,
            "anomalous": summary.faulty,
            "levels": summary.levels,
            "episodes": [one.id for one in scenario.episodes],
            "elapsed_s": round(summary.elapsed, 3),
        }
    )


@dataclass(frozen=True, slots=True)
class _Show:
    """One performance with everything it needs."""

    scenario: Scenario
    run: Run
    speed: float
    sink: AbstractAsyncContextManager[Sink]
    progress: Callable[[Summary], None]
    load_inventory: LoadInventory | None

    async def perform(self, events: Iterable[Event]) -> Summary:
        async with self.sink as sink:
            if self.load_inventory:
                await self.load_inventory(SHIP.devices)
            return await play(
                events,
                sink.send,
                self.run,
                speed=self.speed,
                now=lambda: datetime.now(UTC),
                progress=self.progress,
            )


@contextmanager
def _bar(console: Console, scenario: Scenario, hidden: bool) -> Iterator[Callable[[Summary], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden) as progress:
        task = progress.add_task(f"simulating {scenario.name}", total=scenario.duration)
        yield lambda summary: progress.update(task, completed=summary.offset)
        progress.update(task, completed=scenario.duration)


def _sink(
    out: Path | None, open_sink: SinkFactory | None, files: ExitStack
) -> AbstractAsyncContextManager[Sink]:
    if out:
        return nullcontext(JsonLines(files.enter_context(create(out))))
    if open_sink is None:
        raise typer.BadParameter("nowhere to publish to: give --out FILE")
    return open_sink()


def _scenario_or_exit(
    name: str, faults: Sequence[str], seed: int, rate: float, duration: float | None
) -> Scenario:
    try:
        scenario = scenario_of(name, faults, seed, rate, duration)
        scenario.episodes  # noqa: B018  # unfolds the faults: an impossible root shows now
    except (LookupError, ValueError) as error:
        raise typer.BadParameter(str(error.args[0])) from None
    return scenario


def _run(scenario: Scenario, speed: float, ship_id: str, start: datetime | None) -> Run:
    t0 = start.replace(tzinfo=UTC) if start else None
    t0 = t0 or start_of(scenario.duration, speed, datetime.now(UTC))
    return Run(t0, ship_id, f"{ship_id}/{scenario.name}/{scenario.seed}/{t0.isoformat()}")


def simulate_command(
    open_sink: SinkFactory | None = None, load_inventory: LoadInventory | None = None
) -> Callable[..., None]:
    """The typer command; *open_sink* makes the place that messages go to without ``--out``, and
    *load_inventory* tells the platform there which devices the ship has."""

    def simulate(
        scenario: Annotated[str, typer.Option(help="Named scenario, see --list")] = "demo",
        fault: Annotated[
            list[str] | None,
            typer.Option(help=r"NAME\[@SECONDS]\[:DEVICE] instead of a scenario; repeatable"),
        ] = None,
        seed: Annotated[int, typer.Option(help="The same seed gives the same voyage")] = 1,
        duration: Annotated[float | None, typer.Option(min=0.1, help="Seconds to simulate")] = None,
        rate: Annotated[float, typer.Option(min=0, help="Normal log lines per second")] = 50.0,
        speed: Annotated[
            float, typer.Option(min=0.01, help="1: real time; inf: as fast as accepted")
        ] = 1.0,
        truth: Annotated[Path | None, typer.Option(help="Write ground truth, JSON lines")] = None,
        ship_id: Annotated[
            str | None, typer.Option(help="The ship they come from; default: AIOPS_SHIP_ID")
        ] = None,
        start: Annotated[
            datetime | None, typer.Option(help="UTC time of the first second; default: now")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(help="Write messages as JSON lines, publish nothing")
        ] = None,
        devices_out: Annotated[
            Path | None, typer.Option(help="Also write the devices, CSV")
        ] = None,
        inventory: Annotated[
            bool, typer.Option(help="First import the ship's devices through the API")
        ] = True,
        list_: Annotated[bool, typer.Option("--list", help="Show scenarios and faults")] = False,
        json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON")] = False,
    ) -> None:
        """Simulate a ship: normal traffic, named faults, and the truth about them."""
        console = Console(stderr=json_)
        if devices_out:
            with create(devices_out) as file:
                write_devices(file, SHIP.devices)
        if list_:
            console.print(catalogue())
            return
        voyage = _scenario_or_exit(scenario, fault or (), seed, rate, duration)
        run = _run(voyage, speed, ship_id or Settings.read().ship_id, start)
        load = load_inventory if inventory and out is None else None
        summary = _perform(voyage, run, speed, truth, out, open_sink, load, console, json_)
        if json_:
            typer.echo(_as_json(summary, voyage, run))
        else:
            console.print(_report(summary, voyage))

    return simulate


def _perform(
    scenario: Scenario,
    run: Run,
    speed: float,
    truth: Path | None,
    out: Path | None,
    open_sink: SinkFactory | None,
    load_inventory: LoadInventory | None,
    console: Console,
    quiet: bool,
) -> Summary:
    with ExitStack() as files:
        sink = _sink(out, open_sink, files)
        events: Iterable[Event] = scenario
        if truth:
            file = files.enter_context(create(truth))
            events = TruthWriter(file, scenario, run).watch(scenario)
        progress = files.enter_context(_bar(console, scenario, quiet))
        show = _Show(scenario, run, speed, sink, progress, load_inventory)
        return asyncio.run(show.perform(events))
