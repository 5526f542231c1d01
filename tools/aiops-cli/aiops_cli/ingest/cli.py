"""``aiops replay FILES...``: send log files; their incidents are those of then."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from aiops_cli.ingest import report
from aiops_cli.ingest.formats import Format
from aiops_cli.ingest.reader import check
from aiops_cli.ingest.replay import Summary
from aiops_cli.ingest.replay import replay as run_replay
from aiops_cli.ingest.sink import Sender, open_sink
from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import Settings
from aiops_core.utils import StructuredLogger

DeviceOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=ID", help="An instrument's id in the inventory: gps-gp=gps-01."),
]


def named(pairs: Sequence[str] | None) -> dict[str, str]:
    """Raises BadParameter for what is no NAME=ID."""
    found = {}
    for pair in pairs or ():
        name, _, id_ = pair.partition("=")
        if not name or not id_:
            raise typer.BadParameter(f"{pair}: write NAME=ID, as in gps-gp=gps-01")
        found[name] = id_
    return found


@dataclass(frozen=True)
class Order:
    """What the command line asks for."""

    files: tuple[Path, ...]
    rate: float | None = None
    ship_id: str | None = None
    host: str | None = None
    devices: Mapping[str, str] = field(default_factory=dict)
    wanted: Format = Format.AUTO
    limit: int | None = None
    as_json: bool = False
    dry_run: bool = False


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Log files, or sentences (NMEA 0183, AIS) of instruments; .gz is read as it is."
        ),
    ],
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Lines a second; default: as fast as accepted.")
    ] = None,
    ship_id: Annotated[str | None, typer.Option(help="Default: AIOPS_SHIP_ID.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Of lines that name none; default: this machine.")
    ] = None,
    device: DeviceOption = None,
    wanted: Annotated[
        Format, typer.Option("--format", help="What the lines are; auto detects it per file.")
    ] = Format.AUTO,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after that many lines.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as JSON on stdout.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; needs no server.")
    ] = False,
) -> None:
    """Send log files to the platform; every line keeps the time that it states.

    So the incidents are those of then; only lines without a time happen now.

    Exit code 0: all lines sent; 1: some were refused; 2: nothing could be read or sent; 130: Ctrl-C.
    """
    order = Order(tuple(files), rate, ship_id, host, named(device), wanted, limit, as_json, dry_run)
    raise typer.Exit(perform(order, Console(soft_wrap=True), Console(stderr=True)))


def perform(order: Order, out: Console, err: Console) -> int:
    """Do what *order* says; return the exit code."""
    try:
        settings = Settings.read()
        StructuredLogger.configure(settings.log_level)
        check(order.files)
        summary = uvloop.run(_send(order, settings, out, err))
    except Misconfigured as exc:
        err.print(f"replay: {exc}", markup=False, highlight=False, soft_wrap=True)
        return report.NOTHING_READ
    except KeyboardInterrupt:
        err.print("replay: interrupted")
        return report.INTERRUPTED
    _show(order, summary, out, err)
    return report.exit_code(summary)


async def _send(order: Order, settings: Settings, out: Console, err: Console) -> Summary:
    stop = asyncio.Event()
    async with _sender(order, settings, out) as sink:
        with _on_interrupt(stop), report.progress(order.files, err, quiet=order.dry_run) as seen:
            return await run_replay(
                order.files,
                sink,
                ship_id=order.ship_id or settings.ship_id,
                rate=order.rate,
                host=order.host,
                devices=order.devices,
                wanted=order.wanted,
                limit=order.limit,
                progress=seen,
                stop=stop,
            )


@contextlib.asynccontextmanager
async def _sender(order: Order, settings: Settings, out: Console) -> AsyncIterator[Sender]:
    if order.dry_run:
        yield report.DryRun(out, as_json=order.as_json)
        return
    async with open_sink(settings) as sink:
        yield sink


@contextlib.contextmanager
def _on_interrupt(stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C ends the replay cleanly, the second one at once."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, first)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


def _show(order: Order, summary: Summary, out: Console, err: Console) -> None:
    report.refusals(summary, err)
    if order.as_json:
        (err if order.dry_run else out).print(
            report.as_json(summary), markup=False, highlight=False, soft_wrap=True
        )
    else:
        (err if order.dry_run else out).print(report.table(summary))
