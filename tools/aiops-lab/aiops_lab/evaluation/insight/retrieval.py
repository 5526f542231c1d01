"""Whether the right passage of a runbook is found: recall@5 and mean reciprocal rank."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Protocol

from pydantic import Field

from aiops_core.models import Incident, Text
from aiops_core.policy.file import Section, read_model
from llm_enricher.question import Document

QUESTIONS = Path(__file__).with_name("questions.yaml")
DOCUMENTS = 5
SECTIONS = ("symptoms", "checks", "fix", "call", "do-not")

PassageId = Annotated[Text, Field(pattern=re.compile(r"^[a-z-]+#[a-z-]+$"))]


class RunbookQuestion(Section):
    ask: Text
    right: Annotated[tuple[PassageId, ...], Field(min_length=1)]

    @property
    def runbooks(self) -> frozenset[str]:
        return frozenset(map(runbook_of, self.right))


class RunbookQuestions(Section):
    questions: Annotated[tuple[RunbookQuestion, ...], Field(min_length=1)]


class Finder(Protocol):
    """What retrieval offers: passages to the words of a person, best first.

    The id of a passage is ``runbook#section``; a long section has several, ``…-2`` and so on.
    """

    def find(self, words: str) -> Sequence[Document]: ...


def of_incident(incident: Incident, runbooks: Sequence[str]) -> RunbookQuestion:
    """What an explanation asks for *incident*: any section of its *runbooks* is right."""
    words = [incident.title, *(member.msg for member in incident.evidence)]
    right = tuple(f"{name}#{section}" for name in runbooks for section in SECTIONS)
    return RunbookQuestion(ask="\n".join(words), right=right)


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """*recall*, *rank* (mean reciprocal) by runbook; *sections*: the right section is among the
    first five too."""

    questions: int
    recall: float
    rank: float
    sections: float
    missed: Sequence[str]


def load_questions(path: Path = QUESTIONS) -> Sequence[RunbookQuestion]:
    """Raises Misconfigured with line and key of each mistake."""
    return read_model(path, RunbookQuestions).questions


def judge_retrieval(finder: Finder, questions: Sequence[RunbookQuestion]) -> RetrievalScores:
    found = [[one.id for one in finder.find(q.ask)[:DOCUMENTS]] for q in questions]
    ranks = [
        _reciprocal(q.runbooks, list(map(runbook_of, ids)))
        for q, ids in zip(questions, found, strict=True)
    ]
    sections = [
        _reciprocal(frozenset(q.right), list(map(_section_of, ids)))
        for q, ids in zip(questions, found, strict=True)
    ]
    return RetrievalScores(
        questions=len(questions),
        recall=fmean(rank > 0 for rank in ranks),
        rank=fmean(ranks),
        sections=fmean(rank > 0 for rank in sections),
        missed=[q.ask for q, rank in zip(questions, ranks, strict=True) if not rank],
    )


def runbook_of(passage: str) -> str:
    return passage.partition("#")[0]


def _section_of(passage: str) -> str:
    """Without the number of a piece."""
    return re.sub(r"-\d+$", "", passage)


def _reciprocal(right: frozenset[str], found: Sequence[str]) -> float:
    return next((1 / n for n, id in enumerate(found, start=1) if id in right), 0.0)
