"""``aiops simulate``: a ship lives for a while, with faults; its messages are published or kept.

The inventory goes first, through the API, because root causes are found along its topology.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from aiops_cli.device_file import write_devices
from aiops_cli.ingest.sink import open_sink
from aiops_cli.output import create
from aiops_core.errors import AiopsError, Unavailable
from aiops_core.models import Device
from aiops_core.policy.settings import Settings
from aiops_core.utils import StructuredLogger
from aiops_lab.demo.feed import flowing, load_inventory
from aiops_lab.simulator.driver import PlaySummary, play, start_of
from aiops_lab.simulator.faults import FAULTS
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
from aiops_lab.simulator.voyage import Emit, Voyage, json_lines, recorded

PAUSE = 15.0  # s between two faults whose times were not given

Show = Callable[[PlaySummary], None]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
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
    devices_out: Annotated[Path | None, typer.Option(help="Also write the devices, CSV")] = None,
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
        return console.print(catalogue())
    planned = _scenario_or_exit(scenario, fault or (), seed, rate, duration)
    voyage = _voyage(planned, speed, ship_id or Settings.read().ship_id, start)
    devices = SHIP.devices if inventory and out is None else ()
    with ExitStack() as files:
        sink = nullcontext(json_lines(files.enter_context(create(out)))) if out else publishing()
        events: Iterable[Event] = planned
        if truth:
            events = recorded(planned, voyage, files.enter_context(create(truth)))
        show = files.enter_context(_progress(console, planned, json_))
        summary = asyncio.run(_perform(events, voyage, speed, sink, devices, show))
    if json_:
        typer.echo(_as_json(summary, planned, voyage))
    else:
        console.print(_report(summary, planned))


def publishing() -> AbstractAsyncContextManager[Emit]:
    """The way into this ship's broker and ClickHouse."""
    StructuredLogger.configure(Settings.read().log_level)
    return flowing(open_sink(Settings.read()))


async def load_devices(devices: Sequence[Device]) -> None:
    """Import *devices* through the API of this ship."""
    try:
        await load_inventory(Settings.read().api_url, devices)
    except AiopsError as exc:
        raise Unavailable(
            f"the ship's devices cannot be loaded ({exc}); --no-inventory goes without"
        ) from exc


async def _perform(
    events: Iterable[Event],
    voyage: Voyage,
    speed: float,
    opening: AbstractAsyncContextManager[Emit],
    devices: Sequence[Device],
    show: Show,
) -> PlaySummary:
    async with opening as emit:
        if devices:
            await load_devices(devices)
        return await play(
            events, emit, voyage, speed=speed, now=lambda: datetime.now(UTC), progress=show
        )


def _scenario_or_exit(
    name: str, faults: Sequence[str], seed: int, rate: float, duration: float | None
) -> Scenario:
    try:
        scenario = scenario_of(name, faults, seed, rate, duration)
        scenario.episodes  # noqa: B018  # unfolds the faults: an impossible root shows now
    except (LookupError, ValueError) as error:
        raise typer.BadParameter(str(error.args[0])) from None
    return scenario


def scenario_of(
    name: str, faults: Sequence[str], seed: int, rate: float, duration: float | None
) -> Scenario:
    """The named scenario, or one made of the given faults."""
    if not faults:
        return named(name, seed=seed, rate=rate, duration=duration)
    injections = injections_of(faults)
    natural = max(one.at + length_of(one.fault) for one in injections) + AFTERMATH
    return Scenario(duration or natural, injections, seed=seed, rate=rate)


def injections_of(texts: Iterable[str]) -> tuple[Injection, ...]:
    """Parse ``NAME[@SECONDS][:DEVICE]``; those without a time follow one another."""
    found: list[Injection] = []
    free = FIRST_FAULT
    for text in texts:
        head, _, device = text.partition(":")
        name, _, at = head.partition("@")
        if name not in NAMES:
            raise ValueError(f"no fault {name!r}; there are {', '.join(NAMES)}")
        found.append(Injection(name, float(at) if at else free, device or None))
        free = found[-1].at + length_of(name) + PAUSE
    return tuple(found)


def _voyage(scenario: Scenario, speed: float, ship_id: str, start: datetime | None) -> Voyage:
    t0 = start.replace(tzinfo=UTC) if start else None
    t0 = t0 or start_of(scenario.duration, speed, datetime.now(UTC))
    return Voyage(t0, ship_id, f"{ship_id}/{scenario.name}/{scenario.seed}/{t0.isoformat()}")


@contextmanager
def _progress(console: Console, scenario: Scenario, hidden: bool) -> Iterator[Show]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden) as progress:
        task = progress.add_task(f"simulating {scenario.name}", total=scenario.duration)
        yield lambda summary: progress.update(task, completed=summary.offset)
        progress.update(task, completed=scenario.duration)


def catalogue() -> Table:
    """Everything that can be simulated."""
    table = Table("name", "kind", "seconds", "root device", "what happens", title="aiops simulate")
    for name, outline in SCENARIOS.items():
        roots = FAULTS[name].device if name in FAULTS else ""
        kind = "scenario, fault" if name in NAMES else "scenario"
        table.add_row(name, kind, f"{outline.duration:g}", roots, outline.title)
    return table


def _report(summary: PlaySummary, scenario: Scenario) -> Table:
    table = Table("episode", "root device", "from s", "to s", "lines", "devices")
    for one in scenario.episodes:
        times = (f"{one.start:.1f}", f"{one.end:.1f}")
        table.add_row(one.id, one.root_device, *times, str(one.lines), str(len(one.affected)))
    table.title = (
        f"{summary.lines} lines, {summary.readings} readings in {summary.elapsed:.1f} s; "
        f"{summary.faulty} of them anomalous, {len(scenario.episodes)} episodes"
    )
    return table


def _as_json(summary: PlaySummary, scenario: Scenario, voyage: Voyage) -> str:
    return json.dumps(
        {
            "scenario": scenario.name,
            "seed": scenario.seed,
            "run_id": voyage.id,
            "start": voyage.t0.isoformat(),
            "lines": summary.lines,
            "readings": summary.readings,
            "anomalous": summary.faulty,
            "levels": summary.levels,
            "episodes": [one.id for one in scenario.episodes],
            "elapsed_s": round(summary.elapsed, 3),
        }
    )
