"""``aiops bench --only anomalies``: enrichment and correlation under a steady load of anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import httpx
from rich.console import RenderableType
from rich.text import Text

from aiops_core.errors import Unavailable
from aiops_core.runtime.service import utc_now
from aiops_lab.bench import relay
from aiops_lab.bench.anomalies import Anomalies, graph, open_sink
from aiops_lab.bench.report import latencies, stalls, usages
from aiops_lab.bench.run import Limit, Outcome, Parts, Say, limit, measured, running
from aiops_lab.demo.setup import load_inventory
from aiops_lab.fleet.plan import Plan

HOPS = relay.HOPS[1:]  # detected, enriched, fact: two services in between
PROMISED = {"enrich": 30.0, "correlate": 50.0}  # ms at the 99th percentile
WARM_UP = 1000  # anomalies
ASKED_WITHIN = 30.0  # seconds that the ledger may take


@dataclass(frozen=True)
class Pipeline:
    """One measurement; *lost* and *doubled* of the platform's own ledger, over everything sent."""

    rate: float
    seconds: float
    outcome: Outcome
    limit: Limit
    balance: dict[str, int]


async def bench(plan: Plan, *, rate: float, seconds: float, say: Say) -> Pipeline:
    """Measure the relay, then the fleet, each with the machine to itself."""
    count = round(rate * seconds)
    say(f"raw relay, {rate:g} messages/s for {seconds:g} s")
    relayed = await limit(plan, HOPS, rate=rate, count=count, share=1.0)
    say("starting the fleet")
    async with running(plan, say) as parts:
        load = Anomalies(count, rate)
        began = utc_now()
        await load_inventory(plan.api_url, graph(load.devices).devices)
        async with open_sink(parts.settings) as sink:
            await measured(parts, Anomalies(WARM_UP, rate), sink)
            say(f"fleet, {rate:g} anomalies/s for {seconds:g} s")
            outcome = await measured(parts, load, sink)
        return Pipeline(rate, seconds, outcome, relayed, await balance(parts, began))


async def balance(parts: Parts, since: datetime) -> dict[str, int]:
    """The platform's own ledger since then; raises Unavailable when it cannot tell."""
    url = f"{parts.settings.api_url}/api/v3/ledger"
    try:
        async with httpx.AsyncClient(timeout=ASKED_WITHIN) as client:
            answer = await client.get(url, params={"since": since.isoformat()})
    except httpx.HTTPError as exc:
        raise Unavailable(f"{url} is not reachable ({exc})") from exc
    if answer.is_error:
        raise Unavailable(f"{url} answered {answer.status_code}: {answer.text[:200]}")
    found: dict[str, int] = answer.json()["balance"]
    return found


def report(found: Pipeline) -> Iterator[RenderableType]:
    title = f"{found.rate:g} anomalies/s for {found.seconds:g} s"
    yield latencies(title, found.outcome, found.limit)
    yield promises(found.outcome)
    yield stalls(found.outcome)
    yield accounts(found)
    yield usages(found.outcome.usage)


def promises(outcome: Outcome) -> Text:
    """Each promised stage against its limit."""
    said = Text()
    for stage, most in PROMISED.items():
        p99 = outcome.stages[stage].p99
        kept = p99 < most
        words = f"{stage} p99 {p99:.1f} ms of {most:g} ms ({p99 / most:.2f}): "
        said.append(words).append("kept\n" if kept else "broken\n", "green" if kept else "red")
    return said


def accounts(found: Pipeline) -> Text:
    outcome = found.outcome
    ratio = outcome.handled_per_second / found.limit.per_second
    ended = ", ".join(
        f"{value:,} {name.replace('_', ' ')}" for name, value in found.balance.items()
    )
    return Text(
        f"accepted {outcome.accepted_per_second:,.0f}/s, handled {outcome.handled_per_second:,.0f}/s "
        f"(raw relay {found.limit.per_second:,.0f}, ratio {ratio:.2f}); of {outcome.anomalous:,} "
        f"sent {outcome.lost} lost, {outcome.doubled} doubled\nall in ClickHouse "
        f"{outcome.written_after:.1f} s after the last\nledger: {ended}\n"
    )
