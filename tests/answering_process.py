"""llm-enricher as a process of its own, with a model that takes a while: ``python -m``."""

from __future__ import annotations

from contextlib import asynccontextmanager

from aiops_core.runtime.launch import launch
from llm_enricher import NAME
from llm_enricher.answering.cache import AnswerCache
from llm_enricher.handler import Sources, insight_service
from llm_enricher.policy import LlmPolicy
from tests.answering_cases import PlainModel, PlainRules


@asynccontextmanager
async def recipe(context):
    policy = LlmPolicy.load(context.settings.policies).answering
    cache = AnswerCache(policy.cache, lambda: "m/1")
    yield insight_service(policy, Sources(PlainRules(), model=PlainModel(0.1), cache=cache))


if __name__ == "__main__":
    launch(NAME, recipe)
