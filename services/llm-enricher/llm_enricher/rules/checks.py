"""Whether packs say what their samples expect: for ``aiops policy check``. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llm_enricher.rules.book import RuleAnswer, RuleBook
from llm_enricher.rules.packs import InsightPacks, NamedRule
from llm_enricher.rules.samples import Sample, question_of

SHOWN = 120  # characters of a sample in a complaint


@dataclass(frozen=True, slots=True)
class SampleMistake:
    """*text* says what is wrong in *file*, which is named relative to the policies."""

    file: str
    text: str


def examine(packs: InsightPacks, book: RuleBook) -> Iterator[SampleMistake]:
    """Packs that are left out; samples that all rules together explain in another way."""
    for left_out in packs.left_out:
        yield SampleMistake(left_out.file, left_out.problem)
    for named in packs.rules:
        for text in _complaints(named, book):
            yield SampleMistake(named.file, text)


def _complaints(named: NamedRule, book: RuleBook) -> Iterator[str]:
    for sample in named.rule.positive:
        answer = book.explain(question_of(sample))
        if named.name not in _said(answer):
            yield f"{named.rule.id}: a positive sample is explained by {_by(answer)}: {_of(sample)}"
    for sample in named.rule.negative:
        if named.name in _said(book.explain(question_of(sample))):
            yield f"{named.rule.id}: a negative sample is explained by it: {_of(sample)}"


def _said(answer: RuleAnswer) -> set[str]:
    return {fault.rule for fault in answer.faults}


def _by(answer: RuleAnswer) -> str:
    return " and ".join(fault.rule for fault in answer.faults) or "no rule"


def _of(sample: Sample) -> str:
    return str(sample)[:SHOWN]
