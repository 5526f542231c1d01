"""Commands that services bring: the core shows them without knowing any service.

A distribution announces a typer app in an entry-point group, ``name = "module:app"``; it is imported
when it is run.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from aiops_core.errors import Misconfigured


def plugged(group: str) -> type[TyperGroup]:
    """A group of commands: its own ones, and those that distributions announce in *group*."""

    class Plugged(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return sorted({*super().list_commands(ctx), *_names(group)})

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            own = super().get_command(ctx, cmd_name)
            return own or (_load(group, cmd_name) if cmd_name in _names(group) else None)

    return Plugged


def _names(group: str) -> list[str]:
    return [point.name for point in entry_points(group=group)]


def _load(group: str, name: str) -> Any:
    [point] = entry_points(group=group, name=name)
    try:
        command: Any = typer.main.get_command(point.load())
    except (ImportError, AttributeError) as exc:
        raise Misconfigured(f"the command {name} cannot be loaded: {exc}") from exc
    command.name = name
    return command
