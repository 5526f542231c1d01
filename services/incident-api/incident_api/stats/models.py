"""Bodies of ``/api/v3/stats``, and the counted rows that they are made of."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, Field

from aiops_core.models import UtcDatetime
from aiops_core.suppression.labels import Labels
from incident_api.ledger.models import Balance

Counts = dict[str, int]


class IncidentCount(NamedTuple):
    severity: str
    status: str
    category: str
    number: int


class Latency(NamedTuple):
    """Of *processed* cases *measured* have a latency; *within* of these kept the limit."""

    processed: int
    measured: int
    within: int
    p50: float | None
    p95: float | None
    p99: float | None


class HiddenByType(NamedTuple):
    """Anomalies of one type that one rule, silence or outage has hidden."""

    rule: str
    anomaly_type: str
    number: int


class HiddenByRule(NamedTuple):
    """Anomalies that one rule, silence or outage has hidden, as far as the history goes back."""

    rule: str
    kind: str
    number: int
    last_matched_at: datetime


class LabelCount(NamedTuple):
    """Anomalies that have all these labels."""

    labels: Labels
    number: int


class LatencyPercentiles(BaseModel):
    """Milliseconds; null while nothing was measured."""

    p50: float | None = Field(examples=[11.2])
    p95: float | None = Field(examples=[24.0])
    p99: float | None = Field(examples=[38.5])


class PathStats(BaseModel):
    processed: int = Field(description="Cases that reached the end of the path.")
    errors: int = Field(description="Dead letters of the services of this path.")
    latency_ms: LatencyPercentiles
    slo_ms: float = Field(description="The promise, from policies/slo.yaml.", examples=[100.0])
    compliance: float | None = Field(
        description="Share (0-1) of the measured cases that kept the promise; null without any.",
        examples=[0.998],
    )


class Stats(BaseModel):
    """``total`` and the breakdowns count incidents that were created in the span."""

    time_range: str = Field(examples=["1h"])
    total: int
    by_severity: Counts
    by_status: Counts
    by_category: Counts
    fast_path: PathStats
    insight_path: PathStats
    fast_path_latency_p99: float | None = Field(description="Milliseconds.")
    insight_path_latency_p99: float | None = Field(description="Milliseconds.")


class SeverityStats(BaseModel):
    time_range: str
    incidents: Counts
    anomalies: Counts


class TypeStats(BaseModel):
    time_range: str
    anomalies: Counts = Field(description="By anomaly_type.")
    incidents: Counts = Field(description="By category.")


class DuplicateGroup(BaseModel):
    """Repetitions of one problem within one incident."""

    incident_id: str
    member: str = Field(description="The anomaly_id of the member that they repeat.")
    fingerprint: str
    anomaly_type: str
    service: str
    device_id: str
    members: int
    duplicates: int


class DuplicateStats(BaseModel):
    time_range: str
    members: int = Field(description="Anomalies that were the first of their kind in an incident.")
    duplicates: int = Field(description="Repetitions that were folded into a member.")
    ratio: float = Field(description="Share (0-1) of duplicates among all.")
    top: list[DuplicateGroup] = Field(description="The 50 members that were repeated most.")
    balance: Balance


class RuleStats(BaseModel):
    """One rule of the policy, silence or outage."""

    rule: str
    kind: str = Field(description="Its kind.", examples=["rule", "silence", "inhibition", "outage"])
    reason: str = Field(description="Empty for one that is not remembered any more.")
    in_force: bool
    hidden: int = Field(description="In the span.")
    by_type: Counts
    last_matched_at: UtcDatetime | None = Field(
        description="Ever, as far as the history goes back; null: never."
    )


class SuppressionStats(BaseModel):
    time_range: str
    total: int
    by_rule: list[RuleStats]
    balance: Balance
