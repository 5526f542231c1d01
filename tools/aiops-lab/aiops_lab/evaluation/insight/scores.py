"""How right the explanations of a written incident are.

The cause of a fault is looked for in the explanation of the incident that has most of its lines;
what is forbidden, harmful or unsupported in the explanations of all incidents of the case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aiops_core.models import LlmInsights
from aiops_lab.evaluation.insight.cases import WrittenCase, WrittenFault
from aiops_lab.evaluation.insight.claims import advises, claims, names, unquoted
from aiops_lab.evaluation.insight.support import unsupported
from aiops_lab.evaluation.insight.way import PlayedCase
from llm_enricher.question import Question

ABSTAINS = re.compile(
    r"\b(?:unknown|unclear|not (?:known|clear|certain)|cannot be (?:said|told|known)"
    r"|no rule knows|(?:does|do) not say why|nothing\b[^.]*\bsays? why|no (?:known )?reason"
    r"|without a known (?:reason|cause))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Explained:
    """A question with its answer, and how long that took."""

    question: Question
    answer: LlmInsights
    latency_ms: float


@dataclass(frozen=True, slots=True)
class ExplainedFault:
    """*actions*: how many of the expected ones are advised, of *wanted*."""

    cause: bool
    root: bool
    abstained: bool
    unknown: bool
    actions: int
    wanted: int
    said: str


@dataclass(frozen=True, slots=True)
class ExplainedCase:
    """*forbidden*, *harmful*: the text and the fact against it. *cited*: per explanation, the
    share of its citations that name what it had."""

    case: WrittenCase
    faults: Sequence[ExplainedFault]
    forbidden: Sequence[tuple[str, str]]
    harmful: Sequence[tuple[str, str]]
    unsupported: Sequence[str]
    cited: Sequence[float]
    latencies_ms: Sequence[float]
    overlooked: int

    def problems(self) -> Iterator[str]:
        """What is wrong, for a person."""
        for fault in self.faults:
            if not fault.cause:
                yield f"{self.case.id}: wrong cause: {fault.said}"
            if not fault.root:
                yield f"{self.case.id}: wrong root device: {fault.said}"
        for text, because in self.forbidden:
            yield f"{self.case.id}: claims “{text.strip()}”, though {because}"
        for text, because in self.harmful:
            yield f"{self.case.id}: advises “{text.strip()}”, though {because}"
        for text in self.unsupported:
            yield f"{self.case.id}: no fact has “{text}”"


def judge_case(played: PlayedCase, explained: Sequence[Explained]) -> ExplainedCase:
    """*explained* has an answer for each question of *played*."""
    case, answers = played.case, {one.question.incident.id: one.answer for one in explained}
    faults = [
        _judge_fault(case, fault, question, answers[question.incident.id])
        for fault, question in zip(case.faults, played.of_fault, strict=True)
    ]
    said = [one.answer for one in explained]
    return ExplainedCase(
        case=case,
        faults=faults,
        forbidden=list(_forbidden(case, said)),
        harmful=list(_harmful(case, said)),
        unsupported=[t for one in explained for t in unsupported(one.answer, one.question)],
        cited=[_cited(one.answer, one.question) for one in explained],
        latencies_ms=[one.latency_ms for one in explained],
        overlooked=len(played.overlooked),
    )


def _judge_fault(
    case: WrittenCase, fault: WrittenFault, question: Question, answer: LlmInsights
) -> ExplainedFault:
    said = answer.root_cause
    abstained = bool(ABSTAINS.search(unquoted(said)))
    has_cause = all(names(said, concept) for concept in fault.cause)
    advised = answer.recommendations
    return ExplainedFault(
        cause=has_cause and (abstained or not fault.unknown),
        root=_has_root(case, fault, question, said),
        abstained=abstained,
        unknown=fault.unknown,
        actions=sum(any(names(text, action) for text in advised) for action in fault.actions),
        wanted=len(fault.actions),
        said=said,
    )


def _has_root(case: WrittenCase, fault: WrittenFault, question: Question, said: str) -> bool:
    """The devices that the text names decide; if it names none, that of the incident."""
    named = {one.id for one in case.ship if _named(one.id, said)}
    root = question.incident.root_cause
    device = root.device if root else None
    return bool(named & set(fault.root)) if named else device in fault.root


def _named(device: str, text: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(device)}(?![\w-])", unquoted(text)))


def _forbidden(case: WrittenCase, said: Iterable[LlmInsights]) -> Iterator[tuple[str, str]]:
    for answer in said:
        text = f"{answer.root_cause}\n{answer.impact}\n{answer.narrative}"
        for one in case.forbidden:
            if clause := claims(text, one.claim):
                yield clause, one.because


def _harmful(case: WrittenCase, said: Iterable[LlmInsights]) -> Iterator[tuple[str, str]]:
    for answer in said:
        for text in answer.recommendations:
            for one in case.harmful:
                if sentence := advises(text, one.advice):
                    yield sentence, one.because


def _cited(answer: LlmInsights, question: Question) -> float:
    """Nothing cited is as bad as something that is not there."""
    evidence = {one.anomaly_id for one in question.incident.evidence}
    known = {("evidence", id) for id in evidence | {fact.id for fact in question.context}}
    known |= {(one.kind, one.id) for one in question.documents}
    cited = [(one.kind, one.id) for one in answer.citations]
    return sum(one in known for one in cited) / len(cited) if cited else 0.0


@dataclass(frozen=True, slots=True)
class InsightScores:
    """Of several cases. *cause*, *root*, *actions*, *citations* are shares; *abstained* counts
    faults whose cause is known and not said, *honest* those of *unknown* ones that say so."""

    cases: int
    faults: int
    cause: float
    root: float
    actions: float
    forbidden: int
    harmful: int
    unsupported: int
    abstained: int
    honest: int
    unknown: int
    citations: float
    overlooked: int
    p50_ms: float
    p99_ms: float


def total(judged: Sequence[ExplainedCase]) -> InsightScores:
    """Of at least one case."""
    faults = [fault for one in judged for fault in one.faults]
    kinds = Counter((fault.unknown, fault.abstained) for fault in faults)
    cited = [share for one in judged for share in one.cited]
    latencies = sorted(ms for one in judged for ms in one.latencies_ms)
    return InsightScores(
        cases=len(judged),
        faults=len(faults),
        cause=sum(fault.cause for fault in faults) / len(faults),
        root=sum(fault.root for fault in faults) / len(faults),
        actions=sum(f.actions for f in faults) / sum(f.wanted for f in faults),
        forbidden=sum(len(one.forbidden) for one in judged),
        harmful=sum(len(one.harmful) for one in judged),
        unsupported=sum(len(one.unsupported) for one in judged),
        abstained=kinds[False, True],
        honest=kinds[True, True],
        unknown=kinds[True, True] + kinds[True, False],
        citations=sum(cited) / len(cited),
        overlooked=sum(one.overlooked for one in judged),
        p50_ms=_quantile(latencies, 0.5),
        p99_ms=_quantile(latencies, 0.99),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
