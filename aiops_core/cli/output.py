"""What every command offers: ``--json``, and a console."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from aiops_core.local.screen import console

__all__ = ["JsonOption", "console", "emit_json"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def emit_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
