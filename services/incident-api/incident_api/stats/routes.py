"""``/api/v3/stats``."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from incident_api.ledger.auditor import Auditor
from incident_api.ledger.models import Balance
from incident_api.policy import SloPolicy
from incident_api.problems import responses
from incident_api.recorder import ensure_recovered
from incident_api.silences import in_force
from incident_api.spans import parse_span
from incident_api.stats import report
from incident_api.stats.dead_letters import FAST, INSIGHT, DeadLetters
from incident_api.stats.models import (
    DuplicateStats,
    SeverityStats,
    Stats,
    SuppressionStats,
    TypeStats,
)
from incident_api.stats.queries import StatsStore

router = APIRouter(prefix="/api/v3/stats", tags=["stats"], responses=responses(422, 503, 504))


class Window:
    """The span that a request asks about, and everything that counts in it."""

    def __init__(
        self,
        request: Request,
        time_range: Annotated[
            str, Query(description="Span up to now.", examples=["15m", "1h", "24h", "7d"])
        ] = "1h",
    ) -> None:
        state = request.app.state
        self.text, self.span = time_range, parse_span(time_range)
        ensure_recovered(state.recorder)
        self.now: datetime = state.clock()
        self.store: StatsStore = state.stats
        self.slo: SloPolicy = state.slo
        self.dead_letters: DeadLetters = state.dead_letters
        self.auditor: Auditor = state.auditor

    @property
    def since(self) -> datetime:
        return self.now - self.span

    async def balance(self) -> Balance:
        return (await self.auditor.books(self.since, self.now)).balance()


Asked = Annotated[Window, Depends()]


@router.get("", summary="Incidents, latencies and promises kept")
async def overall(asked: Asked) -> Stats:
    fast_ms, insight_ms = asked.slo.fast_path.latency_ms, asked.slo.insight_path.latency_ms
    counts, fast, insight, fast_errors, insight_errors = await asyncio.gather(
        asked.store.incidents(asked.since),
        asked.store.fast_path(asked.since, fast_ms),
        asked.store.insight_path(asked.since, insight_ms),
        asked.dead_letters.count(FAST, asked.now, asked.span),
        asked.dead_letters.count(INSIGHT, asked.now, asked.span),
    )
    return report.stats(
        asked.text,
        counts,
        report.path(fast, fast_errors, fast_ms),
        report.path(insight, insight_errors, insight_ms),
    )


@router.get("/severity", summary="Incidents and anomalies by severity")
async def by_severity(asked: Asked) -> SeverityStats:
    counts = await asked.store.incidents(asked.since)
    anomalies = await asked.store.anomalies(asked.since, "severity")
    return SeverityStats(
        time_range=asked.text,
        incidents=report.by_severity((row.severity, row.number) for row in counts),
        anomalies=report.by_severity(anomalies.items()),
    )


@router.get("/type", summary="Anomalies by type, incidents by category")
async def by_type(asked: Asked) -> TypeStats:
    counts = await asked.store.incidents(asked.since)
    anomalies = await asked.store.anomalies(asked.since, "anomaly_type")
    return TypeStats(
        time_range=asked.text, anomalies=anomalies, incidents=report.by_category(counts)
    )


@router.get("/duplicates", summary="What was a repetition, and of what")
async def duplicates(asked: Asked) -> DuplicateStats:
    rows = await asked.store.repetitions(asked.since)
    return report.duplicates(asked.text, rows, await asked.balance())


@router.get("/suppressions", summary="What was hidden, and by which rule")
async def suppressions(asked: Asked, request: Request) -> SuppressionStats:
    """Every rule of the policy, silence and outage in force, also those that never matched."""
    rows = await asked.store.suppressions(asked.since)
    known = await in_force.known(request)
    return report.suppressions(asked.text, rows, known, await asked.balance())
