"""``aiops nmea``: the ship's instruments, live."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
import uvloop

from aiops_cli.ingest.flow import running
from aiops_cli.ingest.lines import LineOrigin
from aiops_cli.ingest.nmea.live import Listener, ListenerStats, tcp, udp
from aiops_cli.ingest.sink import open_sink
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.replay import DeviceOption, named
from aiops_cli.screen import console
from aiops_core.policy.settings import Settings
from aiops_core.utils import StructuredLogger

PORT = 10110  # registered for NMEA 0183 over UDP and TCP
FLUSH_TIMEOUT = 3.0  # seconds, after Ctrl-C

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def nmea(
    udp_port: Annotated[
        int | None, typer.Option("--udp", min=1, max=65535, help="Receive datagrams on this port.")
    ] = None,
    bind: Annotated[str, typer.Option(help="Address to receive datagrams on.")] = "0.0.0.0",
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="Multicast group to join: 239.192.0.1 (IEC 61162-450)."
        ),
    ] = None,
    tcp: Annotated[
        list[str] | None, typer.Option(metavar="HOST[:PORT]", help="Multiplexer to read from.")
    ] = None,
    ship_id: Annotated[str | None, typer.Option(help="Default: AIOPS_SHIP_ID.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Host of the readings; default: this machine.")
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Listen to the ship's instruments: NMEA 0183 and AIS sentences become metrics.

    Without --udp and --tcp it receives datagrams on port 10110. It runs until Ctrl-C.
    """
    settings = Settings.read()
    StructuredLogger.configure(settings.log_level)
    host = host or socket.gethostname()
    origin = LineOrigin(ship_id or settings.ship_id, host, "nmea", "nmea", named(device))
    addresses = [address(text) for text in tcp or ()]
    groups = [multicast(text) for text in group or ()]
    port = udp_port or (None if addresses and not groups else PORT)
    datagrams = (bind, port, groups) if port else None
    stats = uvloop.run(listen(settings, origin, datagrams, addresses))
    if as_json:
        return emit_json(asdict(stats))
    screen = console()
    screen.print(f"{stats.sentences:,} sentences, {stats.samples:,} readings sent")
    counts = {
        "refused": stats.refused,
        "lost": stats.lost,
        "read in spite of a wrong checksum": stats.wrong_sums,
    }
    for word, count in counts.items():
        if count:
            screen.print(f"{count:,} {word}", style="yellow")
    if stats.newest_refusal:
        screen.print(f"last refused: {stats.newest_refusal}", markup=False)


def address(text: str) -> tuple[str, int]:
    """The parts of HOST or HOST:PORT; raises BadParameter."""
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(PORT))
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{text}: write HOST or HOST:PORT")
    return host, int(port)


def multicast(text: str) -> str:
    """*text*, an IPv4 multicast address; raises BadParameter."""
    try:
        if ipaddress.IPv4Address(text).is_multicast:
            return text
    except ValueError:
        pass
    raise typer.BadParameter(f"{text}: write a multicast address, as in 239.192.0.1")


async def listen(
    settings: Settings,
    origin: LineOrigin,
    datagrams: tuple[str, int, Sequence[str]] | None,
    servers: Sequence[tuple[str, int]],
) -> ListenerStats:
    """Listen until Ctrl-C, then send what is queued."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        sink = await stack.enter_async_context(open_sink(settings))
        listener = Listener(origin, sink)
        clients = [tcp(listener, host, port) for host, port in servers]
        await stack.enter_async_context(running([listener.run(), listener.report(), *clients]))
        if datagrams:
            await stack.enter_async_context(udp(listener, *datagrams))
        typer.echo("listening to instruments; Ctrl-C ends it", err=True)
        await stop.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await listener.flush()
    return listener.stats
