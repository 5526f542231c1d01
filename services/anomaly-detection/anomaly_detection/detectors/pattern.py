"""Known bad lines: one is enough."""

from __future__ import annotations

from collections.abc import Sequence

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Verdict, clock, device_of, worst
from anomaly_detection.detectors.table import Table, details, listed
from anomaly_detection.policy import Pattern


class PatternDetector:
    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._table = Table(patterns)

    def observe(self, entry: LogEntry, /) -> Verdict | None:
        return worst(
            Verdict(
                anomaly_type=rule.anomaly_type,
                domain=rule.domain,
                severity=rule.severity,
                score=rule.score,
                detector="pattern",
                reason=(
                    f"At {clock(entry.ts)} {entry.service} on {device_of(entry)} "
                    f"reported {rule.says}{listed(details(match))}; expected are none."
                ),
                meta=details(match) | {"rule": rule.id},
            )
            for rule, match in self._table.matches(entry)
        )
