"""``aiops runbooks``: what llm-enricher searches for explanations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import httpx
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_core.errors import AiopsError, Misconfigured, Unavailable
from aiops_core.policy.settings import Settings

TIMEOUT = 120.0  # seconds: embedding all runbooks anew takes some
SHOWN = 240  # characters of a passage
NOT_YET = "the vectors follow when that is back"

EnricherOption = Annotated[
    str | None,
    typer.Option(
        "--enricher", metavar="URL", help="URL of llm-enricher; default: AIOPS_ENRICHER_URL."
    ),
]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Runbooks that explanations cite: list, search, read the folder now.",
)


@app.command("list")
def listed(enricher: EnricherOption = None, as_json: JsonOption = False) -> None:
    """List the runbooks in use, and files that are left out."""
    answer = _ask("GET", "/runbooks", enricher)
    if as_json:
        emit_json(answer)
        return
    table = Table(box=None)
    for name in ("name", "title", "passages"):
        table.add_column(name, justify="right" if name == "passages" else "left")
    for one in answer["items"]:
        table.add_row(Text(one["name"]), Text(one["title"]), str(one["passages"]))
    console().print(table if answer["items"] else "there is no runbook", *_left_out(answer))


@app.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="In your own words.")],
    domain: Annotated[str | None, typer.Option(help="comms, net, app, system, security.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Passages at most.")] = 5,
    enricher: EnricherOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the passages that fit to a question, best first."""
    asked: dict[str, str | int] = {"q": text, "limit": limit}
    if domain:
        asked["domain"] = domain
    answer = _ask("GET", "/runbooks/search", enricher, asked)
    if as_json:
        emit_json(answer)
    else:
        console().print(Group(*_report(answer)))


@app.command()
def index(enricher: EnricherOption = None, as_json: JsonOption = False) -> None:
    """Read the folder now; what has changed is embedded anew."""
    answer = _ask("POST", "/runbooks/index", enricher)
    if as_json:
        emit_json(answer)
        return
    console().print(
        f"{answer['runbooks']} runbooks in {answer['passages']} passages, "
        f"{answer['incidents']} resolved incidents; "
        f"{answer['embedded']} embedded, {answer['dropped']} dropped",
        *_left_out(answer),
        *(Text(f"{name} is away: {why}; {NOT_YET}") for name, why in answer["away"].items()),
        sep="\n",
    )


def _report(answer: Mapping[str, Any]) -> Iterator[RenderableType]:
    if answer["lexical"]:
        yield Text("by words alone: no embeddings at hand", style="yellow")
    if not answer["items"]:
        yield Text("nothing fits")
    for one in answer["items"]:
        yield Text.assemble((f"{one['score']:.2f}  ", "dim"), (one["title"], "bold"))
        text = " ".join(one["text"].split())
        yield Text(f"      {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}")
        yield Text(f"      {one['id']}", style="dim")


def _left_out(answer: Mapping[str, Any]) -> list[Text]:
    return [
        Text(f"left out: {path}: {reason}", style="yellow")
        for path, reason in answer["left_out"].items()
    ]


def _ask(
    method: str, path: str, url: str | None, parameters: dict[str, str | int] | None = None
) -> Any:
    """Its answer. Raises Unavailable when nobody answers, AiopsError when it refuses."""
    address = (url or Settings.read().enricher_url).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise Misconfigured(f"--enricher {address}: not a URL like http://127.0.0.1:8083")
    try:
        answer = httpx.request(method, f"{address}{path}", params=parameters, timeout=TIMEOUT)
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    except httpx.HTTPError as exc:
        raise Unavailable(f"llm-enricher at {address} is not reachable ({exc})") from None
    except ValueError:
        raise AiopsError(f"{address}{path} answered something that is not JSON") from None
    if not answer.is_success:
        raise AiopsError(body.get("detail") or f"{address}{path} answered {answer.status_code}")
    return body
