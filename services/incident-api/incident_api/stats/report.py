"""Pure: counted rows as the documents that the API shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from aiops_core.models import Severity, Status
from incident_api.ledger.models import Balance
from incident_api.silences.in_force import Known
from incident_api.stats.models import (
    Counts,
    DuplicateGroup,
    DuplicateStats,
    PathStats,
    Percentiles,
    RuleStats,
    Stats,
    SuppressionStats,
)
from incident_api.stats.queries import Hidden, IncidentCount, Latency, Repetition


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
        latency_ms=Percentiles(p50=latency.p50, p95=latency.p95, p99=latency.p99),
        slo_ms=slo_ms,
        compliance=round(latency.within / latency.measured, 6) if latency.measured else None,
    )


def by_severity(pairs: Iterable[tuple[str, int]]) -> Counts:
    """Every severity is named, also those that did not occur."""
    return {s.value: 0 for s in Severity} | _sums(pairs)


def by_category(counts: Sequence[IncidentCount]) -> Counts:
    return _sums((row.category, row.number) for row in counts)


def duplicates(time_range: str, rows: Sequence[Repetition], balance: Balance) -> DuplicateStats:
    in_incidents = balance.members + balance.duplicates
    return DuplicateStats(
        time_range=time_range,
        members=balance.members,
        duplicates=balance.duplicates,
        ratio=round(balance.duplicates / in_incidents, 6) if in_incidents else 0.0,
        top=[DuplicateGroup(**row._asdict()) for row in rows],
        balance=balance,
    )


def suppressions(
    time_range: str, rows: Sequence[Hidden], known: Known, balance: Balance
) -> SuppressionStats:
    return SuppressionStats(
        time_range=time_range,
        total=sum(row.number for row in rows),
        by_rule=_by_rule(rows, known),
        balance=balance,
    )


def _by_rule(rows: Sequence[Hidden], known: Known) -> list[RuleStats]:
    """What hid most first; then the rules in force that hid nothing in the span."""
    hidden: dict[str, list[Hidden]] = {rule: [] for rule in known.rules}
    for row in rows:
        hidden.setdefault(row.rule, []).append(row)
    found = [_rule(rule, of_rule, known) for rule, of_rule in hidden.items()]
    return sorted(found, key=lambda r: (-r.hidden, r.rule))


def _rule(rule_id: str, rows: Sequence[Hidden], known: Known) -> RuleStats:
    rule, ever = known.rules.get(rule_id), known.ever.get(rule_id)
    return RuleStats(
        rule=rule_id,
        kind=rule.kind if rule else ever.kind if ever else "rule",
        reason=rule.reason if rule else "",
        in_force=rule is not None,
        hidden=sum(row.number for row in rows),
        by_type={row.anomaly_type: row.number for row in rows},
        last_matched_at=ever.last_matched_at if ever else None,
    )


def _sums(pairs: Iterable[tuple[str, int]]) -> Counts:
    sums: Counter[str] = Counter()
    for name, count in pairs:
        sums[name] += count
    return dict(sorted(sums.items()))
