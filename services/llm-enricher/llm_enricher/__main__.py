"""Wiring of llm-enricher."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.policy.retention import load_with_retention
from aiops_core.runtime.launch import Context, launch
from aiops_core.runtime.service import Service
from aiops_core.runtime.watched import watched_ship
from llm_enricher import NAME
from llm_enricher.answering.cache import AnswerCache
from llm_enricher.answering.cache_table import ClickHouseCache
from llm_enricher.evidence.gatherer import ContextGatherer
from llm_enricher.evidence.queries import LineQueries
from llm_enricher.handler import Sources, insight_service
from llm_enricher.model.model import BUCKET, Model
from llm_enricher.model.privacy import PrivacyPolicy
from llm_enricher.policy import LlmPolicy
from llm_enricher.retrieval.wiring import retrieval
from llm_enricher.rules.book import RuleBook
from llm_enricher.rules.unused import tell_unused


@asynccontextmanager
async def recipe(context: Context) -> AsyncIterator[Service]:
    settings, bus = context.settings, context.bus
    policy = load_with_retention(LlmPolicy, settings.policies)
    tell_unused(policy.packs.left_out, context.readiness.notes)
    privacy = PrivacyPolicy.load(settings.policies)
    examined, asked = bus.bucket(BUCKET), policy.model
    ship = watched_ship(bus)
    async with (
        ClickHouse.open(settings.clickhouse_url) as store,
        retrieval(context, policy.retrieval, privacy.redacted) as retriever,
        Model.open(settings, asked, privacy, examined, context.readiness) as model,
    ):
        sources = Sources(
            RuleBook.of(policy),
            ContextGatherer(LineQueries(store), policy.evidence, lambda: ship.value),
            retriever,
            model,
            AnswerCache(
                policy.answering.cache,
                lambda: model.identity if model else "",
                redact=privacy.redacted,
                table=ClickHouseCache(store),
            ),
            ship,
        )
        yield insight_service(policy.answering, sources, [model.watch] if model else [])


def main() -> None:
    launch(NAME, recipe)


if __name__ == "__main__":
    main()
