"""A written incident through detection, enrichment and correlation, as it is explained.

The decisions are those of production, the clock is that of the lines. Of a fault in none of whose
lines detection sees anything, the members are given, so that its explanation can be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyDetected,
    Device,
    Evidence,
    Incident,
    IncidentCleared,
    IncidentUpdated,
    LogEntry,
    Message,
    Severity,
)
from aiops_core.suppression.ship import MaintenanceWindow, Ship
from aiops_lab.evaluation.insight.cases import (
    WrittenCase,
    WrittenLine,
    WrittenMember,
    WrittenReading,
    WrittenWindow,
)
from aiops_lab.evaluation.signal.replay import JudgingPolicies, LogWay
from anomaly_detection.detectors.base import device_of
from incident_api.folding import StoredIncident, evolve
from llm_enricher.question import ContextFact, MemberKind, Question

LineGatherer = Callable[[Incident, Iterable[LogEntry]], Iterable[ContextFact]]

SHIP = "ship"
SETTLED = 30.0  # seconds after the newest line, in which late members still join


@dataclass(frozen=True)
class PlayedCase:
    """What became of a case: a question for each incident, and per fault (counted from 0) the
    incident that has most of its members. *overlooked*: faults whose members were given."""

    case: WrittenCase
    questions: Sequence[Question]
    of_fault: Sequence[Question]
    overlooked: frozenset[int]


def play(
    case: WrittenCase, policies: JudgingPolicies, gather: LineGatherer | None = None
) -> PlayedCase:
    """*case* up to half a minute after its last line; *gather* makes facts of the lines around an
    incident."""
    stored: dict[str, StoredIncident] = {}
    way = LogWay(policies, _inventory(case), _ship(case), lambda fact: _fold(stored, fact))
    told = _in_order(case)
    passed = ((id, way.pass_on(_entry(id, line, case))) for id, line in told.items())
    read = {id: entry for id, entry in passed if isinstance(entry, LogEntry)}
    members = {id: line for id, line in told.items() if isinstance(line, WrittenMember)}
    seen = {anomaly.tracking_id for anomaly in way.anomalies.values()}
    overlooked = frozenset(_faults(case)) - {members[id].fault - 1 for id in seen & members.keys()}
    for id, member in members.items():
        if member.fault - 1 in overlooked:
            way.give(_given(read[id], member, case))
    way.wait(SETTLED)
    lines, known = list(read.values()), [*_readings(case), *_windows(case)]
    questions = [
        _question(one.incident, [*(gather or every_line)(one.incident, lines), *known])
        for one in stored.values()
        if one.incident.evidence
    ]
    of_fault = [_main(_shown(members, fault + 1), questions) for fault in _faults(case)]
    return PlayedCase(case, questions, of_fault, overlooked)


def _faults(case: WrittenCase) -> Iterable[int]:
    return range(len(case.faults))


def _inventory(case: WrittenCase) -> Inventory:
    return Inventory(
        Device(id=one.id, type=one.type, upstream=one.upstream, labels=one.labels)
        for one in case.ship
    )


def _ship(case: WrittenCase) -> Ship:
    return Ship(maintenance=tuple(_window(n, one, case) for n, one in enumerate(case.maintenance)))


def _window(n: int, one: WrittenWindow, case: WrittenCase) -> MaintenanceWindow:
    start, end = one.spell(case.day)
    return MaintenanceWindow(
        id=f"maintenance-{n}",
        start=start,
        end=end,
        devices=one.devices,
        owner=one.owner,
        reason=one.reason,
    )


def _fold(stored: dict[str, StoredIncident], fact: Message) -> None:
    match fact:
        case Incident(id=id_):
            stored[id_] = evolve(None, fact)
        case IncidentUpdated(incident_id=id_) | IncidentCleared(incident_id=id_):
            stored[id_] = evolve(stored[id_], fact)


def _in_order(case: WrittenCase) -> dict[str, WrittenLine]:
    told = sorted((*case.members, *case.around), key=lambda line: line.ts(case.day))
    return {f"{case.id}-{n}": line for n, line in enumerate(told)}


def _entry(id: str, line: WrittenLine, case: WrittenCase) -> LogEntry:
    ts = line.ts(case.day)
    return LogEntry(
        tracking_id=id,
        ship_id=SHIP,
        ts=ts,
        host=line.sender,
        msg=line.raw,
        raw=line.raw,
        stages={"ingest": ts},
    )


def _given(entry: LogEntry, line: WrittenMember, case: WrittenCase) -> AnomalyDetected:
    return entry.derive(
        AnomalyDetected,
        domain=case.domain,
        anomaly_type=line.type,
        service=entry.service,
        device_id=entry.device_id,
        host=entry.host,
        detector="pattern",
        score=0.8,
        severity=Severity.HIGH,
        msg=entry.msg,
    )


def every_line(incident: Incident, lines: Iterable[LogEntry]) -> Iterator[ContextFact]:
    """All lines of the ship as they stand, as a case has few of them."""
    for entry in lines:
        yield ContextFact(
            id=f"line:{entry.tracking_id}",
            kind="line",
            ts=entry.ts,
            device=device_of(entry),
            service=entry.service,
            text=entry.msg,
        )


def _readings(case: WrittenCase) -> Iterator[ContextFact]:
    for n, one in enumerate(case.readings):
        yield ContextFact(
            id=f"reading:{case.id}-{n}",
            kind="reading",
            ts=one.ts(case.day),
            device=one.sender,
            text=_reading(one),
            fine=one.fine,
        )


def _reading(one: WrittenReading) -> str:
    return f"{one.metric} {one.value:g} {one.unit}".rstrip()


def _windows(case: WrittenCase) -> Iterator[ContextFact]:
    for window in _ship(case).maintenance:
        yield ContextFact(
            id=f"maintenance:{window.id}",
            kind="maintenance",
            ts=window.start,
            device=", ".join(window.devices),
            text=f"{window.reason} ({window.owner}) until {window.end:%H:%M}",
        )


def _question(incident: Incident, facts: Sequence[ContextFact]) -> Question:
    """*facts* without the lines of its own members."""
    own = {f"line:{member.tracking_id}" for member in incident.evidence}
    context = tuple(fact for fact in facts if fact.id not in own)
    return Question(incident=incident, kinds=tuple(_kinds(incident)), context=context)


def _kinds(incident: Incident) -> Iterator[MemberKind]:
    members = sorted(incident.evidence, key=lambda one: (_kind(one), one.ts))
    for _, group in groupby(members, _kind):
        same = list(group)
        newest = same[-1]
        yield MemberKind(
            device=newest.device,
            service=newest.service,
            anomaly_type=newest.anomaly_type,
            domain=newest.domain,
            count=len(same),
            first=same[0].ts,
            last=newest.ts,
            severity=max(one.severity for one in same),
            newest=newest,
            cleared=all(one.cleared_at is not None for one in same),
        )


def _kind(member: Evidence) -> tuple[str, str, str]:
    return member.device, member.service, member.anomaly_type


def _shown(members: dict[str, WrittenMember], fault: int) -> frozenset[str]:
    return frozenset(id for id, line in members.items() if line.fault == fault)


def _main(lines: frozenset[str], questions: Sequence[Question]) -> Question:
    """The incident that has most of *lines*; of several the first."""

    def weight(question: Question) -> tuple[int, float]:
        own = [m for m in question.incident.evidence if m.tracking_id in lines]
        first = min((m.ts for m in own), default=datetime.max.replace(tzinfo=UTC))
        return len(own), -first.timestamp()

    return max(questions, key=weight)
