"""Log level: a line of level error or critical is an anomaly, unless the policy says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import (
    Detected,
    Detector,
    DomainOf,
    EntrySource,
    Finding,
    clock,
)
from anomaly_detection.detectors.table import RuleTable
from anomaly_detection.policy_rules import Harmless, Judgement


class LevelDetector(Detector[LogEntry]):
    name = "level"

    def __init__(
        self,
        levels: Mapping[Level, Judgement],
        harmless: Sequence[Harmless],
        domain_of: DomainOf,
    ) -> None:
        self._levels = levels
        self._harmless = RuleTable(harmless)
        self._domain_of = domain_of
        self._lowest = min(levels, default=None)

    def harmless(self, entry: LogEntry) -> bool:
        return any(self._harmless.matches(entry))

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        rule = self._levels.get(entry.level)
        if rule is None or self.harmless(entry):
            return ()
        source = EntrySource.of(entry)
        reason = (
            f"At {clock(entry.ts)} {source.service} on {source.device} logged 1 line of level "
            f"{entry.level}; expected are only lines below level {self._lowest}."
        )
        domain = self._domain_of(entry.service)
        return (Detected.by(self.name, rule, source, entry.ts, domain, reason),)
