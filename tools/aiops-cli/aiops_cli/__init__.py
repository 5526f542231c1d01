"""The command ``aiops``. Each subcommand is a module, imported only when it is used.

Another distribution adds subcommands by an entry point in the group ``aiops.commands``: a mapping
from the name of a module beside it to the first line of its help.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import TracebackType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import aiops_core
from aiops_core.errors import AiopsError, Misconfigured

# Subcommand -> first line of its help, in the order of ``aiops --help``. The module of that name
# has the command as ``app``.
COMMANDS = {
    "replay": "Send log files to the platform; every line keeps the time that it states.",
    "nmea": "Listen to the ship's instruments: NMEA 0183 and AIS sentences become metrics.",
    "incidents": "List incidents, newest first; `incidents ID` shows one.",
    "problems": "List problems that came back, the last seen first; `problems ID` shows one.",
    "digest": "List what was found on a day and opened no incident, by device.",
    "trace": "Show what became of one line: its stages, its anomaly, its incident.",
    "stats": "Show numbers of incidents and latencies of both paths.",
    "ledger": "Show where every anomaly ended; exit code 1 when one is lost or counted twice.",
    "devices": "List the ship's devices; import them, show what hangs on one.",
    "ship": "Show the ship's mode, maintenance windows and known outages; declare them.",
    "silence": "Hide anomalies for a time; without a command list silences.",
    "llm": "The language model: whether this host may use it.",
    "dead": "Messages that services could not handle, with the reason.",
    "policy": "Policies of this ship.",
    "runbooks": "Runbooks that explanations cite: list, search, read the folder now.",
    "packs": "What devices' messages mean: list packs, try a line, check the samples.",
}
INTERRUPTED = 130  # exit code after Ctrl-C


@cache
def known() -> dict[str, tuple[str, str]]:
    """Subcommand -> its module and the first line of its help."""
    found = {name: (f"{__name__}.{name}", text) for name, text in COMMANDS.items()}
    for point in entry_points(group="aiops.commands"):
        found |= {name: (f"{point.module}.{name}", text) for name, text in point.load().items()}
    return found


def load(name: str) -> Any:
    """Import the subcommand *name*."""
    command: Any = typer.main.get_command(import_module(known()[name][0]).app)
    command.name = name
    return command


class Lazy(TyperGroup):
    """Lists all commands without importing them, and imports the one to run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(known())

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """The command with its help only, for the list of commands."""
        if cmd_name not in known():
            return None
        return TyperCommand(cmd_name, help=known()[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and listed else None, rest


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
    """Entry point. An error is one line; exit code 2 for a wrong call, 1 for a failure."""
    sys.excepthook = _unexpected
    try:
        # Not ``app()``, which would replace our excepthook by typer's.
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
    """A bug is one line too; AIOPS_LOG_LEVEL=debug shows the traceback."""
    if os.environ.get("AIOPS_LOG_LEVEL") == "debug":
        sys.__excepthook__(kind, exc, traceback)
        return
    reason = f"{kind.__name__}: {exc}".replace("\n", " ")
    sys.stderr.write(f"aiops: {reason} (AIOPS_LOG_LEVEL=debug shows where)\n")
