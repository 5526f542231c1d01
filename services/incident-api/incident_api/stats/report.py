"""Counted rows as the documents that the API shows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Severity, Status
from aiops_core.suppression.policy import SuppressPolicy
from aiops_core.suppression.ship import LinkOutage
from aiops_core.suppression.silences import Silence
from incident_api.ledger.models import Balance
from incident_api.stats.models import (
    Counts,
    DuplicateGroup,
    DuplicateStats,
    HiddenByRule,
    HiddenByType,
    IncidentCount,
    Latency,
    LatencyPercentiles,
    PathStats,
    RuleStats,
    Stats,
    SuppressionStats,
)


def stats(
    time_range: str, counts: Sequence[IncidentCount], fast: PathStats, insight: PathStats
) -> Stats:
    return Stats(
        time_range=time_range,
        total=sum(row.number for row in counts),
        by_severity=by_severity((row.severity, row.number) for row in counts),
        by_status={s.value: 0 for s in Status} | _sums((row.status, row.number) for row in counts),
        by_category=_sums((row.category, row.number) for row in counts),
        fast_path=fast,
        insight_path=insight,
        fast_path_latency_p99=fast.latency_ms.p99,
        insight_path_latency_p99=insight.latency_ms.p99,
    )


def path(latency: Latency, errors: int, slo_ms: float) -> PathStats:
    return PathStats(
        processed=latency.processed,
        errors=errors,
        latency_ms=LatencyPercentiles(p50=latency.p50, p95=latency.p95, p99=latency.p99),
        slo_ms=slo_ms,
        compliance=round(latency.within / latency.measured, 6) if latency.measured else None,
    )


def by_severity(pairs: Iterable[tuple[str, int]]) -> Counts:
    """Every severity is named, also those that did not occur."""
    return {s.value: 0 for s in Severity} | _sums(pairs)


def by_category(counts: Sequence[IncidentCount]) -> Counts:
    return _sums((row.category, row.number) for row in counts)


def duplicates(time_range: str, groups: list[DuplicateGroup], balance: Balance) -> DuplicateStats:
    in_incidents = balance.members + balance.duplicates
    return DuplicateStats(
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
            yield RuleInForce(outage.id, "outage", f"{outage.device}: {outage.reason}")
    for inhibition in policy.inhibit:
        yield RuleInForce(inhibition.id, "inhibition", inhibition.reason)


def suppressions(
    time_range: str,
    rows: Sequence[HiddenByType],
    rules: Iterable[RuleInForce],
    ever: Mapping[str, HiddenByRule],
    balance: Balance,
) -> SuppressionStats:
    return SuppressionStats(
        time_range=time_range,
        total=sum(row.number for row in rows),
        by_rule=_by_rule(rows, {rule.id: rule for rule in rules}, ever),
        balance=balance,
    )


def _by_rule(
    rows: Sequence[HiddenByType],
    rules: Mapping[str, RuleInForce],
    ever: Mapping[str, HiddenByRule],
) -> list[RuleStats]:
    """The rule that hid most first; rules in force that hid nothing in the span are listed too."""
    by_type: dict[str, Counts] = {rule_id: {} for rule_id in rules}
    for row in rows:
        by_type.setdefault(row.rule, {})[row.anomaly_type] = row.number
    found = [
        _rule(rule_id, counts, rules.get(rule_id), ever.get(rule_id))
        for rule_id, counts in by_type.items()
    ]
    return sorted(found, key=lambda stats: (-stats.hidden, stats.rule))


def _rule(
    rule_id: str, by_type: Counts, rule: RuleInForce | None, ever: HiddenByRule | None
) -> RuleStats:
    return RuleStats(
        rule=rule_id,
        kind=rule.kind if rule else ever.kind if ever else "rule",
        reason=rule.reason if rule else "",
        in_force=rule is not None,
        hidden=sum(by_type.values()),
        by_type=by_type,
        last_matched_at=ever.last_matched_at if ever else None,
    )


def _sums(pairs: Iterable[tuple[str, int]]) -> Counts:
    sums: Counter[str] = Counter()
    for name, count in pairs:
        sums[name] += count
    return dict(sorted(sums.items()))
