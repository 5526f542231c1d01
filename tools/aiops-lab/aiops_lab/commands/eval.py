"""``aiops eval``: how good the decisions are, measured against known truth."""

from __future__ import annotations

import typer

from aiops_lab.evaluation.correlation.cli import correlate
from aiops_lab.evaluation.detection.cli import detect

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Score detection and correlation against known truth."""


app.command()(detect)
app.command()(correlate)
