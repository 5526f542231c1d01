"""A labelled run through the correlator of production, compared with its truth. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import (
    AnomalyCleared,
    AnomalySuppressed,
    EnrichedAnomaly,
    Incident,
    IncidentUpdated,
    Message,
)
from aiops_lab.evaluation.correlation.scores import GroupingScores, LabelledAnomaly, score
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy


@dataclass(frozen=True)
class FaultSpan:
    """A fault of the truth, in seconds from the start of the run. *root* is the device."""

    id: str
    root: str
    start: float
    end: float


@dataclass(frozen=True)
class LabelledRun:
    """Messages in the order in which they reach correlation, and the truth about them."""

    name: str
    began: datetime
    inventory: Inventory
    messages: Sequence[EnrichedAnomaly | AnomalyCleared]
    fault_of: Mapping[str, str | None]  # by anomaly id
    faults: Sequence[FaultSpan]


@dataclass(frozen=True)
class JudgedRun:
    """*titles* are the newest, by incident."""

    run: LabelledRun
    anomalies: Sequence[LabelledAnomaly]
    titles: Mapping[str, str]
    scores: GroupingScores


def judge(run: LabelledRun, policy: CorrelatePolicy) -> JudgedRun:
    """Correlate *run* and score the incidents, as a reader of the published facts knows them."""
    incident_of: dict[str, str | None] = {}  # by anomaly id
    roots: dict[str, str | None] = {}  # incident -> newest device named as root cause
    titles: dict[str, str] = {}
    for fact in _facts(run, policy):
        match fact:
            case AnomalySuppressed():
                incident_of[fact.anomaly_id] = None
                continue
            case Incident():
                incident, members = fact.id, fact.evidence
            case IncidentUpdated():
                incident, members = fact.incident_id, fact.members
            case _:
                continue
        incident_of |= {member.anomaly_id: incident for member in members}
        if fact.root_cause:
            roots[incident] = fact.root_cause.device
        if fact.title:
            titles[incident] = fact.title
    anomalies = [
        LabelledAnomaly(
            one.anomaly_id,
            run.fault_of[one.anomaly_id],
            incident_of[one.anomaly_id],
            (one.ts - run.began).total_seconds(),
            one.device,
        )
        for one in run.messages
        if isinstance(one, EnrichedAnomaly)
    ]
    scores = score(anomalies, {fault.id: fault.root for fault in run.faults}, roots)
    return JudgedRun(run, anomalies, titles, scores)


def _facts(run: LabelledRun, policy: CorrelatePolicy) -> Iterator[Message]:
    correlator = Correlator(policy)
    correlator.use(run.inventory)
    for message in run.messages:
        yield from correlator.handle(message)
