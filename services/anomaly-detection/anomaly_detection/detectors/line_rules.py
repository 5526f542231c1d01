"""Rules about single lines: patterns and levels detect, recoveries clear.

Of all rules that match a line one decides (``overlaps``); the level only where none does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aiops_core.components import UNNAMED, component_of
from aiops_core.models import Level, LogEntry
from aiops_core.normaliser.continuations import CONTINUES
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    clock,
)
from anomaly_detection.detectors.table import (
    SERVICE,
    RuleTable,
    about,
    details,
    listed,
)
from anomaly_detection.rules import Harmless, Judgement, Pattern, Recovery


class PatternDetector(Detector[LogEntry]):
    name = "pattern"

    def __init__(self, table: RuleTable) -> None:
        self._table = table

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        won = self._table.decision(entry).winner
        if won is None or not isinstance(won[0], Pattern):
            return ()
        return (detected(won[0], entry, won[1]),)


def detected(rule: Pattern, line: LogEntry, match: re.Match[str]) -> Detected:
    """The anomaly that *rule* finds in *line*."""
    source, found = about(line, match), details(match)
    reason = (
        f"At {clock(line.ts)} {source.service} on {source.device} "
        f"reported {rule.says}{listed(found)}; expected are none."
    )
    more = {
        "domain": rule.domain,
        "component": component_of(rule.scope, match.groupdict()),
        "state": rule.lasts,
        "meta": found | {"rule": rule.id, "state": rule.state},
    }
    return Detected.by(PatternDetector.name, rule, source, line.ts, reason, **more)


class LevelDetector(Detector[LogEntry]):
    """A line of level error or critical is an anomaly, unless a rule says what it means."""

    name = "level"

    def __init__(self, levels: Mapping[Level, Judgement], table: RuleTable) -> None:
        self._levels = levels
        self._table = table
        self._lowest = min(levels, default=None)

    def harmless(self, entry: LogEntry) -> bool:
        """Whether the level of *entry* says nothing: of good news and of continuations too."""
        if CONTINUES in entry.labels:
            return True
        won = self._table.decision(entry).winner
        return won is not None and isinstance(won[0], Harmless | Recovery)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        if entry.level not in self._levels or self.harmless(entry):
            return ()
        return self.of_level(entry)

    def of_level(self, entry: LogEntry) -> Sequence[Finding]:
        """The finding of the level alone."""
        rule = self._levels.get(entry.level)
        if rule is None:
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
        won = self._table.decision(entry).winner
        if won is None or not isinstance(won[0], Recovery):
            return ()
        return (cleared(won[0], entry, won[1]),)


def cleared(rule: Recovery, line: LogEntry, match: re.Match[str]) -> Cleared:
    """What *line* says is over."""
    source, found = about(line, match), details(match)
    of_service = rule.same_service or match.groupdict().get(SERVICE)
    device = EntrySource(source.ship_id, source.host, source.device_id)
    return Cleared(
        source if of_service else device,
        line.ts,
        anomaly_types=rule.clears,
        detector=RecoveryDetector.name,
        reason=(
            f"At {clock(line.ts)} {source.service} on {source.device} reported "
            f"{rule.says}{listed(found)}."
        ),
        peer=str(found["peer"]) if "peer" in found else None,
        component=_ended_part(rule, match),
    )


def _ended_part(rule: Recovery, match: re.Match[str]) -> str:
    """The part that *rule* is about; empty: all, or all of a peer."""
    groups = match.groupdict()
    part = component_of(rule.scope, groups)
    return part if part or rule.whole or groups.get("peer") else UNNAMED
