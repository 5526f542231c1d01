"""Wiring of llm-enricher."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.models import Incident
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.service import Service, Tuning
from llm_enricher import NAME
from llm_enricher.handler import CONCURRENCY, Insight
from llm_enricher.policy import LlmPolicy
from llm_enricher.retrieval.wiring import retrieval
from llm_enricher.rules import RuleBook


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = LlmPolicy.load(context.settings.policies)
    async with retrieval(context, policy.retrieval, str):
        yield Service(
            NAME,
            {Incident: Insight([], last=RuleBook(policy))},
            Publishing(stage="insight"),
            path="insight",
            tuning=Tuning(concurrency=CONCURRENCY),
        )


def main() -> None:
    launch(NAME, recipe)


if __name__ == "__main__":
    main()
