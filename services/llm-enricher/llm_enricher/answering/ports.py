"""What answering asks for, and what it gets: context, documents, rules, a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiops_core.errors import AiopsError
from aiops_core.models import Incident, LlmInsights, SimilarIncident
from llm_enricher.question import ContextFact, Document, MemberKind, Question

COUNTED = frozenset({"away", "failed", "slow", "late", "cut_off", "garbage"})
WORTH_RETRY = frozenset({"away", "failed", "cut_off", "garbage"})


class GathererPort(Protocol):
    async def context(
        self, incident: Incident, kinds: Sequence[MemberKind], budget: float
    ) -> tuple[ContextFact, ...]:
        """What is known around *incident*, found within *budget* seconds."""


class Retrieved(Protocol):
    """Documents and resolved incidents. *lexical*: found by their words alone."""

    @property
    def documents(self) -> tuple[Document, ...]: ...

    @property
    def similar(self) -> tuple[SimilarIncident, ...]: ...

    @property
    def lexical(self) -> bool: ...


class RetrieverPort(Protocol):
    async def find(self, question: Question) -> Retrieved: ...


class Ruled(Protocol):
    """An answer by rules."""

    @property
    def insights(self) -> LlmInsights: ...


class RulesPort(Protocol):
    """Always has an answer, at once."""

    def explain(self, question: Question) -> Ruled: ...


class ModelFailure(AiopsError):
    """There is no answer; *kind* says why."""

    def __init__(self, kind: str, message: str | None = None) -> None:
        super().__init__(message or kind)
        self.kind = kind

    @property
    def counts(self) -> bool:
        """Whether the circuit breaker counts it: the server or the model does badly."""
        return self.kind in COUNTED

    @property
    def worth_retry(self) -> bool:
        """Whether the same question may succeed a moment later, at no great cost."""
        return self.kind in WORTH_RETRY


class ModelPort(Protocol):
    async def explain(self, question: Question, first: LlmInsights) -> LlmInsights | None:
        """The answer to what *first* explains by rules; None when too little of it was right.

        Raises ModelFailure. A call that is cancelled ends the work of the server as well.
        """
