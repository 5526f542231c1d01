"""``aiops policy diff NEW_DIR``: the incidents that another correlate.yaml would have made."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_cli.what_if import recorded
from aiops_cli.what_if.compare import Diff, compare
from aiops_cli.what_if.replay import PolicyReplay, in_order
from aiops_cli.what_if.report import report
from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import Settings
from aiops_core.runtime.service import utc_now
from aiops_core.utils import StructuredLogger, span_of
from correlation_service.policy import CorrelatePolicy


def diff(
    new: Annotated[
        Path, typer.Argument(metavar="NEW_DIR", help="Folder with the other correlate.yaml.")
    ],
    since: Annotated[str, typer.Option(help="How far back: 1h, 24h, 7d …")] = "24h",
    policies: Annotated[
        Path | None, typer.Option(help="Folder of the policies in force; default: AIOPS_POLICIES.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which incidents other correlation policies would have made; nothing is changed.

    Recorded anomalies pass through both policies as they arrived, with the devices, silences and
    outages that are known now. What operators closed by hand is left out on both sides.
    """
    settings = Settings.read()
    policy_now = CorrelatePolicy.load(policies or settings.policies)
    policy_new = CorrelatePolicy.load(new)
    StructuredLogger.configure("error")
    found = asyncio.run(_difference(settings, _span(since), policy_now, policy_new))
    if as_json:
        return emit_json(dataclasses.asdict(found))
    screen = console()
    for part in report(found, since):
        screen.print(part)


def _span(text: str) -> timedelta:
    span = span_of(text)
    if span is None:
        raise Misconfigured(f"--since {text}: expected a span like 15m, 1h, 24h or 7d")
    return span


async def _difference(
    settings: Settings, back: timedelta, now: CorrelatePolicy, new: CorrelatePolicy
) -> Diff:
    """Both policies' incidents of the same anomalies. Raises Unavailable without NATS or tables."""
    since = utc_now() - back
    facts = await recorded.known(settings, since)
    before, after = PolicyReplay(facts.correlator(now)), PolicyReplay(facts.correlator(new))
    recoveries = deque(facts.recoveries)
    async with ClickHouse.open(settings.clickhouse_url, threads=1) as store:
        found = await recorded.pages(store, since)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("anomalies", total=found.total)
            async for page in recorded.read(store, found):
                for message in in_order(page, recoveries):
                    before.feed(message)
                    after.feed(message)
                bar.update(task, advance=len(page))
    return compare(before.outcome, after.outcome)
