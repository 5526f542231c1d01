"""A written incident that was played, explained and judged."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiops_lab.evaluation.insight.explainers import JudgedExplainer
from aiops_lab.evaluation.insight.scores import Explained, ExplainedCase, judge_case
from aiops_lab.evaluation.insight.way import PlayedCase
from llm_enricher.question import Question


async def explain_case(
    played: PlayedCase,
    explainer: JudgedExplainer,
    clock: Callable[[], float] = time.perf_counter,
) -> ExplainedCase:
    """*clock* measures the latency of answers, in seconds."""
    return judge_case(played, [await _explained(q, explainer, clock) for q in played.questions])


async def _explained(
    question: Question, explainer: JudgedExplainer, clock: Callable[[], float]
) -> Explained:
    started = clock()
    answer = await explainer.explain(question)
    return Explained(question, answer, (clock() - started) * 1000)
