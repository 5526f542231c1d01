"""Programs that others reported as dead and that write ordinary lines again.

A program that writes lives. That is evidence and no statement: the end has a lower confidence. It
holds for programs only: a disk, a link or a power supply does not work because a device writes.
After a restart of the device the same holds, as its programs write then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from aiops_core.components import component_of
from aiops_core.models import Level, LogEntry
from anomaly_detection.detectors.base import (
    Cleared,
    Detector,
    EntrySource,
    Finding,
    bounded_key,
    clock,
    device_of,
    span,
)
from anomaly_detection.detectors.state import SegmentedLru
from anomaly_detection.detectors.table import RuleTable, about
from anomaly_detection.rules import Pattern, Recovery

OF_PROGRAMS = "service_down"  # the only type that such evidence ends
LINES, FOR = 3, 60.0  # ordinary lines, and the seconds between the first and the last of them
CONFIDENCE = 0.6
PROGRAMS_KEPT = 32  # of one device
_ENDING = re.compile(
    r"\b(?:stop|exit|quit|shut|terminat|kill|abort|clos|fail|error|crash|dump|dead|died|dying|"
    r"sigterm|signal|restart|unload|bye)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class DeadProgram:
    """A program that was reported as dead at *since*, and its ordinary lines from *first* on."""

    name: str
    since: float  # seconds since 1970
    component: str = ""
    first: float = 0.0
    lines: int = 0
    last_id: str = ""


@dataclass(slots=True)
class DeadPrograms:
    """Of one device, by name without regard to case; the oldest go first."""

    of: dict[str, DeadProgram] = field(default_factory=dict)

    def add(self, one: DeadProgram) -> None:
        self.of.pop(one.name.casefold(), None)
        self.of[one.name.casefold()] = one
        while len(self.of) > PROGRAMS_KEPT:
            del self.of[next(iter(self.of))]


class SpeakingDetector(Detector[LogEntry]):
    """One Cleared when a dead program has written ``LINES`` ordinary lines over ``FOR`` seconds.

    An error of it, or that it is dead once more, begins anew. What it writes about its stopping
    does not count.
    """

    name = "speaking"

    def __init__(self, table: RuleTable, kept: int) -> None:
        self._table = table
        self.state: SegmentedLru[DeadPrograms] = SegmentedLru(kept, DeadPrograms)

    def observe(self, entry: LogEntry, /) -> Sequence[Finding]:
        key = bounded_key(entry.ship_id, device_of(entry))
        won, known = self._table.decision(entry).winner, self.state.find(key)
        if won is None:
            return self._hear(entry, known) if known else ()
        rule, match = won
        if not isinstance(rule, Pattern | Recovery):
            return ()
        service = about(entry, match).service
        component = component_of(rule.scope, match.groupdict())
        if isinstance(rule, Recovery):
            if known and OF_PROGRAMS in rule.clears:
                self._forget(known, service, component)
        elif rule.anomaly_type == OF_PROGRAMS and service != entry.service:
            self._bury(key, DeadProgram(service, entry.ts.timestamp(), component))
        elif known:
            self._begin_anew(entry, known)
        return ()

    def _bury(self, key: tuple[str, ...], dead: DeadProgram) -> None:
        known = self.state.get(key, DeadPrograms)
        before = known.of.get(dead.name.casefold())
        if before is None or dead.since > before.since:
            known.add(dead)

    def _hear(self, line: LogEntry, known: DeadPrograms) -> Sequence[Finding]:
        dead = known.of.get(line.service.casefold())
        if dead is None or dead.last_id == line.tracking_id:
            return ()
        at = line.ts.timestamp()
        if at <= dead.since or _ENDING.search(line.msg):
            return ()
        if line.level not in (Level.INFO, Level.DEBUG):
            return self._begin_anew(line, known)
        first = dead.first if dead.lines and dead.first <= at else at
        heard = replace(dead, first=first, lines=dead.lines + 1, last_id=line.tracking_id)
        if heard.lines < LINES or at - first < FOR:
            known.of[line.service.casefold()] = heard
            return ()
        del known.of[line.service.casefold()]
        return (_speaks_again(line, heard),)

    def _begin_anew(self, line: LogEntry, known: DeadPrograms) -> Sequence[Finding]:
        dead = known.of.get(line.service.casefold())
        if dead is not None and line.level in (Level.ERROR, Level.CRITICAL):
            dead.lines = 0
        return ()

    def _forget(self, known: DeadPrograms, service: str, component: str) -> None:
        """Others have said that it runs."""
        for name, dead in list(known.of.items()):
            if name == service.casefold() or (component and component == dead.component):
                del known.of[name]


def _speaks_again(line: LogEntry, dead: DeadProgram) -> Cleared:
    since = line.ts - timedelta(seconds=line.ts.timestamp() - dead.first)
    started = line.ts - timedelta(seconds=line.ts.timestamp() - dead.since)
    source = replace(EntrySource.of(line), service=dead.name)
    return Cleared(
        source,
        line.ts,
        anomaly_types=(OF_PROGRAMS,),
        detector=SpeakingDetector.name,
        reason=(
            f"{dead.name} on {source.device} writes normally again since {clock(since)}: "
            f"{dead.lines} ordinary lines in {span(line.ts - since)}; nobody said that it runs."
        ),
        started=started,
        component=dead.component,
        confidence=CONFIDENCE,
    )
