"""The first answer: at once, from what the ship knows already."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from aiops_core.models import LlmInsights, SimilarIncident
from aiops_core.observability import metrics
from llm_enricher.answering.cache import AnswerCache
from llm_enricher.answering.current import CurrentIncident
from llm_enricher.answering.history import with_history
from llm_enricher.answering.policy import AnsweringPolicy
from llm_enricher.answering.ports import RulesPort
from llm_enricher.answering.questions import Questions
from llm_enricher.attempt import attempt
from llm_enricher.question import Question
from llm_enricher.rules.harm import HarmfulAdvice

FACTS_SHARE = 0.8  # of the time; the table of the cache gets what is left
ASKED_WITHIN = 1.0  # seconds; it keeps to what is left by itself


class RuledAnswer(NamedTuple):
    """An answer by rules with what is known from the past, and what nobody may advise."""

    insights: LlmInsights
    forbidden: tuple[HarmfulAdvice, ...]


@dataclass(frozen=True)
class FirstAnswer:
    insights: LlmInsights
    similar: tuple[SimilarIncident, ...]


class FirstAnswers:
    """*cache*: None without a model, whose answers it keeps."""

    def __init__(
        self,
        questions: Questions,
        rules: RulesPort,
        cache: AnswerCache | None,
        policy: AnsweringPolicy,
    ) -> None:
        self._questions, self._rules, self._cache = questions, rules, cache
        self._within, self._runbook = policy.first_within.total_seconds(), policy.runbook

    async def answer(self, current: CurrentIncident) -> FirstAnswer:
        """An answer that was kept for a like fault, otherwise by rules."""
        started = time.perf_counter()
        asked = await self._questions.about(current, self._within * FACTS_SHARE)
        left = self._within - (time.perf_counter() - started)
        kept = await self.kept(asked.question, left)
        if self._cache:
            (metrics.LLM_CACHE_HITS if kept else metrics.LLM_CACHE_MISSES).inc()
        insights = kept or self.by_rules(asked.question).insights
        taken = (time.perf_counter() - started) * 1000
        missing = tuple(dict.fromkeys((*insights.missing, *asked.question.missing)))
        insights = insights.model_copy(update={"latency_ms": taken, "missing": missing})
        return FirstAnswer(insights, asked.similar)

    async def kept(self, question: Question, within: float) -> LlmInsights | None:
        """The answer of a like fault; without a narrative of its own, with that of the rules."""
        if self._cache is None:
            return None
        kept = (await attempt(self._cache.find(question, within), ASKED_WITHIN, "cache")).value
        if kept is None or kept.narrative:
            return kept
        return kept.model_copy(update={"narrative": self.by_rules(question).insights.narrative})

    def by_rules(self, question: Question) -> RuledAnswer:
        ruled = self._rules.explain(question)
        told = with_history(ruled.insights, question, self._runbook, ruled.forbidden)
        return RuledAnswer(told, ruled.forbidden)
