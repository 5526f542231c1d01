"""Which rule, if any, keeps an anomaly from becoming an incident. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate

from aiops_core.models import Anomaly
from correlation_service.policy import CorrelatePolicy, Match, NeverSuppress, SuppressRule


@dataclass(frozen=True)
class _Compiled:
    """A rule with its globs as regular expressions; fields that match everything are left out."""

    rule: SuppressRule
    globs: Sequence[tuple[str, re.Pattern[str]]]

    @classmethod
    def of(cls, rule: SuppressRule) -> _Compiled:
        match: Match = rule.match
        fields = ("anomaly_type", "service", "device", "msg")
        globs = [(f, getattr(match, f)) for f in fields if getattr(match, f) != "*"]
        return cls(rule, [(f, re.compile(translate(g), re.IGNORECASE)) for f, g in globs])

    def matches(self, anomaly: Anomaly) -> bool:
        match = self.rule.match
        if anomaly.severity > match.severity_at_most:
            return False
        if match.domain is not None and anomaly.domain != match.domain:
            return False
        return all(glob.match(getattr(anomaly, field)) for field, glob in self.globs)


class Suppression:
    def __init__(self, policy: CorrelatePolicy) -> None:
        self._rules = [_Compiled.of(rule) for rule in policy.suppress]
        self._never: NeverSuppress = policy.never_suppress

    def rule_for(self, anomaly: Anomaly) -> SuppressRule | None:
        """The first rule that hides *anomaly*; None for what may never be hidden."""
        if self._never.covers(anomaly):
            return None
        return next((c.rule for c in self._rules if c.matches(anomaly)), None)
