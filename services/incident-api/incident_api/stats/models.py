"""The answers of ``/api/v3/stats``, made of counted rows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Self

from pydantic import BaseModel, Field

from aiops_core.models import Severity, Status, UtcDatetime
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.ship import LinkOutage
from aiops_core.suppression.silences import Silence
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


class HiddenByRule(NamedTuple):
    """Anomalies that one rule, silence or outage has hidden, as far as the history goes back."""

    rule: str
    kind: str
    number: int
    last_matched_at: datetime


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

    @classmethod
    def of(cls, latency: Latency, errors: int, slo_ms: float) -> Self:
        kept = round(latency.within / latency.measured, 6) if latency.measured else None
        return cls(
            processed=latency.processed,
            errors=errors,
            latency_ms=LatencyPercentiles(p50=latency.p50, p95=latency.p95, p99=latency.p99),
            slo_ms=slo_ms,
            compliance=kept,
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

    @classmethod
    def of(
        cls, time_range: str, counts: Sequence[IncidentCount], fast: PathStats, insight: PathStats
    ) -> Self:
        statuses = {status.value: 0 for status in Status}
        return cls(
            time_range=time_range,
            total=sum(row.number for row in counts),
            by_severity=count_severities((row.severity, row.number) for row in counts),
            by_status=statuses | _sums((row.status, row.number) for row in counts),
            by_category=count_categories(counts),
            fast_path=fast,
            insight_path=insight,
            fast_path_latency_p99=fast.latency_ms.p99,
            insight_path_latency_p99=insight.latency_ms.p99,
        )


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

    @classmethod
    def of(cls, time_range: str, groups: list[DuplicateGroup], balance: Balance) -> Self:
        in_incidents = balance.members + balance.duplicates
        return cls(
            time_range=time_range,
            members=balance.members,
            duplicates=balance.duplicates,
            ratio=round(balance.duplicates / in_incidents, 6) if in_incidents else 0.0,
            top=groups,
            balance=balance,
        )


class RuleInForce(NamedTuple):
    """A rule of the policy, a silence or an outage that may hide anomalies now."""

    id: str
    kind: str
    reason: str


def rules_in_force(
    policy: SuppressPolicy,
    silences: Sequence[Silence],
    outages: Sequence[LinkOutage],
    now: datetime,
) -> Iterator[RuleInForce]:
    """In the order in which correlation-service asks them."""
    for rule in policy.suppress:
        kind = "maintenance" if rule.match.maintenance else "rule"
        yield RuleInForce(rule.id, kind, rule.reason)
    for silence in silences:
        if silence.state_at(now) != "expired":
            reason = f"{silence.comment} ({silence.created_by})"
            yield RuleInForce(silence.id, "silence", reason)
    for outage in outages:
        if now < outage.end + policy.outages.margin:
            yield RuleInForce(outage.id, "outage", f"{outage.device_id}: {outage.reason}")
    for inhibition in policy.inhibit:
        yield RuleInForce(inhibition.id, "inhibition", inhibition.reason)


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

    @classmethod
    def of(
        cls, rule_id: str, by_type: Counts, rule: RuleInForce | None, ever: HiddenByRule | None
    ) -> Self:
        return cls(
            rule=rule_id,
            kind=rule.kind if rule else ever.kind if ever else "rule",
            reason=rule.reason if rule else "",
            in_force=rule is not None,
            hidden=sum(by_type.values()),
            by_type=by_type,
            last_matched_at=ever.last_matched_at if ever else None,
        )


class SuppressionStats(BaseModel):
    time_range: str
    total: int
    by_rule: list[RuleStats]
    balance: Balance

    @classmethod
    def of(
        cls,
        time_range: str,
        hidden: Mapping[str, Counts],
        rules: Iterable[RuleInForce],
        ever: Mapping[str, HiddenByRule],
        balance: Balance,
    ) -> Self:
        """The rule that hid most first; rules in force that hid nothing in the span are listed."""
        known = {rule.id: rule for rule in rules}
        by_rule = [
            RuleStats.of(one, hidden.get(one, {}), known.get(one), ever.get(one))
            for one in known.keys() | hidden.keys()
        ]
        by_rule.sort(key=lambda stats: (-stats.hidden, stats.rule))
        total = sum(stats.hidden for stats in by_rule)
        return cls(time_range=time_range, total=total, by_rule=by_rule, balance=balance)


def count_severities(pairs: Iterable[tuple[str, int]]) -> Counts:
    """Every severity is named, also those that did not occur."""
    return {s.value: 0 for s in Severity} | _sums(pairs)


def count_categories(counts: Sequence[IncidentCount]) -> Counts:
    return _sums((row.category, row.number) for row in counts)


def _sums(pairs: Iterable[tuple[str, int]]) -> Counts:
    sums: Counter[str] = Counter()
    for name, count in pairs:
        sums[name] += count
    return dict(sorted(sums.items()))
