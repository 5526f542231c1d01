"""``aiops dead``: list, show and replay dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from aiops_cli.dead_letters import DeadLetter, DeadLetterStream
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import age, console
from aiops_core.errors import Misconfigured, Reject
from aiops_core.policy.settings import Settings

DATA_SHOWN = 80  # characters of a message in the list

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

NatsOption = Annotated[
    str | None, typer.Option("--nats", metavar="URL", help="The broker; default: AIOPS_NATS_URL.")
]
ServiceOption = Annotated[str | None, typer.Option(help="Dead letters of this service only.")]


@app.callback()
def dead() -> None:
    """Messages that services could not handle, with the reason."""


@app.command("list")
def list_(
    service: ServiceOption = None, nats: NatsOption = None, as_json: JsonOption = False
) -> None:
    """List dead letters, oldest first."""
    dead_letters = asyncio.run(_read(_url(nats), service))
    if as_json:
        emit_json([_as_dict(one) for one in dead_letters])
    elif dead_letters:
        console().print(listing(dead_letters))
    else:
        console().print("no dead letters")


@app.command()
def show(
    ident: Annotated[int, typer.Argument(metavar="ID")],
    nats: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter in full."""
    [dead_letter] = asyncio.run(_read(_url(nats), None, ident))
    if as_json:
        emit_json(_as_dict(dead_letter))
        return
    for name, value in _as_dict(dead_letter).items():
        console().print(Text(f"{name}: {value}"), soft_wrap=True)


@app.command()
def replay(
    idents: Annotated[list[int] | None, typer.Argument(metavar="[ID]…")] = None,
    service: ServiceOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay all dead letters.")] = False,
    nats: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters to their original subject again, and remove them."""
    if not idents and not everything and service is None:
        raise Misconfigured("dead replay: give ids, --service or --all")
    done, refused = asyncio.run(_replay(_url(nats), idents or (), service))
    if as_json:
        emit_json([_as_dict(one) for one in done])
    for one in () if as_json else done:
        console().print(f"dead letter {one.id} -> {one.subject}")
    if refused:
        raise Reject("; ".join(refused))


def _url(given: str | None) -> str:
    return given or Settings.read().nats_url


async def _read(url: str, service: str | None, *idents: int) -> list[DeadLetter]:
    async with DeadLetterStream.open(url) as stream:
        return await stream.chosen(idents, service)


async def _replay(
    url: str, idents: Iterable[int], service: str | None
) -> tuple[list[DeadLetter], list[str]]:
    """The dead letters that were published again, and why the others cannot be."""
    done: list[DeadLetter] = []
    refused: list[str] = []
    async with DeadLetterStream.open(url) as stream:
        for dead_letter in await stream.chosen(idents, service):
            try:
                await stream.replay(dead_letter)
                done.append(dead_letter)
            except Reject as exc:
                refused.append(str(exc))
    return done, refused


def listing(dead_letters: Iterable[DeadLetter]) -> Table:
    table = Table("id", "age", "service", "subject", "source", "reason", "message", box=None)
    for one in dead_letters:
        where = (str(one.id), age(one.at), one.service, one.subject, one.source)
        table.add_row(*where, Text(one.reason), Text(one.text()[:DATA_SHOWN]))
    return table


def _as_dict(dead_letter: DeadLetter) -> dict[str, object]:
    readable = {"at": dead_letter.at.isoformat(), "data": dead_letter.text()}
    return asdict(dead_letter) | readable
