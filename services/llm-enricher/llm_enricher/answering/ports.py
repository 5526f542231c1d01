"""What answering asks for, and what it gets: context, documents, rules, a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiops_core.models import Incident, LlmInsights, Severity, SimilarIncident
from llm_enricher.question import ContextFact, Document, MemberKind, Question
from llm_enricher.rules.harm import HarmfulAdvice


class KnownContext(Protocol):
    """Facts, and the sources that could not be asked."""

    @property
    def facts(self) -> tuple[ContextFact, ...]: ...

    @property
    def missing(self) -> tuple[str, ...]: ...


class GathererPort(Protocol):
    async def gathered(
        self, incident: Incident, kinds: Sequence[MemberKind], budget: float
    ) -> KnownContext:
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
    async def find(self, question: Question, within: float) -> Retrieved:
        """What is known of such an incident, found within *within* seconds."""


class Ruled(Protocol):
    """An answer by rules."""

    @property
    def insights(self) -> LlmInsights: ...

    @property
    def forbidden(self) -> tuple[HarmfulAdvice, ...]:
        """Advice that the topics concerned list as harmful."""


class RulesPort(Protocol):
    """Always has an answer, at once."""

    def explain(self, question: Question) -> Ruled: ...


class ModelPort(Protocol):
    def admit(self, severity: Severity) -> None:
        """Raises ModelFailure when it is not asked about an incident of *severity*."""

    async def explain(
        self, question: Question, first: LlmInsights, forbidden: Sequence[HarmfulAdvice] = ()
    ) -> LlmInsights | None:
        """The answer to what *first* explains by rules, without advice that is *forbidden*; None
        when too little of it was right.

        Raises ModelFailure. A call that is cancelled ends the work of the server as well.
        """
