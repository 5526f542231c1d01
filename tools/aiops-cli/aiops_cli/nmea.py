"""``aiops nmea``: the ship's instruments, live."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
import uvloop

from aiops_cli.ingest.cli import DeviceOption, named
from aiops_cli.ingest.nmea_live import Heard, Listener, TcpClient, running, udp
from aiops_cli.ingest.sink import open_sink
from aiops_cli.ingest.stamp import Origin
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_core.policy.settings import Settings
from aiops_core.utils import StructuredLogger

PORT = 10110  # registered for NMEA 0183 over UDP and TCP
LAST_WITHIN = 3.0  # seconds for what is under way when it ends

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def nmea(
    udp_port: Annotated[
        int | None, typer.Option("--udp", min=1, max=65535, help="Hear datagrams on this port.")
    ] = None,
    bind: Annotated[str, typer.Option(help="Address on which datagrams are heard.")] = "0.0.0.0",
    tcp: Annotated[
        list[str] | None, typer.Option(metavar="HOST[:PORT]", help="Read from this multiplexer.")
    ] = None,
    ship_id: Annotated[str | None, typer.Option(help="Default: AIOPS_SHIP_ID.")] = None,
    host: Annotated[str | None, typer.Option(help="Whose readings; default: this machine.")] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Listen to the ship's instruments: NMEA 0183 and AIS sentences become metrics.

    Without --udp and --tcp it hears datagrams on port 10110. It runs until Ctrl-C.
    """
    settings = Settings.read()
    StructuredLogger.configure(settings.log_level)
    whose = host or socket.gethostname()
    origin = Origin(ship_id or settings.ship_id, whose, "nmea", "nmea", named(device))
    addresses = [address(text) for text in tcp or ()]
    port = udp_port or (None if addresses else PORT)
    heard = uvloop.run(listen(settings, origin, (bind, port) if port else None, addresses))
    _show(heard, as_json=as_json)


def address(text: str) -> tuple[str, int]:
    """``host`` or ``host:port``; raises BadParameter."""
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(PORT))
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{text}: write HOST or HOST:PORT")
    return host, int(port)


async def listen(
    settings: Settings,
    origin: Origin,
    datagrams: tuple[str, int] | None,
    servers: Sequence[tuple[str, int]],
) -> Heard:
    """Until Ctrl-C; what is under way is sent before."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        sink = await stack.enter_async_context(open_sink(settings))
        listener = Listener(origin, sink)
        clients = [TcpClient(listener, host, port).run() for host, port in servers]
        await stack.enter_async_context(running([listener.run(), listener.say(), *clients]))
        if datagrams:
            await stack.enter_async_context(udp(listener, *datagrams))
        typer.echo("listening to instruments; Ctrl-C ends it", err=True)
        await stop.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WITHIN):
                await listener.flush()
    return listener.heard


def _show(heard: Heard, *, as_json: bool) -> None:
    if as_json:
        return emit_json(asdict(heard))
    screen = console()
    screen.print(f"{heard.sentences:,} sentences, {heard.samples:,} readings sent")
    for word, count in (("refused", heard.refused), ("lost", heard.lost)):
        if count:
            screen.print(f"{count:,} {word}", style="yellow")
    if heard.newest_refusal:
        screen.print(f"last refused: {heard.newest_refusal}", markup=False)
