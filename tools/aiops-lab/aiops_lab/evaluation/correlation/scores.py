"""A labelled run through the correlator of production, and its incidents against the truth. Pure.

Pairwise precision: the share of pairs of anomalies in one incident that have the same fault.
Recall: the share of pairs with the same fault that are in one incident. Adjusted Rand index: Hubert
and Arabie, Comparing partitions, Journal of Classification 2 (1985), equation 5. In the truth an
anomaly without a fault is a group of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from aiops_cli.what_if.replay import Outcome
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.suggestions import Suggestions
from aiops_core.models import AnomalyCleared, EnrichedAnomaly, derived_id
from correlation_service.correlator import Correlator
from correlation_service.policy import CorrelatePolicy


@dataclass(frozen=True)
class LabelledRun:
    """Messages in the order in which they reach correlation, and the truth about them."""

    name: str
    inventory: Inventory
    messages: Sequence[EnrichedAnomaly | AnomalyCleared]
    fault_of: Mapping[str, str | None]  # by anomaly id
    roots: Mapping[str, str]  # fault -> failed device

    @property
    def anomalies(self) -> list[EnrichedAnomaly]:
        return [one for one in self.messages if isinstance(one, EnrichedAnomaly)]


@dataclass(frozen=True)
class LabelledAnomaly:
    """*fault* caused it (None: noise), *incident* contains it (None: a rule suppressed it)."""

    anomaly_id: str
    fault: str | None
    incident: str | None


@dataclass(frozen=True)
class GroupingScores:
    """Of one run or of several. *roots* (found) and *missed* are counts of *faults*."""

    anomalies: int
    incidents: int
    faults: int
    roots: int
    missed: int
    precision: float
    recall: float
    f1: float
    ari: float

    @property
    def reduction(self) -> float:
        """1 - incidents / anomalies: the share of anomalies that need no look of their own."""
        return 1 - self.incidents / self.anomalies if self.anomalies else 1.0

    @property
    def top1(self) -> float:
        """The share of faults whose incident names the failed device as root cause."""
        return self.roots / self.faults if self.faults else 1.0

    def as_json(self) -> dict[str, float]:
        return asdict(self) | {"reduction": self.reduction, "root_top1": self.top1}


@dataclass(frozen=True)
class JudgedRun:
    """A run, the incidents that came of it, and their scores."""

    run: LabelledRun
    outcome: Outcome
    scores: GroupingScores


def judge(
    run: LabelledRun, policy: CorrelatePolicy, suggestions: Suggestions | None = None
) -> JudgedRun:
    """Correlate *run* and score the incidents, as a reader of the published facts knows them."""
    correlator, outcome = Correlator(policy), Outcome()
    correlator.use(run.inventory, suggestions)
    for message in run.messages:
        for fact in correlator.handle(message):
            outcome.learn(fact)
    anomalies = [
        LabelledAnomaly(
            one.anomaly_id, run.fault_of[one.anomaly_id], outcome.place.get(one.anomaly_id)
        )
        for one in run.anomalies
    ]
    inferred = {id_: one.root for id_, one in outcome.incidents.items()}
    return JudgedRun(run, outcome, score(anomalies, run.roots, inferred))


def score(
    anomalies: Sequence[LabelledAnomaly],
    roots: Mapping[str, str],
    inferred: Mapping[str, str | None],
) -> GroupingScores:
    """*roots*: fault -> failed device; *inferred*: incident -> device named as root cause."""
    truth = [one.fault or derived_id("alone", one.anomaly_id) for one in anomalies]
    found = [one.incident or derived_id("hidden", one.anomaly_id) for one in anomalies]
    precision, recall = _pairwise(truth, found)
    mains = {fault: main_incident(fault, anomalies) for fault in roots}
    return GroupingScores(
        anomalies=len(anomalies),
        incidents=len({one.incident for one in anomalies if one.incident}),
        faults=len(roots),
        roots=sum(inferred.get(main or "") == roots[fault] for fault, main in mains.items()),
        missed=sum(main is None for main in mains.values()),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        ari=adjusted_rand(truth, found),
    )


def main_incident(fault: str, anomalies: Iterable[LabelledAnomaly]) -> str | None:
    """The incident with most anomalies of *fault*, among those in which no other fault has more.

    An operator who opens it finds this fault.
    """
    inside: Counter[str] = Counter()
    others: dict[str, Counter[str | None]] = {}
    for one in anomalies:
        if one.incident:
            others.setdefault(one.incident, Counter())[one.fault] += 1
            inside[one.incident] += one.fault == fault
    own = [i for i, n in inside.most_common() if n and n == max(others[i].values())]
    return own[0] if own else None


def _pairwise(truth: Sequence[Hashable], found: Sequence[Hashable]) -> tuple[float, float]:
    both = _pairs(Counter(zip(truth, found, strict=True)).values())
    in_truth, in_found = _pairs(Counter(truth).values()), _pairs(Counter(found).values())
    return both / in_found if in_found else 1.0, both / in_truth if in_truth else 1.0


def adjusted_rand(truth: Sequence[Hashable], found: Sequence[Hashable]) -> float:
    """1 for the same partition, about 0 for a random one."""
    together = _pairs(Counter(zip(truth, found, strict=True)).values())
    in_truth, in_found = _pairs(Counter(truth).values()), _pairs(Counter(found).values())
    every = _pairs([len(truth)])
    expected = in_truth * in_found / every if every else 0.0
    most = (in_truth + in_found) / 2
    return (together - expected) / (most - expected) if most != expected else 1.0


def _pairs(sizes: Iterable[int]) -> float:
    return sum(n * (n - 1) / 2 for n in sizes)


def mean(scores: Sequence[GroupingScores]) -> GroupingScores:
    """Counts are summed, shares are averaged over the runs."""
    total: dict[str, Any] = {
        field.name: sum(getattr(one, field.name) for one in scores)
        for field in fields(GroupingScores)
    }
    shares = {name: total[name] / len(scores) for name in ("precision", "recall", "f1", "ari")}
    return GroupingScores(**(total | shares))
