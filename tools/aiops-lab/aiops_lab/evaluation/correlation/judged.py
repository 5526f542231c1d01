"""A run through the correlator of production, against its truth. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_core.inventory.inventory import Inventory
from aiops_core.models import AnomalyCleared, EnrichedAnomaly
from aiops_lab.evaluation.correlation.groups import Groups
from aiops_lab.evaluation.correlation.scores import Labelled, Scores, score
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy


@dataclass(frozen=True)
class Span:
    """A fault as the truth has it, s from the start of the run."""

    id: str
    root: str
    start: float
    end: float


@dataclass(frozen=True)
class Run:
    """What reaches correlation in the order in which it arrives, and the truth about it."""

    name: str
    began: datetime
    inventory: Inventory
    messages: Sequence[EnrichedAnomaly | AnomalyCleared]
    fault_of: dict[str, str | None]  # by anomaly id
    faults: Sequence[Span]


@dataclass(frozen=True)
class Judged:
    run: Run
    anomalies: Sequence[Labelled]
    titles: dict[str, str]
    blamed: dict[str, str | None]
    scores: Scores


def judge(run: Run, policy: CorrelatePolicy) -> Judged:
    groups = _grouped(run, policy)
    anomalies = list(_labelled(run, groups))
    roots = {fault.id: fault.root for fault in run.faults}
    scores = score(anomalies, roots, groups.blamed)
    return Judged(run, anomalies, groups.titles, groups.blamed, scores)


def _grouped(run: Run, policy: CorrelatePolicy) -> Groups:
    correlator, groups = Correlator(policy), Groups()
    correlator.use(run.inventory)
    for message in run.messages:
        groups.read(correlator.handle(message))
    return groups


def _labelled(run: Run, groups: Groups) -> Iterator[Labelled]:
    for one in run.messages:
        if isinstance(one, EnrichedAnomaly):
            yield Labelled(
                one.anomaly_id,
                run.fault_of[one.anomaly_id],
                groups.place[one.anomaly_id],
                (one.ts - run.began).total_seconds(),
                one.device,
            )
