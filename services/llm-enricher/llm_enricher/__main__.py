"""Wiring of llm-enricher."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.service import Service
from llm_enricher import NAME
from llm_enricher.handler import Sources, insight_service
from llm_enricher.policy import LlmPolicy
from llm_enricher.rules.book import RuleBook


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    policy = load_with_retention(LlmPolicy, context.settings.policies)
    yield insight_service(policy.answering, Sources(RuleBook.of(policy)))


def main() -> None:
    launch(NAME, recipe)


if __name__ == "__main__":
    main()
