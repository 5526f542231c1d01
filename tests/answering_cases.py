"""Plain doubles of what llm-enricher asks, and its service on a bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

from aiops_core.models import EnrichedIncident, LlmInsights, Severity, SimilarIncident
from aiops_core.runtime.bus import Outgoing
from aiops_lab.memory_bus import MemoryBus
from llm_enricher.answering.cache import AnswerCache
from llm_enricher.answering.policy import AnsweringPolicy
from llm_enricher.evidence.gatherer import Gathered
from llm_enricher.handler import Sources, insight_service
from llm_enricher.model.server import ModelFailure
from llm_enricher.question import Document, Question
from llm_enricher.rules.harm import HarmfulAdvice
from tests.runtime_cases import running

IDS = count()


class Said(NamedTuple):
    insights: LlmInsights
    forbidden: tuple[HarmfulAdvice, ...] = ()


class PlainRules:
    """Says which root, how severe and how many, so that a test sees which state was explained."""

    forbidden: tuple[HarmfulAdvice, ...] = ()

    def explain(self, question: Question) -> Said:
        incident = question.incident
        root = incident.root_cause.device if incident.root_cause else None
        text = f"{incident.severity} {root} {incident.anomaly_count}"
        insights = LlmInsights(root_cause=text, source="rules", narrative="By rules.")
        return Said(insights, self.forbidden)


class PlainModel:
    """Answers after *takes* seconds; *fails* gives the exception of the nth call, from 1."""

    def __init__(
        self, takes: float = 0.0, fails: Callable[[int], Exception | None] = lambda n: None
    ) -> None:
        self.takes, self.fails = takes, fails
        self.asked: list[Question] = []
        self.refuses: ModelFailure | None = None
        self.running = self.most = self.cancelled = 0

    def admit(self, severity: Severity) -> None:
        if self.refuses:
            raise self.refuses

    async def explain(
        self, question: Question, first: LlmInsights, forbidden: tuple[HarmfulAdvice, ...] = ()
    ) -> LlmInsights | None:
        self.forbidden = forbidden
        self.asked.append(question)
        n = len(self.asked)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.takes)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if failure := self.fails(n):
            raise failure
        return first.model_copy(update={"root_cause": f"model: {first.root_cause}", "model": "m"})


class Retrieval(NamedTuple):
    documents: tuple[Document, ...] = ()
    similar: tuple[SimilarIncident, ...] = ()
    lexical: bool = False


class PlainRetriever:
    def __init__(self, found: Retrieval | None = None, takes: float = 0.0) -> None:
        self.found, self.takes = found or Retrieval(), takes
        self.within: list[float] = []

    async def find(self, question: Question, within: float) -> Retrieval:
        self.within.append(within)
        await asyncio.sleep(self.takes)
        return self.found


class PlainGatherer:
    def __init__(
        self, takes: float = 0.0, problem: Exception | None = None, missing: tuple[str, ...] = ()
    ) -> None:
        self.takes, self.problem, self.missing = takes, problem, missing
        self.asked = 0

    async def gathered(self, incident, kinds, budget):
        self.asked += 1
        await asyncio.sleep(self.takes)
        if self.problem:
            raise self.problem
        return Gathered((), self.missing)


@asynccontextmanager
async def answering(bus: MemoryBus, model: PlainModel | None = None, **how: Any):
    """The service on *bus*; *how*: keys of the policy, and other sources."""
    given = {name: how.pop(name) for name in ("gatherer", "retriever", "cache") if name in how}
    rules = how.pop("rules", PlainRules())
    policy = AnsweringPolicy.model_validate(how)
    given.setdefault("cache", AnswerCache(policy.cache, lambda: "m/1") if model else None)
    service = insight_service(policy, Sources(rules, model=model, **given))
    async with running(bus, service) as engine:
        yield engine


async def tell(bus: MemoryBus, *facts: Any) -> None:
    await bus.publish(
        [Outgoing(fact, f"{fact.subject}/{n}/{id(fact)}") for n, fact in enumerate(facts)]
    )


def answers(bus: MemoryBus, source: str | None = None) -> list[EnrichedIncident]:
    found = [
        EnrichedIncident.model_validate_json(stored.data)
        for stored in bus.stored
        if stored.subject == EnrichedIncident.subject
    ]
    return [one for one in found if source in (None, one.llm_insights.source)]


def states(bus: MemoryBus) -> list[tuple[str, int, int, str]]:
    """Of each answer: incident, the state that it explains, and source."""
    told = [(one.id, one.llm_insights) for one in answers(bus)]
    return [(id, one.of_revision, one.of_change, one.source) for id, one in told]
