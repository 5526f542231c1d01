"""All detectors of log lines, and the order in which they are believed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Ended, Finding, Verdict
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.detectors.learned import learned
from anomaly_detection.detectors.level import LevelDetector
from anomaly_detection.detectors.lines import Lines
from anomaly_detection.detectors.pattern import PatternDetector
from anomaly_detection.detectors.recovery import RecoveryDetector
from anomaly_detection.detectors.table import Table
from anomaly_detection.failures import Failed, asked
from anomaly_detection.gate import Gated
from anomaly_detection.layers import SENDERS, Layers
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.templates.parameters import parameters

Judge = tuple[str, Callable[[LogEntry], Sequence[Finding]]]  # a detector's name, and how to ask it


class _Judges(NamedTuple):
    """Who is asked about the lines of one sender."""

    rules: tuple[Judge, ...]
    level: tuple[Judge, ...]
    learned: tuple[Judge, ...]


class LineWatch:
    """A rule is believed before the bare level. What is learned is always asked, because it learns."""

    def __init__(self, policy: DetectPolicy, layers: Layers, failed: Failed) -> None:
        self._failed = failed
        level = LevelDetector(policy)
        table = Table((*policy.bursts, *policy.patterns, *policy.recoveries))
        self.burst = BurstDetector(policy.bursts, policy.series_kept, table)
        self._matching = (("pattern", table.matches),)  # the table of all rules
        self._lines = Lines(policy.templates.kept)
        self._rules = [
            Gated(self.burst, layers),
            Gated(PatternDetector(policy.patterns, table), layers),
            Gated(RecoveryDetector(policy.recoveries, table), layers),
        ]
        self._level = Gated(level, layers)
        found = learned(policy, layers, self._lines, level.harmless)
        self._learned = [Gated(detector, layers) for detector in found]
        self.detectors: Sequence[Gated[LogEntry]] = (*self._rules, *self._learned)
        self._judges = lru_cache(SENDERS)(self._judges_of)

    def findings(self, line: LogEntry) -> Sequence[Finding]:
        """What the detectors say of *line*."""
        judges = self._judges(line.ship_id, line.service, line.device_id or line.host)
        found: list[Finding] = []
        if asked(self._matching, line, self._failed):
            found = asked(judges.rules, line, self._failed)
        if not found or not any(isinstance(finding, Verdict) for finding in found):
            found += asked(judges.level, line, self._failed)
        found += asked(judges.learned, line, self._failed)
        return found

    def _judges_of(self, ship_id: str, service: str, device: str) -> _Judges:
        def of(detectors: Sequence[Gated[LogEntry]]) -> tuple[Judge, ...]:
            return tuple((g.name, g.inner.observe) for g in detectors if g.lets(*sender))

        sender = (ship_id, service, device, "")
        return _Judges(of(self._rules), of([self._level]), of(self._learned))

    def described(self, finding: Finding, line: LogEntry) -> Finding:
        """With the template and the parameters of the line, if it is the line that is wrong."""
        if isinstance(finding, Ended) or finding.msg is not None:
            return finding
        template = self._lines.of(line).template
        meta = {**parameters(line.msg), **finding.meta}
        return replace(finding, template_id=template.id, template=template.text, meta=meta)
