"""The answer of ``/api/v3/trace``, and the rows that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, JsonValue

from aiops_core.models import LlmInsights, Stages, UtcDatetime
from incident_api.store import IncidentSummary

TraceStatus = Literal["complete", "in_progress", "not_anomalous", "suppressed"]


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


@dataclass(frozen=True, slots=True)
class Traced:
    log: TracedLogLine | None
    anomalies: Sequence[TracedAnomaly]
    members: Sequence[TracedMember]
