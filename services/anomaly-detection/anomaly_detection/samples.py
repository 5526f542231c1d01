"""What the rules make of single lines: for the samples in packs, and for who tries one. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from aiops_core.models import LogEntry
from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.continuations import CONTINUES
from aiops_core.normaliser.entries import FROM_NETWORK, fields_of
from aiops_core.normaliser.normaliser import normalise
from aiops_core.normaliser.statement import statement
from anomaly_detection.detectors.base import Cleared, Detected, Finding
from anomaly_detection.detectors.line_rules import LevelDetector, cleared, detected
from anomaly_detection.detectors.overlaps import why
from anomaly_detection.detectors.table import LOOKED_AT, RuleTable
from anomaly_detection.packs import LoadedPack
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import Burst, Harmless, LineRule, Pattern, Recovery, Sample, StatedLine

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)  # of all samples
HOST = "sample-host"  # the sender of lines that name none
SHOWN = 100  # characters of a sample in a complaint


def entry_of(sample: Sample, now: datetime = NOW) -> LogEntry:
    """*sample* as detection gets it: a whole line is read by the normaliser."""
    if isinstance(sample, StatedLine):
        stated_ = sample.model_dump(exclude_none=True, exclude={"host"})
        host = sample.host or HOST
        return _entry({"ts": now, "service": FROM_NETWORK, **stated_, "host": host}, sample.msg)
    parsed = normalise(sample, now, SenderContext())
    fields = fields_of(parsed, now, host=HOST, service=FROM_NETWORK, source="sample")
    return _entry(fields, sample)


def _entry(fields: Mapping[str, Any], text: str) -> LogEntry:
    id_ = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return LogEntry.model_validate({**fields, "tracking_id": id_, "ship_id": "sample"})


@dataclass(frozen=True, slots=True)
class Loser:
    """A rule that matches a line too, and why another one wins."""

    rule: LineRule
    why: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of one line. *finding* is that of the winner, or of the level."""

    entry: LogEntry
    statement: str  # of the message, what the device itself says
    winner: LineRule | None
    match: re.Match[str] | None
    losers: Sequence[Loser]
    bursts: Sequence[Burst]
    finding: Finding | None

    @property
    def anomaly(self) -> Detected | None:
        return self.finding if isinstance(self.finding, Detected) else None

    @property
    def cleared(self) -> Cleared | None:
        return self.finding if isinstance(self.finding, Cleared) else None


class Judge:
    """Judges lines by the patterns and levels of a policy, each by itself."""

    def __init__(self, policy: DetectPolicy) -> None:
        self._table = RuleTable(policy.line_rules)
        self._level = LevelDetector(policy.levels, self._table)

    def judge(self, entry: LogEntry, without: str | None = None) -> Judged:
        """What becomes of *entry*; *without* the rules of that pack."""
        matches = [one for one in self._table.ranked(entry) if _pack_of(one[0]) != without]
        winner, match = matches[0] if matches else (None, None)
        losers = [Loser(rule, why(winner, rule)) for rule, _ in matches[1:] if winner]
        bursts = [
            rule for rule, _ in self._table.decision(entry).bursts if _pack_of(rule) != without
        ]
        said = statement(entry.msg[:LOOKED_AT], entry.labels)
        finding = self._finding(entry, winner, match)
        return Judged(entry, said, winner, match, losers, bursts, finding)

    def _finding(
        self, entry: LogEntry, winner: LineRule | None, match: re.Match[str] | None
    ) -> Finding | None:
        if match is None:
            continues = CONTINUES in entry.labels
            return None if continues else next(iter(self._level.of_level(entry)), None)
        if isinstance(winner, Pattern):
            return detected(winner, entry, match)
        return cleared(winner, entry, match) if isinstance(winner, Recovery) else None

    def matching(self, entry: LogEntry) -> frozenset[str]:
        """The full names of all rules that match *entry*."""
        return frozenset(rule.id for rule, _ in self._table.matches(entry))


@dataclass(frozen=True, slots=True)
class Complaint:
    """A sample that does not do what its place in the pack says."""

    file: str
    rule: str  # its full name, or `pack/normal`
    sample: str
    problem: str
    taken_by: str = ""  # the full name of the rule that takes the line instead

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}: {self.problem}: {self.sample[:SHOWN]}"


def complaints(loaded: LoadedPack, judge: Judge) -> Iterator[Complaint]:
    """What is wrong with the samples of a pack, judged by all rules in force."""
    for rule in loaded.rules:
        for sample in rule.positive:
            judged = judge.judge(entry_of(sample))
            if problem := _of_positive(rule, judged, text_of(sample)):
                by = judged.winner.id if judged.winner else ""
                yield Complaint(loaded.file, rule.id, text_of(sample), problem, by)
        for sample in rule.negative:
            if rule.id in judge.matching(entry_of(sample)):
                yield Complaint(loaded.file, rule.id, text_of(sample), "it takes a negative line")
    for sample in loaded.pack.normal:
        if anomaly := judge.judge(entry_of(sample)).anomaly:
            by = str(anomaly.meta.get("rule") or "")
            problem = f"a normal line is an anomaly by {by or _of_level(anomaly)}"
            yield Complaint(loaded.file, f"{loaded.pack.id}/normal", text_of(sample), problem, by)


def complaints_about(
    names: Collection[str], others: Iterable[LoadedPack], judge: Judge
) -> Iterator[Complaint]:
    """Samples of *others* that a rule of the packs *names* takes away."""
    for one in others:
        for complaint in complaints(one, judge):
            if complaint.taken_by.partition("/")[0] in names:
                yield complaint


def _of_level(anomaly: Detected) -> str:
    return f"level {anomaly.anomaly_type}, which a `harmless` rule prevents"


def _pack_of(rule: LineRule) -> str:
    return rule.id.partition("/")[0]


def _of_positive(rule: LineRule, judged: Judged, text: str) -> str | None:
    if isinstance(rule, Burst):
        counted = rule.id in (one.id for one in judged.bursts)
        return None if counted else f"it does not count a positive line ({_read(judged)})"
    if judged.winner is None:
        return f"it does not take a positive line ({_read(judged)}{_beside(rule, judged, text)})"
    if judged.winner.id == rule.id:
        return None
    matched = any(one.rule.id == rule.id for one in judged.losers)
    if matched and (rule.kind == "generic" or _as_good(judged.winner, rule)):
        return None
    lost = next((one.why for one in judged.losers if one.rule.id == rule.id), None)
    if lost:
        return f"{judged.winner.id} takes its positive line: {lost}"
    read = f"{_read(judged)}{_beside(rule, judged, text)}"
    return f"it does not match a positive line, {judged.winner.id} does ({read})"


def _beside(rule: LineRule, judged: Judged, text: str) -> str:
    """Why a rule does not match, of which the regex does match something."""
    if rule.looks_in:
        return ""
    if rule.regex.search(judged.statement):
        return "; its regex matches, its services, levels, needs, near or unless do not"
    if rule.regex.search(text):
        return "; a regex sees what the device says in the message: no header, no quoted text"
    return ""


def _as_good(winner: LineRule, rule: LineRule) -> bool:
    """Whether *winner* says of a line what *rule* would, or is of a more specific kind of pack."""
    if type(winner) is type(rule) and winner.kind != rule.kind:
        return True
    if isinstance(winner, Pattern) and isinstance(rule, Pattern):
        return winner.anomaly_type == rule.anomaly_type
    if isinstance(winner, Recovery) and isinstance(rule, Recovery):
        return not set(winner.clears).isdisjoint(rule.clears)
    return isinstance(winner, Harmless) and isinstance(rule, Harmless)


def _read(judged: Judged) -> str:
    entry = judged.entry
    return f"service {entry.service}, level {entry.level}, message {entry.msg[:SHOWN]!r}"


def text_of(sample: Sample) -> str:
    return sample.msg if isinstance(sample, StatedLine) else sample


def state_of(rule: LineRule) -> str:
    """What *rule* says of a line: raise, event, clear, burst or harmless."""
    if isinstance(rule, Pattern | Recovery):
        return rule.state
    return "burst" if isinstance(rule, Burst) else "harmless" if isinstance(rule, Harmless) else ""
