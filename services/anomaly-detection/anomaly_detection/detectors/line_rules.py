"""Rules about single lines: patterns and levels detect, recoveries clear."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    clock,
    worst,
)
from anomaly_detection.detectors.table import RuleTable, details, listed
from anomaly_detection.rules import Harmless, Judgement, Pattern, Recovery


class PatternDetector(Detector[LogEntry]):
    name = "pattern"

    def __init__(self, table: RuleTable) -> None:
        self._table = table

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        matches = self._table.of(Pattern, entry)
        return worst([_detected(rule, entry, match) for rule, match in matches])


def _detected(rule: Pattern, line: LogEntry, match: re.Match[str]) -> Detected:
    source, found = EntrySource.of(line), details(match)
    reason = (
        f"At {clock(line.ts)} {source.service} on {source.device} "
        f"reported {rule.says}{listed(found)}; expected are none."
    )
    more = {"domain": rule.domain, "meta": found | {"rule": rule.id}}
    return Detected.by(PatternDetector.name, rule, source, line.ts, reason, **more)


class LevelDetector(Detector[LogEntry]):
    """A line of level error or critical is an anomaly, unless it is *harmless*."""

    name = "level"

    def __init__(
        self,
        levels: Mapping[Level, Judgement],
        harmless: Sequence[Harmless],
    ) -> None:
        self._levels = levels
        self._harmless = RuleTable(harmless)
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
        return (Detected.by(self.name, rule, source, entry.ts, reason),)


class RecoveryDetector(Detector[LogEntry]):
    """Clears without asking whether there was an anomaly: the service with the incidents knows."""

    name = "recovery"

    def __init__(self, table: RuleTable) -> None:
        self._table = table

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        """One Cleared for all types that the line clears, worded by the first rule."""
        matches = self._table.of(Recovery, entry)
        if not matches:
            return ()
        types = dict.fromkeys(type_ for rule, _ in matches for type_ in rule.clears)
        return (_cleared(*matches[0], tuple(types), entry),)


def _cleared(
    rule: Recovery, match: re.Match[str], types: tuple[str, ...], line: LogEntry
) -> Cleared:
    about = EntrySource.of(line)
    source = about if rule.same_service else EntrySource(about.ship_id, about.host, about.device_id)
    found = details(match)
    return Cleared(
        source,
        line.ts,
        anomaly_types=types,
        detector=RecoveryDetector.name,
        reason=(
            f"At {clock(line.ts)} {about.service} on {about.device} reported "
            f"{rule.says}{listed(found)}."
        ),
        peer=str(found["peer"]) if "peer" in found else None,
    )
