"""The command ``aiops``. Each command lives in a module of its own, which is imported when it is used,
so that ``aiops trace`` does not wait for what only ``aiops up`` needs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import aiops_core
from aiops_core.errors import AiopsError, Misconfigured

if TYPE_CHECKING:
    from typer.core import TyperCommand

# Command -> the module whose ``app`` it is, in the order in which ``aiops --help`` shows them.
COMMANDS = {
    "up": "aiops_core.cli.up",
    "demo": "aiops_core.cli.demo",
    "replay": "aiops_core.cli.replay",
    "simulate": "aiops_core.cli.simulate",
    "incidents": "aiops_core.cli.incidents",
    "trace": "aiops_core.cli.trace",
    "stats": "aiops_core.cli.stats",
    "dead": "aiops_core.cli.dead",
    "policy": "aiops_core.cli.policy",
    "bench": "aiops_core.cli.bench",
}
INTERRUPTED = 130  # exit code of what Ctrl-C ended


class Lazy(TyperGroup):
    """Knows all commands by name and loads the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        if cmd_name not in COMMANDS:
            return None
        command: Any = typer.main.get_command(import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
        return command  # type: ignore[no-any-return]


app = typer.Typer(
    cls=Lazy,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="AIOps NAAS: from the logs of a ship to a few explained incidents.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"aiops {aiops_core.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Entry point: one line on an error, exit code 2 for what was asked wrongly, 1 for what failed."""
    sys.excepthook = _unexpected
    try:
        # Not ``app()``: that would put typer's own hook in the place of ours.
        typer.main.get_command(app)(prog_name="aiops")
    except Misconfigured as exc:
        _leave(str(exc), 2)
    except AiopsError as exc:
        _leave(str(exc), 1)
    except BrokenPipeError:  # `aiops … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _leave(line: str, code: int) -> None:
    sys.stderr.write(f"aiops: {line}\n")
    sys.exit(code)


def _unexpected(
    kind: type[BaseException], exc: BaseException, traceback: TracebackType | None
) -> None:
    """A bug, in one line too; the traceback is for who asks for it."""
    if os.environ.get("AIOPS_LOG_LEVEL") == "debug":
        sys.__excepthook__(kind, exc, traceback)
        return
    reason = f"{kind.__name__}: {exc}".replace("\n", " ")
    sys.stderr.write(f"aiops: {reason} (AIOPS_LOG_LEVEL=debug shows where)\n")
