"""``aiops digest``: what was found on a day and opened no incident, by device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import SEVERITY_STYLE, coloured, console

WHAT_SHOWN = 100  # characters

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def digest(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="In UTC; today by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="Only this device.")] = "",
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was found on a day and opened no incident, by device."""
    asked = {"day": f"{day:%Y-%m-%d}"} if day else {}
    with Api.open(api) as calls:
        answer = calls.get("/digest", **asked, device=device)
    if as_json:
        emit_json(answer)
    else:
        console().print(Group(*report(answer)))


def report(answer: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The entries as a table, and how many are not listed."""
    of = f" of {answer['device']}" if answer["device"] else ""
    if not answer["items"]:
        yield Text(f"Nothing was digested on {answer['day']}{of}.")
        return
    title = f"{answer['number']:,} findings of {answer['day']}{of} that opened no incident"
    table = Table(box=None, title=title, title_justify="left")
    for name in ("device", "what", "how often", "first", "last", "severity"):
        table.add_column(name, justify="right" if name == "how often" else "left")
    for one in answer["items"]:
        table.add_row(
            Text(one["device"]),
            Text(what(one)),
            f"{one['number']:,}",
            one["first"][11:19],
            one["last"][11:19],
            coloured(one["severity"], SEVERITY_STYLE),
        )
    yield table
    if (more := answer["messages"] - len(answer["items"])) > 0:
        yield Text(f"and {more:,} less frequent messages; name a device to see its own")


def what(one: Mapping[str, Any]) -> str:
    """Service, part of the device, and the message without its variable parts."""
    text = one["template"] or one["msg"]
    said = text if len(text) <= WHAT_SHOWN else f"{text[:WHAT_SHOWN]}…"
    about = " ".join(part for part in (one["service"], one["component"]) if part)
    return f"{about}: {said}" if about else said
