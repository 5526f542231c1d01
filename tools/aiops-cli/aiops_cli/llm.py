"""``aiops llm``: the language model of this ship, examined as llm-enricher examines it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_core.errors import AiopsError, Misconfigured
from aiops_core.policy.settings import Settings
from aiops_core.runtime.service import utc_now
from llm_enricher.model.acceptance import CaseResult, Examination, ModelVerdict, found, judge
from llm_enricher.model.asking import Asking
from llm_enricher.model.client import HttpModelServer
from llm_enricher.model.examination import examine, this_host
from llm_enricher.model.policy import ModelPolicy
from llm_enricher.model.privacy import PrivacyPolicy
from llm_enricher.model.server import ModelFailure
from llm_enricher.policy import LlmPolicy

NOT_ACCEPTED = 1  # exit code
STYLES = {"accepted": "green", "too_slow": "yellow", "unfit": "red"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def llm() -> None:
    """The language model: whether this host may use it."""


@app.command()
def check(
    url: Annotated[
        str | None, typer.Option(help="Server of the model; default: AIOPS_LLM_URL.")
    ] = None,
    api: Annotated[
        Literal["ollama", "openai"] | None,
        typer.Option(help="What it speaks; default: AIOPS_LLM_API."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Another model than that of policies/llm.yaml.")
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="Folder of the policy files; default: AIOPS_POLICIES.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the model about three made-up incidents; exit code 1 unless it may be used."""
    settings = Settings.read()
    folder = policies or settings.policies
    policy = LlmPolicy.load(folder).model
    if model:
        policy = policy.model_copy(update={"name": model})
    where = url or settings.llm_url
    if not where:
        raise Misconfigured("no server of a language model: set AIOPS_LLM_URL or give --url")
    privacy = PrivacyPolicy.load(folder)
    examined = asyncio.run(
        _examined(where, api or settings.llm_api, settings.llm_token, policy, privacy)
    )
    verdict = judge(examined, policy.acceptance)
    if as_json:
        emit_json(examined.model_dump(mode="json") | verdict._asdict())
    else:
        console().print(shown(examined, verdict))
    if verdict.standing == "unfit":
        raise typer.Exit(NOT_ACCEPTED)


async def _examined(
    url: str,
    api: Literal["ollama", "openai"],
    token: str,
    policy: ModelPolicy,
    privacy: PrivacyPolicy,
) -> Examination:
    """Raises AiopsError when the server is away or lacks the model."""
    async with HttpModelServer.open(url, api, token) as server:
        try:
            card = found(tuple(await server.models()), policy.name)
            if card is None:
                raise AiopsError(f"{url} lacks {policy.name}: {server.pull(policy.name)}")
            asking = Asking(server, policy, privacy)
            return await examine(asking, policy, card, await this_host(url), utc_now())
        except ModelFailure as failure:
            raise AiopsError(f"{url}: {failure.kind}: {failure}") from failure


def shown(examined: Examination, verdict: ModelVerdict) -> RenderableType:
    table = Table("case", "answer", "prompt", "first token", "tokens/s", "whole", "says", box=None)
    for case in examined.cases:
        table.add_row(
            case.case,
            _judged(case),
            f"{case.prompt_tokens} tokens",
            f"{case.first_token:.1f} s",
            f"{case.tokens_per_second:.0f}",
            f"{case.seconds:.1f} s",
            Text(case.root_cause),
        )
    style = STYLES.get(verdict.standing, "")
    return Group(table, Text(verdict.text, style=style), Text(f"on {examined.host}", style="dim"))


def _judged(case: CaseResult) -> Text:
    if case.failure:
        return Text(case.failure, style="red")
    if case.verified:
        return Text("believed" + (f", without {_listed(case)}" if case.dropped else ""))
    return Text(f"not believed: {_listed(case)}", style="yellow")


def _listed(case: CaseResult) -> str:
    return ", ".join(dict.fromkeys(case.dropped))
