"""``aiops dead``: what services could not handle, why, and back to work with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from aiops_cli.dead_letters import DeadLetters, Letter
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import age, console
from aiops_core.errors import Misconfigured, Reject
from aiops_core.policy.settings import Settings

DATA_SHOWN = 80  # characters of a message in the list

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

NatsOption = Annotated[
    str | None, typer.Option("--nats", metavar="URL", help="The broker; default: AIOPS_NATS_URL.")
]
ServiceOption = Annotated[str | None, typer.Option(help="Only those that this service buried.")]


@app.callback()
def dead() -> None:
    """Messages that services could not handle, with the reason."""


@app.command("list")
def list_(
    service: ServiceOption = None, nats: NatsOption = None, as_json: JsonOption = False
) -> None:
    """List dead letters, oldest first."""
    letters = asyncio.run(_all(_url(nats), service))
    if as_json:
        emit_json([_as_dict(letter) for letter in letters])
    elif letters:
        console().print(listing(letters))
    else:
        console().print("no dead letters")


@app.command()
def show(
    ident: Annotated[int, typer.Argument(metavar="ID")],
    nats: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter in full."""
    letter = asyncio.run(_one(_url(nats), ident))
    if as_json:
        emit_json(_as_dict(letter))
        return
    screen = console()
    for name, value in _as_dict(letter).items():
        screen.print(Text(f"{name}: {value}"), soft_wrap=True)


@app.command()
def replay(
    idents: Annotated[list[int] | None, typer.Argument(metavar="[ID]…")] = None,
    service: ServiceOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    nats: NatsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters to their original subject again, and remove them."""
    if not idents and not everything and service is None:
        raise Misconfigured("dead replay: give ids, --service or --all")
    done, refused = asyncio.run(_replay(_url(nats), idents or (), service))
    if as_json:
        emit_json([_as_dict(letter) for letter in done])
    for letter in () if as_json else done:
        console().print(f"dead letter {letter.id} -> {letter.subject}")
    if refused:
        raise Reject("; ".join(refused))


def _url(given: str | None) -> str:
    return given or Settings.read().nats_url


async def _all(url: str, service: str | None) -> list[Letter]:
    async with DeadLetters.open(url) as letters:
        return [letter async for letter in letters.all(service)]


async def _one(url: str, ident: int) -> Letter:
    async with DeadLetters.open(url) as letters:
        return await letters.get(ident)


async def _replay(
    url: str, idents: Iterable[int], service: str | None
) -> tuple[list[Letter], list[str]]:
    """The letters that went back, and why the others cannot."""
    done: list[Letter] = []
    refused: list[str] = []
    async with DeadLetters.open(url) as letters:
        chosen = [await letters.get(ident) for ident in idents]
        chosen = chosen or [letter async for letter in letters.all(service)]
        for letter in chosen:
            try:
                await letters.replay(letter)
                done.append(letter)
            except Reject as exc:
                refused.append(str(exc))
    return done, refused


def listing(letters: Iterable[Letter]) -> Table:
    table = Table("id", "age", "service", "subject", "source", "reason", "message", box=None)
    for one in letters:
        where = (str(one.id), age(one.at), one.service, one.subject, one.source)
        table.add_row(*where, Text(one.reason), Text(one.text()[:DATA_SHOWN]))
    return table


def _as_dict(letter: Letter) -> dict[str, object]:
    return {
        "id": letter.id,
        "at": letter.at.isoformat(),
        "service": letter.service,
        "subject": letter.subject,
        "source": letter.source,
        "reason": letter.reason,
        "truncated_from": letter.truncated_from,
        "data": letter.text(),
    }
