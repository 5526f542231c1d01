"""Gathers what an explanation may be made of: context, then documents, in limited time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from aiops_core.models import SimilarIncident
from llm_enricher.answering.attempt import attempt
from llm_enricher.answering.current import CurrentIncident
from llm_enricher.answering.ports import GathererPort, RetrieverPort
from llm_enricher.question import Question

CONTEXT_SHARE = 0.6  # of the time; documents get what is left


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
        until = time.monotonic() + within
        question = Question(incident=current.incident, kinds=current.kinds)
        question = await self._with_context(question, within * CONTEXT_SHARE)
        return await self._with_documents(question, max(until - time.monotonic(), 0.0))

    async def _with_context(self, question: Question, within: float) -> Question:
        if self._gatherer is None:
            return question
        work = self._gatherer.context(question.incident, question.kinds, within)
        found = await attempt(work, within, "context")
        if found.value is None:
            return question.but(missing=(*question.missing, f"context: {found.problem}"))
        return question.but(context=found.value)

    async def _with_documents(self, question: Question, within: float) -> GatheredQuestion:
        if self._retriever is None:
            return GatheredQuestion(question)
        found = await attempt(self._retriever.find(question), within, "documents")
        if found.value is None:
            missing = (*question.missing, f"documents: {found.problem}")
            return GatheredQuestion(question.but(missing=missing))
        missing = question.missing
        if found.value.lexical:
            missing = (*missing, "documents: found by their words alone")
        documents = found.value.documents
        return GatheredQuestion(
            question.but(documents=documents, missing=missing), found.value.similar
        )
