"""One incident in, the same incident with its explanation out.

Explainers are asked in order; the first answer is used. The rule book comes last and always has
one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from aiops_core.models import EnrichedIncident, Incident, LlmInsights
from aiops_core.observability import metrics
from aiops_core.runtime.received import Received
from llm_enricher.question import Question
from llm_enricher.rules.book import RuleBook

CONCURRENCY = 8
CARRIED = tuple(Incident.model_fields)


class Explainer(Protocol):
    """A source of explanations: a cache, similar incidents, a model."""

    async def explain(self, incident: Incident) -> LlmInsights | None:
        """The explanation, or None to ask the next one."""


class Insight:
    """*clock* measures the latency of answers, in seconds."""

    def __init__(
        self,
        explainers: Sequence[Explainer],
        *,
        last: RuleBook,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._explainers = explainers
        self._last = last
        self._clock = clock

    async def __call__(self, received: Received[Incident]) -> Sequence[EnrichedIncident]:
        message, started = received.message, self._clock()
        insights = await self._explain(message)
        taken = (self._clock() - started) * 1000
        fields = {name: getattr(message, name) for name in CARRIED}
        fields["llm_insights"] = insights.model_copy(update={"latency_ms": taken})
        return [message.derive(EnrichedIncident, **fields)]

    async def _explain(self, incident: Incident) -> LlmInsights:
        for explainer in self._explainers:
            if insights := await explainer.explain(incident):
                return insights
        metrics.LLM_FALLBACKS.labels("no_model").inc()
        return self._last.explain(Question(incident=incident)).insights
