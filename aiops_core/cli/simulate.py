"""``aiops simulate``: the simulator's command, publishing to this ship's broker and ClickHouse."""

from __future__ import annotations

import typer

from aiops_core.ingest.sink import open_sink
from aiops_core.local.flow import flowing
from aiops_core.settings import Settings
from aiops_core.simulator.cli import simulate_command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command("simulate")(simulate_command(lambda: flowing(open_sink(Settings.read()))))
