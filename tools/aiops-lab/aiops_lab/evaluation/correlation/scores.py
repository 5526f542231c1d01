"""Incidents against truth. Pure.

Pairwise precision and recall: of two anomalies in one incident, how often do they have the same fault; of
two that have the same fault, how often are they in one incident. Adjusted Rand index: Hubert and Arabie,
Comparing partitions, Journal of Classification 2 (1985), equation 5. An anomaly that belongs to no fault
is a group of its own in the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from aiops_core.models import derived_id


@dataclass(frozen=True)
class Labelled:
    """One anomaly: the fault that caused it (None: noise), and the incident that has it (None: none,
    a rule hid it)."""

    anomaly_id: str
    fault: str | None
    incident: str | None
    at: float  # s since the start of the run
    device: str


@dataclass(frozen=True)
class Scores:
    """Of one run, or summed up over several. *roots* and *missed* are counts of *faults*."""

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
        """The share of anomalies that nobody must look at one by one: 1 - incidents / anomalies."""
        return 1 - self.incidents / self.anomalies if self.anomalies else 1.0

    @property
    def top1(self) -> float:
        """How often the incident of a fault blames the device that failed."""
        return self.roots / self.faults if self.faults else 1.0

    def as_json(self) -> dict[str, float]:
        return asdict(self) | {"reduction": self.reduction, "root_top1": self.top1}


def score(
    anomalies: Sequence[Labelled], roots: Mapping[str, str], blamed: Mapping[str, str | None]
) -> Scores:
    """*roots*: fault -> device that failed; *blamed*: incident -> device that it names as its root."""
    truth = [one.fault or derived_id("alone", one.anomaly_id) for one in anomalies]
    found = [one.incident or derived_id("hidden", one.anomaly_id) for one in anomalies]
    precision, recall = _pairwise(truth, found)
    mains = {fault: main_incident(fault, anomalies) for fault in roots}
    return Scores(
        anomalies=len(anomalies),
        incidents=len({one.incident for one in anomalies if one.incident}),
        faults=len(roots),
        roots=sum(blamed.get(main or "") == roots[fault] for fault, main in mains.items()),
        missed=sum(main is None for main in mains.values()),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        ari=adjusted_rand(truth, found),
    )


def main_incident(fault: str, anomalies: Iterable[Labelled]) -> str | None:
    """The incident with most anomalies of *fault*, of those that are mostly about it: an operator who
    opens it must find this fault."""
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
    """1 for the same partition, about 0 for one by chance."""
    together = _pairs(Counter(zip(truth, found, strict=True)).values())
    in_truth, in_found = _pairs(Counter(truth).values()), _pairs(Counter(found).values())
    every = _pairs([len(truth)])
    expected = in_truth * in_found / every if every else 0.0
    most = (in_truth + in_found) / 2
    return (together - expected) / (most - expected) if most != expected else 1.0


def _pairs(sizes: Iterable[int]) -> float:
    return sum(n * (n - 1) / 2 for n in sizes)


def mean(scores: Sequence[Scores]) -> Scores:
    """Counts are summed, shares are averaged over the runs."""
    n = len(scores)
    return Scores(
        anomalies=sum(s.anomalies for s in scores),
        incidents=sum(s.incidents for s in scores),
        faults=sum(s.faults for s in scores),
        roots=sum(s.roots for s in scores),
        missed=sum(s.missed for s in scores),
        precision=sum(s.precision for s in scores) / n,
        recall=sum(s.recall for s in scores) / n,
        f1=sum(s.f1 for s in scores) / n,
        ari=sum(s.ari for s in scores) / n,
    )
