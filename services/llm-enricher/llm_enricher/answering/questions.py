"""Gathers what an explanation may be made of: context and documents at once, in limited time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeVar

from aiops_core.models import SimilarIncident
from llm_enricher.answering.current import CurrentIncident
from llm_enricher.answering.ports import GathererPort, Retrieved, RetrieverPort
from llm_enricher.attempt import Attempt, attempt
from llm_enricher.question import ContextFact, Question

T = TypeVar("T")

BUDGET = 0.8  # of the time, for questions; the rest is to answer from memory


@dataclass(frozen=True)
class GatheredQuestion:
    """A question, and the incidents that are like its own."""

    question: Question
    similar: tuple[SimilarIncident, ...] = ()


class Questions:
    """None: a source that this ship does not have."""

    def __init__(self, gatherer: GathererPort | None, retriever: RetrieverPort | None) -> None:
        self._gatherer, self._retriever = gatherer, retriever

    async def about(self, current: CurrentIncident, within: float) -> GatheredQuestion:
        """The question, made in *within* seconds of whatever was found by then."""
        asked = Question(incident=current.incident, kinds=current.kinds)
        context, documents = await asyncio.gather(
            self._context(asked, within), self._documents(asked, within)
        )
        missing = tuple(filter(None, (context.problem, documents.problem)))
        found = documents.value
        return GatheredQuestion(
            asked.but(
                context=context.value or (),
                documents=found.documents if found else (),
                missing=missing,
            ),
            found.similar if found else (),
        )

    async def _context(self, asked: Question, within: float) -> Attempt[tuple[ContextFact, ...]]:
        if self._gatherer is None:
            return Attempt()
        work = self._gatherer.gathered(asked.incident, asked.kinds, within * BUDGET)
        found = await attempt(work, within, "context")
        if found.value is None:
            return Attempt(problem=f"context: {found.problem}")
        away = ", ".join(found.value.missing)
        return Attempt(found.value.facts, f"context: without {away}" if away else "")

    async def _documents(self, asked: Question, within: float) -> Attempt[Retrieved]:
        if self._retriever is None:
            return Attempt()
        work = self._retriever.find(asked, within * BUDGET)
        found = await attempt(work, within, "documents")
        if found.value and found.value.lexical:
            return Attempt(found.value, "documents: found by their words alone")
        return _named(found, "documents")


def _named(found: Attempt[T], source: str) -> Attempt[T]:
    return Attempt(problem=f"{source}: {found.problem}") if found.problem else found
