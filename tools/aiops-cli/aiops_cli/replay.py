"""``aiops replay FILES...``: send log files; their incidents are those of then.

With ``--as-now`` they are those of a log that ends now: the same faults, as if they were today's.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from aiops_cli.ingest import report
from aiops_cli.ingest.files import check
from aiops_cli.ingest.formats import Format
from aiops_cli.ingest.replay import ReplaySummary
from aiops_cli.ingest.replay import replay as send_files
from aiops_cli.ingest.sink import MessageSink, open_sink
from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import Settings
from aiops_core.utils import StructuredLogger

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DeviceOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=ID", help="Inventory id of an instrument: gps-gp=gps-01."),
]


def named(pairs: Sequence[str] | None) -> dict[str, str]:
    """*pairs* as a mapping; raises BadParameter when one is not NAME=ID."""
    found = {}
    for pair in pairs or ():
        name, _, id_ = pair.partition("=")
        if not name or not id_:
            raise typer.BadParameter(f"{pair}: write NAME=ID, as in gps-gp=gps-01")
        found[name] = id_
    return found


@app.command()
def replay(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Log files, or recorded sentences of instruments (NMEA 0183, AIS), packed or "
            "not; - is standard input.",
            allow_dash=True,
        ),
    ],
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Lines a second; default: as fast as accepted.")
    ] = None,
    ship_id: Annotated[str | None, typer.Option(help="Default: AIOPS_SHIP_ID.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Host of lines that name none; default: this machine.")
    ] = None,
    device: DeviceOption = None,
    wanted: Annotated[
        Format, typer.Option("--format", help="Format of the lines; auto detects it per file.")
    ] = Format.AUTO,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many lines.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what files get, until Ctrl-C.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Send also lines that an earlier replay has sent.")
    ] = False,
    as_now: Annotated[
        bool,
        typer.Option(
            "--as-now", help="Move all times by one span, so that the newest line is of now."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as JSON on stdout.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the messages and send nothing; needs no server.")
    ] = False,
) -> None:
    """Send log files to the platform; every line keeps the time that it states.

    The incidents are those of that time; only lines without a time happen now. Lines of a pipe or
    a growing file are sent within a second. The same lines sent twice add nothing.

    --as-now makes other lines of them: a file can be sent with its own times and as of now. Sent
    as of now once more, they are the same lines again, and --again sends them. Times inside of
    messages stay.

    Exit code 0: all lines sent; 1: some refused; 2: nothing read or sent; 130: Ctrl-C.
    """
    out, err = Console(soft_wrap=True), Console(stderr=True)
    devices = named(device)
    try:
        settings = Settings.read()
        StructuredLogger.configure(settings.log_level)
        check(files)
        if follow and as_now:
            raise Misconfigured("--follow and --as-now: a file that grows has no newest line")
        send = partial(
            send_files,
            files,
            ship_id=ship_id or settings.ship_id,
            rate=rate,
            host=host,
            devices=devices,
            wanted=wanted,
            limit=limit,
            follow=follow,
            again=again,
            as_now=as_now,
        )
        dry = report.DryRun(out, as_json=as_json) if dry_run else None
        with report.progress(files, err, quiet=dry_run) as progress:
            work = partial(send, progress=progress)
            if dry_run:
                work = partial(work, understood=partial(report.plain, err))
            summary = uvloop.run(_interruptible(work, settings, dry))
    except Misconfigured as exc:
        report.plain(err, f"replay: {exc}")
        raise typer.Exit(report.NOTHING_READ) from None
    except KeyboardInterrupt:
        err.print("replay: interrupted")
        raise typer.Exit(report.INTERRUPTED) from None
    report.refusals(summary, err)
    screen = err if dry_run else out
    if as_json:
        report.plain(screen, report.as_json(summary))
    else:
        screen.print(report.table(summary))
    raise typer.Exit(report.exit_code(summary))


async def _interruptible(
    work: Callable[..., Awaitable[ReplaySummary]], settings: Settings, dry: MessageSink | None
) -> ReplaySummary:
    """The first Ctrl-C ends *work* cleanly, the second one at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def interrupt() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    opened = contextlib.nullcontext(dry) if dry else open_sink(settings)
    async with opened as sink:
        loop.add_signal_handler(signal.SIGINT, interrupt)
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        try:
            return await work(sink, stop=stop)
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
