"""Known bad lines: one is enough."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Finding, Memoryless, Origin, Verdict, clock, worst
from anomaly_detection.detectors.table import Table, details, listed
from anomaly_detection.policy import Pattern


class PatternDetector(Memoryless):
    name = "pattern"

    def __init__(self, patterns: Sequence[Pattern], table: Table | None = None) -> None:
        self._table = table or Table(patterns)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        return worst(
            [_verdict(rule, entry, match) for rule, match in self._table.of(Pattern, entry)]
        )


def _verdict(rule: Pattern, line: LogEntry, match: re.Match[str]) -> Verdict:
    origin = Origin.of(line)
    return Verdict(
        origin,
        line.ts,
        anomaly_type=rule.anomaly_type,
        domain=rule.domain,
        severity=rule.severity,
        score=rule.score,
        detector=PatternDetector.name,
        reason=(
            f"At {clock(line.ts)} {origin.service} on {origin.device} "
            f"reported {rule.says}{listed(details(match))}; expected are none."
        ),
        meta=details(match) | {"rule": rule.id},
    )
