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
from llm_enricher.rules.book import RuleBook
from llm_enricher.rules.unused import tell_unused


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = LlmPolicy.load(context.settings.policies)
    tell_unused(policy.packs.left_out, context.readiness.notes)
    yield Service(
        NAME,
        {Incident: Insight([], last=RuleBook.of(policy))},
        Publishing(stage="insight"),
        path="insight",
        tuning=Tuning(concurrency=CONCURRENCY),
    )


def main() -> None:
    launch(NAME, recipe)


if __name__ == "__main__":
    main()
