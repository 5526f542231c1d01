"""Output of commands: JSON and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TextIO

import typer

from aiops_core.errors import Misconfigured, why

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def emit_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def create(path: Path) -> TextIO:
    """*path*, empty and open for text; raises Misconfigured when it cannot be written.

    To be called before long work, so that a wrong path is reported at once.
    """
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as exc:
        raise Misconfigured(f"{path}: cannot be written: {why(exc)}") from exc
