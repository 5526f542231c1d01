"""Precision and recall of the rules over the samples in packs, also without the pack itself. Pure.

A fault is a positive line of a pattern that raises or of an event. Good news are the positive lines
of patterns that clear. Quiet lines are normal and harmless ones, good news, and negative lines of
which all packs together raise nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Self

from aiops_core.models import LogEntry, Severity
from anomaly_detection.packs import LoadedPack
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Burst, Pattern, Recovery
from anomaly_detection.samples import Judge, Judged, entry_of

# Types of which an operator takes one for the other: the line is found, if not by its best name.
NEAR = (
    {"link_down", "link_degraded", "signal_loss", "device_unreachable", "wifi_failure"},
    {"service_down", "service_error", "database_overload", "backup_failure"},
    {"hardware_failure", "temperature", "power_event", "storage_error", "memory_error"},
    {"credential_attack", "auth_failure", "security_event", "certificate_error"},
    {"disk_full", "storage_error", "resource_exhaustion", "memory_error", "dhcp_failure"},
    {"device_reboot", "kernel_panic", "power_event", "service_down"},
    {"position_loss", "signal_loss", "service_error", "time_drift"},
    {"dns_failure", "dhcp_failure", "device_unreachable", "service_error", "service_down"},
)


@dataclass(frozen=True, slots=True)
class LabelledLine:
    """A sample with what should come of it: *wanted* types, or what it *clears*, else nothing."""

    pack: str
    rule: str
    entry: LogEntry
    wanted: frozenset[str] = frozenset()
    clears: frozenset[str] = frozenset()

    @property
    def fault(self) -> bool:
        return bool(self.wanted)


@dataclass(frozen=True, slots=True)
class PackScores:
    """Numbers of lines. *seen*: any anomaly; *named*: of the right type or one near it."""

    faults: int = 0
    seen: int = 0
    named: int = 0
    exact: int = 0
    strong: int = 0  # seen with at least medium severity
    good_news: int = 0
    cleared: int = 0
    quiet: int = 0
    false: int = 0

    def __add__(self, other: Self) -> PackScores:
        names = [field.name for field in fields(self)]
        return PackScores(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def recall(self) -> float:
        return self.named / self.faults if self.faults else 1.0

    @property
    def precision(self) -> float:
        return self.seen / (self.seen + self.false) if self.seen + self.false else 1.0


@dataclass(frozen=True, slots=True)
class JudgedPack:
    """A pack's scores with all packs, and without itself; *missed*, *wrong*: of the latter."""

    pack: str
    kind: str
    full: PackScores
    without: PackScores
    missed: Sequence[str] = ()
    wrong: Sequence[str] = ()


def judge_packs(policy: DetectPolicy) -> list[JudgedPack]:
    """The scores of every pack of *policy*."""
    judge = Judge(policy)
    return [_judged(one, judge) for one in policy.packs.loaded]


def _judged(loaded: LoadedPack, judge: Judge) -> JudgedPack:
    pack, kind = loaded.pack.id, "site" if loaded.site else loaded.pack.kind
    lines = [*labelled(loaded, judge)]
    full = [score(one, judge.judge(one.entry)) for one in lines]
    without = [score(one, judge.judge(one.entry, pack)) for one in lines]
    pairs = list(zip(lines, without, strict=True))
    missed = [f"{one.rule}: {one.entry.msg}" for one, got in pairs if one.fault and not got.named]
    wrong = [f"{one.rule}: {one.entry.msg}" for one, got in pairs if got.false]
    return JudgedPack(pack, kind, total(full), total(without), missed, wrong)


def total(scores: Iterable[PackScores]) -> PackScores:
    return reduce(add, scores, PackScores())


def labelled(loaded: LoadedPack, everything: Judge) -> Iterable[LabelledLine]:
    """The samples of a pack as labelled lines; bursts need more than one line, and are left out."""
    pack = loaded.pack.id
    for rule in loaded.rules:
        if not isinstance(rule, Burst):
            wanted = frozenset({rule.anomaly_type}) if isinstance(rule, Pattern) else frozenset()
            clears = frozenset(rule.clears) if isinstance(rule, Recovery) else frozenset()
            for sample in rule.positive:
                yield LabelledLine(pack, rule.id, entry_of(sample), wanted, clears)
        for sample in rule.negative:
            entry = entry_of(sample)
            if everything.judge(entry).anomaly is None:
                yield LabelledLine(pack, f"{rule.id}, negative", entry)
    for sample in loaded.pack.normal:
        yield LabelledLine(pack, f"{pack}, normal", entry_of(sample))


def score(line: LabelledLine, judged: Judged) -> PackScores:
    """What *judged* is worth for *line*."""
    found = judged.anomaly
    if line.fault:
        return PackScores(
            faults=1,
            seen=found is not None,
            named=found is not None and near(found.anomaly_type, line.wanted),
            exact=found is not None and found.anomaly_type in line.wanted,
            strong=found is not None and found.severity.rank >= Severity.MEDIUM.rank,
        )
    ended = judged.cleared.anomaly_types if judged.cleared else ()
    return PackScores(
        good_news=bool(line.clears),
        cleared=bool(line.clears.intersection(ended)),
        quiet=1,
        false=found is not None,
    )


def near(found: str, wanted: Iterable[str]) -> bool:
    """Whether *found* is one of *wanted*, or a type that is taken for one of them."""
    known = frozenset(wanted)
    return found in known or any(found in group and known & group for group in NEAR)
