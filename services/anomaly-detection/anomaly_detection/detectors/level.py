"""Log level: a program that calls its own line an error is believed, unless policy knows better."""

from __future__ import annotations

from functools import lru_cache

from aiops_core.models import Domain, LogEntry
from anomaly_detection.detectors.base import Verdict, clock, device_of, globs
from anomaly_detection.detectors.table import SENDERS, Table
from anomaly_detection.policy import DetectPolicy


class LevelDetector:
    def __init__(self, policy: DetectPolicy) -> None:
        self._levels = policy.levels
        self._harmless = Table(policy.harmless)
        self._default = policy.default_domain
        self._domains = [(globs(rule.services), rule.domain) for rule in policy.domains]
        self._domain = lru_cache(SENDERS)(self._domain_of)
        self._calmest = min(policy.levels, default=None)

    def observe(self, entry: LogEntry, /) -> Verdict | None:
        rule = self._levels.get(entry.level)
        if rule is None or any(self._harmless.matches(entry)):
            return None
        where = f"{entry.service} on {device_of(entry)}"
        return Verdict(
            anomaly_type=rule.anomaly_type,
            domain=self._domain(entry.service),
            severity=rule.severity,
            score=rule.score,
            detector="level",
            reason=(
                f"At {clock(entry.ts)} {where} logged 1 line of level {entry.level}; "
                f"expected are only lines below level {self._calmest}."
            ),
        )

    def _domain_of(self, service: str) -> Domain:
        return next((domain for of, domain in self._domains if of(service)), self._default)
