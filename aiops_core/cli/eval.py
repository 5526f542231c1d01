"""``aiops eval``: how good the decisions are, measured against known truth."""

from __future__ import annotations

import typer

from aiops_core.cli.plugins import plugged

app = typer.Typer(
    cls=plugged("aiops.eval"),
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


@app.callback()
def evaluate() -> None:
    """Score detection and correlation against known truth."""
