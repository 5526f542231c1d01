"""``/api/v3/stats``."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from incident_api.ledger.models import Balance
from incident_api.parameters import Api, parse_span
from incident_api.problems import responses
from incident_api.recorder import ensure_recovered
from incident_api.stats.models import (
    DuplicateStats,
    PathStats,
    SeverityStats,
    Stats,
    SuppressionStats,
    TypeStats,
    count_categories,
    count_severities,
    rules_in_force,
)

router = APIRouter(prefix="/api/v3/stats", tags=["stats"], responses=responses(422, 503, 504))

FAST_PATH = (
    "dead.anomaly-detection",
    "dead.enrichment-service",
    "dead.correlation-service",
    "dead.incident-api",
)
INSIGHT_PATH = ("dead.llm-enricher",)


class StatsSpan:
    """The span that a request asks about."""

    def __init__(
        self,
        api: Api,
        time_range: Annotated[
            str,
            Query(
                description="Span up to now, in which something reached the platform: a log of last"
                " year counts when it was replayed.",
                examples=["15m", "1h", "24h", "7d"],
            ),
        ] = "1h",
    ) -> None:
        self.text, self._auditor = time_range, api.auditor
        span = parse_span(time_range)
        ensure_recovered(api.recorder)
        self.now = api.clock()
        self.since = self.now - span

    async def balance(self) -> Balance:
        return (await self._auditor.books(self.since, self.now)).balance()


Asked = Annotated[StatsSpan, Depends()]


@router.get("", summary="Incidents, latencies and promises kept")
async def overall(api: Api, asked: Asked) -> Stats:
    since = asked.since
    fast_ms, insight_ms = api.slo.fast_path.latency_ms, api.slo.insight_path.latency_ms
    counts, fast, insight, fast_errors, insight_errors = await asyncio.gather(
        api.stats.incidents(since),
        api.stats.fast_path(since, fast_ms),
        api.stats.insight_path(since, insight_ms),
        api.auditor.broker.count_dead_letters(FAST_PATH, since),
        api.auditor.broker.count_dead_letters(INSIGHT_PATH, since),
    )
    return Stats.of(
        asked.text,
        counts,
        PathStats.of(fast, fast_errors, fast_ms),
        PathStats.of(insight, insight_errors, insight_ms),
    )


@router.get("/severity", summary="Incidents and anomalies by severity")
async def by_severity(api: Api, asked: Asked) -> SeverityStats:
    counts = await api.stats.incidents(asked.since)
    anomalies = await api.stats.anomalies(asked.since, "severity")
    return SeverityStats(
        time_range=asked.text,
        incidents=count_severities((row.severity, row.number) for row in counts),
        anomalies=count_severities(anomalies.items()),
    )


@router.get("/type", summary="Anomalies by type, incidents by category")
async def by_type(api: Api, asked: Asked) -> TypeStats:
    counts = await api.stats.incidents(asked.since)
    anomalies = await api.stats.anomalies(asked.since, "anomaly_type")
    return TypeStats(time_range=asked.text, anomalies=anomalies, incidents=count_categories(counts))


@router.get("/duplicates", summary="What was a repetition, and of what")
async def duplicates(api: Api, asked: Asked) -> DuplicateStats:
    groups = await api.stats.duplicates(asked.since)
    return DuplicateStats.of(asked.text, groups, await asked.balance())


@router.get("/suppressions", summary="What was hidden, and by which rule")
async def suppressions(api: Api, asked: Asked) -> SuppressionStats:
    """Every rule of the policy, silence and outage in force, also those that never matched."""
    hidden = await api.stats.hidden_by_type(asked.since)
    silences, outages = await api.silences.all(), api.ship.ship.outages
    rules = rules_in_force(api.suppress, silences, outages, api.clock())
    ever = await api.stats.hidden_by_rule()
    return SuppressionStats.of(asked.text, hidden, rules, ever, await asked.balance())
