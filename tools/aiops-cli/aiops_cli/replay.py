"""``aiops replay``: the command of the ingest package."""

from __future__ import annotations

import typer

from aiops_cli.ingest.cli import replay

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(replay)
