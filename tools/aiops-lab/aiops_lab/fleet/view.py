"""A fleet on a terminal: how it comes up, where it listens, and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from aiops_lab.fleet.fleet import Fleet, waiting_for
from aiops_lab.fleet.member import Member, State
from aiops_lab.fleet.plan import NATS

REMIND_EVERY = 15.0  # seconds between lines that say who is not ready yet
STATE_STYLE = {State.READY: "green", State.WAITING: "red", State.STARTING: "yellow"}


@contextlib.asynccontextmanager
async def stop_on_signals(fleet: Fleet) -> AsyncIterator[None]:
    """SIGINT and SIGTERM stop *fleet* in order; a second one ends it at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if fleet.stopping:
            fleet.abort()
        fleet.stop()

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop)
    try:
        yield
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)


@contextlib.asynccontextmanager
async def progress(fleet: Fleet, screen: Console) -> AsyncIterator[None]:
    """Show how the fleet comes up while the body runs: a table, or lines without a terminal."""
    watching = asyncio.create_task(_watch(fleet, screen))
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _watch(fleet: Fleet, screen: Console) -> None:
    if not screen.is_terminal:
        return await _remind(fleet, screen)
    with Live(console=screen, transient=True, get_renderable=lambda: states(fleet)):
        await asyncio.Event().wait()


async def _remind(fleet: Fleet, screen: Console) -> None:
    while True:
        await asyncio.sleep(REMIND_EVERY)
        late = waiting_for(list(fleet.members.values()))
        screen.print(f"waiting for {late}", markup=False, soft_wrap=True)


def states(fleet: Fleet) -> Table:
    """Each member's state now, with what it waits for."""
    table = Table("member", "state", "waits for", box=None)
    for member in fleet.members.values():
        table.add_row(member.name, _state(member), member.why)
    return table


def _state(member: Member) -> str:
    return f"[{STATE_STYLE.get(member.state, 'dim')}]{member.state}[/]"


def addresses(fleet: Fleet) -> Table:
    """Where everything listens; all logs are in one folder."""
    logs = fleet.members[NATS].spec.log.parent
    table = Table(title=f"ship {fleet.plan.ship_id}", caption=f"logs in {_short(logs)}")
    table.add_column("member")
    table.add_column("address", overflow="fold")
    table.add_column("pid", justify="right")
    for name, address in fleet.plan.addresses().items():
        table.add_row(name, address, str(fleet.members[name].pid or "-"))
    return table


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
