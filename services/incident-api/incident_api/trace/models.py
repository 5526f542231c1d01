"""The answer of ``/api/v3/trace``, assembled of the rows of one tracking id. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, JsonValue

from aiops_core.models import FAST_PATH, LlmInsights, Stages, UtcDatetime
from incident_api.folding import StoredIncident
from incident_api.rows import SUPPRESSED
from incident_api.store import IncidentSummary

TraceStatus = Literal["complete", "in_progress", "not_anomalous", "suppressed", "digested"]


class PassedStage(BaseModel):
    """When a stage was passed, and how long after the previous one; null before that."""

    ts: UtcDatetime | None
    latency_ms: float | None = Field(description="Since the previous stage.", examples=[2.4])


class FastPath(BaseModel):
    """The four stages of the fast path, in their order."""

    detect: PassedStage
    enrich: PassedStage
    correlate: PassedStage
    store: PassedStage


class TracedInsight(LlmInsights):
    """The explanation, when it came and how long after the incident's creation."""

    ts: UtcDatetime
    insight_latency_ms: float | None


class TracedSuppression(BaseModel):
    """The rule, silence or outage that hid the anomaly."""

    by: str = Field(description="The id of the rule, silence or outage.")
    kind: str = Field(examples=["rule", "silence", "inhibition", "outage", "maintenance"])
    reason: str
    source: str | None = Field(
        description="The incident that explains it (inhibition), or the maintenance window."
    )


class TracedDigest(BaseModel):
    """A finding that opened no incident, and why."""

    anomaly_id: str
    anomaly_type: str
    detector: str
    severity: str
    template: str
    reason: str = Field(examples=["Known here: 73 times since 04 Dec 2025, last 3 min 0 s before."])


class TracedLogLine(BaseModel):
    """The line as it is in ``logs.raw``."""

    ts: UtcDatetime
    ingestion_timestamp: UtcDatetime
    ship_id: str
    host: str
    device_id: str
    service: str
    level: str
    msg: str
    source: str
    labels: dict[str, str]
    raw: str


class Trace(BaseModel):
    tracking_id: str
    status: TraceStatus
    total_latency_ms: float | None = Field(description="From ingest to store.", examples=[17.9])
    stages: FastPath
    insight: TracedInsight | None
    log: TracedLogLine | None = Field(
        description="Null for a metric reading or when it has expired."
    )
    anomaly: dict[str, JsonValue] | None = Field(
        description="As enriched; with several detectors, the one that made the incident."
    )
    incident: IncidentSummary | None
    suppressed: TracedSuppression | None = Field(description="Null: nothing hid it.")
    digested: TracedDigest | None = Field(
        default=None, description="Null: nothing in it was merely counted in the daily digest."
    )


class TracedAnomaly(NamedTuple):
    """An anomaly of the line; *version* 2 once it was enriched."""

    anomaly_id: str
    version: int
    stages: Stages
    body: dict[str, JsonValue]


class TracedMember(NamedTuple):
    """Where an anomaly ended."""

    anomaly_id: str
    incident_id: str
    role: str
    rule: str
    reason: str
    stages: Stages
    stored_at: datetime
    kind: str
    source: str


class DigestedFinding(NamedTuple):
    """What was found in the line and opened no incident; *stored_at* None: not stored yet."""

    view: TracedDigest
    stages: Stages
    stored_at: datetime | None


@dataclass(frozen=True, slots=True)
class Traced:
    log: TracedLogLine | None
    anomalies: Sequence[TracedAnomaly]
    members: Sequence[TracedMember]
    digested: Sequence[DigestedFinding] = ()


SETTLED = timedelta(seconds=10)  # a line that has no anomaly by then has none


def principal(traced: Traced) -> tuple[TracedAnomaly | None, TracedMember | None]:
    """The anomaly that the trace is about: one in an incident, else a suppressed one, else any."""
    ends = {member.anomaly_id: member for member in traced.members}
    ranked = sorted(traced.anomalies, key=lambda a: (_rank(ends.get(a.anomaly_id)), a.anomaly_id))
    if ranked:
        return ranked[0], ends.get(ranked[0].anomaly_id)
    return None, min(traced.members, key=_rank, default=None)


def _rank(member: TracedMember | None) -> int:
    if member is None:
        return 2
    return 1 if member.role == SUPPRESSED else 0


def assemble(
    tracking_id: str, traced: Traced, stored: StoredIncident | None, now: datetime
) -> Trace | None:
    """The trace, None when nothing is known under the id."""
    anomaly, member = principal(traced)
    log, digested = traced.log, next(iter(traced.digested), None)
    if not (log or anomaly or member or digested):
        return None
    passed: Stages = {"ingest": log.ingestion_timestamp} if log else {}
    if digested and not (anomaly or member):
        passed |= digested.stages
        passed |= {"store": digested.stored_at} if digested.stored_at else {}
    passed |= anomaly.stages if anomaly else {}
    passed |= member.stages | {"store": member.stored_at} if member else {}
    return Trace(
        tracking_id=tracking_id,
        status=_status(traced, anomaly, member, now),
        total_latency_ms=_between(passed.get("ingest"), passed.get("store")),
        stages=_fast_path(passed),
        insight=_insight(stored),
        log=log,
        anomaly=anomaly.body if anomaly else None,
        incident=IncidentSummary.of(stored.incident) if stored else None,
        suppressed=_suppression(member),
        digested=digested.view if digested else None,
    )


def _suppression(member: TracedMember | None) -> TracedSuppression | None:
    if member is None or member.role != SUPPRESSED:
        return None
    return TracedSuppression(
        by=member.rule,
        kind=member.kind or "rule",
        reason=member.reason,
        source=member.source or None,
    )


def _status(
    traced: Traced, anomaly: TracedAnomaly | None, member: TracedMember | None, now: datetime
) -> TraceStatus:
    if member:
        return "suppressed" if member.role == SUPPRESSED else "complete"
    if traced.digested and not anomaly:
        return "digested"
    if anomaly or (traced.log and now - traced.log.ingestion_timestamp < SETTLED):
        return "in_progress"
    return "not_anomalous"


def _fast_path(passed: Stages) -> FastPath:
    before = passed.get("ingest")
    stages: dict[str, PassedStage] = {}
    for name in FAST_PATH:
        at = passed.get(name)
        stages[name] = PassedStage(ts=at, latency_ms=_between(before, at))
        before = at or before
    return FastPath(**stages)


def _insight(stored: StoredIncident | None) -> TracedInsight | None:
    if stored is None or stored.insights is None or stored.insight_at is None:
        return None
    return TracedInsight(
        **stored.insights.model_dump(), ts=stored.insight_at, insight_latency_ms=stored.insight_ms
    )


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds() * 1000, 3) if start and end else None
