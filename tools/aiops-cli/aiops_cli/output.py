"""What every command offers: ``--json``, a console, and files of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TextIO

import typer

from aiops_cli.screen import console
from aiops_core.errors import Misconfigured, why

__all__ = ["JsonOption", "console", "create", "emit_json"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def emit_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def create(path: Path) -> TextIO:
    """*path*, empty and open for text; raises Misconfigured when it cannot be written. Before long work, that is:
    nobody wants to hear of it afterwards."""
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as exc:
        raise Misconfigured(f"{path}: cannot be written: {why(exc)}") from exc
