"""Log level: a program that calls its own line an error is believed, unless policy knows better."""

from __future__ import annotations

from collections.abc import Sequence

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Finding, Memoryless, Origin, Verdict, clock
from anomaly_detection.detectors.domains import domains
from anomaly_detection.detectors.table import Table
from anomaly_detection.policy import DetectPolicy


class LevelDetector(Memoryless):
    name = "level"

    def __init__(self, policy: DetectPolicy) -> None:
        self._levels = policy.levels
        self._harmless = Table(policy.harmless)
        self._domain = domains(policy)
        self._calmest = min(policy.levels, default=None)

    def harmless(self, entry: LogEntry) -> bool:
        return any(self._harmless.matches(entry))

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        rule = self._levels.get(entry.level)
        if rule is None or self.harmless(entry):
            return ()
        origin = Origin.of(entry)
        verdict = Verdict(
            origin,
            entry.ts,
            anomaly_type=rule.anomaly_type,
            domain=self._domain(entry.service),
            severity=rule.severity,
            score=rule.score,
            detector=self.name,
            reason=(
                f"At {clock(entry.ts)} {origin.service} on {origin.device} logged 1 line of level "
                f"{entry.level}; expected are only lines below level {self._calmest}."
            ),
        )
        return (verdict,)
