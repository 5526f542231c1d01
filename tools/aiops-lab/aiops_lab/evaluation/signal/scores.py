"""Counts of what a person is told about logs. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aiops_lab.evaluation.signal.faults import JudgedFault, is_no_fault, judge_faults
from aiops_lab.evaluation.signal.told import ToldIncident, ToldLog, items, told_again
from aiops_lab.evaluation.signal.truth import LogTruth
from aiops_lab.evaluation.signal.vague import ADDRESSES, names_of, without_counts, without_name

MOST_ITEMS = 4.0  # open ones per 1,000 lines
KINDS = 10  # of titles that are shown
HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class SignalScores:
    """Numbers of one log or of several.

    *vague* are titles, *single* incidents (of one anomaly), *again* items; *no_fault* are items of
    lines that a person passes over. Of the *faults* in the truth *lost* ones are in no item, and
    *named* ones in a title. What only a truth can tell is None without one.
    """

    lines: int
    refused: int
    anomalies: int
    incidents: int
    items: int
    again: int
    vague: int
    single: int
    no_fault: int | None = None
    faults: int | None = None
    lost: int | None = None
    named: int | None = None

    @property
    def incidents_per_1000(self) -> float:
        return 1000 * self.incidents / self.lines

    @property
    def items_per_1000(self) -> float:
        return 1000 * self.items / self.lines

    @property
    def on_target(self) -> bool:
        return self.items_per_1000 <= MOST_ITEMS and not (self.again or self.vague or self.lost)

    def as_json(self) -> Mapping[str, float | None]:
        return asdict(self) | {
            "incidents_per_1000": self.incidents_per_1000,
            "items_per_1000": self.items_per_1000,
            "on_target": self.on_target,
        }


@dataclass(frozen=True, slots=True)
class JudgedLog:
    """*kinds* of titles with their numbers of incidents, the largest first."""

    name: str
    scores: SignalScores
    kinds: Counter[TitleKind]
    faults: Sequence[JudgedFault]


@dataclass(frozen=True, slots=True)
class TitleKind:
    """A title without device, peer, addresses and counts, and the rule or detector behind it."""

    title: str
    maker: str


def judge_log(log: ToldLog, truth: LogTruth | None = None) -> JudgedLog:
    told = items(log.incidents, log.least)
    faults = judge_faults(truth, log, told) if truth else []
    scores = SignalScores(
        lines=log.lines,
        refused=log.refused,
        anomalies=log.anomalies,
        incidents=len(log.incidents),
        items=len(told),
        again=told_again(told),
        vague=sum(item.vague for item in told),
        single=sum(len(one.members) == 1 for one in log.incidents),
        no_fault=sum(is_no_fault(item, log.shown) for item in told) if truth else None,
        faults=len(faults) if truth else None,
        lost=sum(not fault.found for fault in faults) if truth else None,
        named=sum(fault.named for fault in faults) if truth else None,
    )
    return JudgedLog(log.name, scores, Counter(map(kind_of, log.incidents)), faults)


def total(scores: Iterable[SignalScores]) -> SignalScores:
    """The sums; None where no log has a truth."""
    rows = [asdict(one) for one in scores]
    known = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]}
    sums: dict[str, Any] = {name: sum(all_) if all_ else None for name, all_ in known.items()}
    return SignalScores(**sums)


def kind_of(incident: ToldIncident) -> TitleKind:
    title = ADDRESSES.sub(HIDDEN, incident.title)
    for name in (*names_of(incident.peer), *names_of(incident.device)):
        title = without_name(title, name, HIDDEN)
    return TitleKind(re.sub(r"\d+", "N", without_counts(title)), incident.maker)
