"""What is judged: a source of explanations."""

from __future__ import annotations

from typing import Protocol

from aiops_core.models import LlmInsights
from llm_enricher.question import Question
from llm_enricher.rules.book import RuleBook


class JudgedExplainer(Protocol):
    """The rules alone, or with a model behind them."""

    async def explain(self, question: Question) -> LlmInsights: ...


class RulesAlone:
    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules

    async def explain(self, question: Question) -> LlmInsights:
        return self._rules.explain(question).insights
