"""``aiops simulate``: the simulator's command, publishing to this ship's broker and ClickHouse.

The inventory goes first, through the API, because root causes are found along its topology.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import typer

from aiops_cli.ingest.sink import Sender, open_sink
from aiops_core.errors import AiopsError, Unavailable
from aiops_core.models import Device
from aiops_core.policy.settings import Settings
from aiops_core.utils import StructuredLogger
from aiops_lab.demo.flow import flowing
from aiops_lab.demo.setup import load_inventory
from aiops_lab.simulator.cli import simulate_command


def _sink() -> AbstractAsyncContextManager[Sender]:
    StructuredLogger.configure(Settings.read().log_level)
    return flowing(open_sink(Settings.read()))


async def _load(devices: Sequence[Device]) -> None:
    try:
        await load_inventory(Settings.read().api_url, devices)
    except AiopsError as exc:
        raise Unavailable(
            f"the ship's devices cannot be loaded ({exc}); --no-inventory goes without"
        ) from exc


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command("simulate")(simulate_command(_sink, _load))
