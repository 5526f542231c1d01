"""Log level: a program that calls its own line an error is believed, unless policy knows better."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from aiops_core.models import Domain, LogEntry
from anomaly_detection.detectors.base import Finding, Memoryless, Origin, Verdict, clock, globs
from anomaly_detection.detectors.table import SENDERS, Table
from anomaly_detection.policy import DetectPolicy


class LevelDetector(Memoryless):
    name = "level"

    def __init__(self, policy: DetectPolicy) -> None:
        self._levels = policy.levels
        self._harmless = Table(policy.harmless)
        self._default = policy.default_domain
        self._domains = [(globs(rule.services), rule.domain) for rule in policy.domains]
        self._domain = lru_cache(SENDERS)(self._domain_of)
        self._calmest = min(policy.levels, default=None)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        rule = self._levels.get(entry.level)
        if rule is None or any(self._harmless.matches(entry)):
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

    def _domain_of(self, service: str) -> Domain:
        return next((domain for of, domain in self._domains if of(service)), self._default)
