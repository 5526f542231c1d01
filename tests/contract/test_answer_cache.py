"""Answers of the model in ClickHouse, on the real engine and the real schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("chdb")

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import LlmInsights
from llm_enricher.answering.cache import KeptAnswer
from llm_enricher.answering.cache_table import ClickHouseCache
from tests.api_parts import empty_tables

NOW = datetime.now(UTC).replace(microsecond=123_456)


@pytest.fixture
async def store(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    async with empty_tables(clickhouse_url) as store:
        await store.execute("TRUNCATE TABLE aiops.llm_cache")
        yield store


def answer(text: str, seconds: float = 0.0) -> KeptAnswer:
    said = LlmInsights(root_cause=text, source="llm", model="phi3:mini", recommendations=("Look.",))
    return KeptAnswer(said, NOW + timedelta(seconds=seconds))


async def test_an_answer_is_found_again_as_it_was_and_the_newest_of_two(store):
    cache = ClickHouseCache(store)
    assert await cache.find("k") is None
    await cache.keep("k", answer("{{device 1}} “fell” \\ 'hard'"))
    assert await cache.find("k") == answer("{{device 1}} “fell” \\ 'hard'")
    await cache.keep("k", answer("newer", 5))
    await cache.keep("other", answer("of another fault", 9))
    assert await cache.find("k") == answer("newer", 5)


async def test_a_row_that_cannot_be_read_is_none(store):
    await store.insert("aiops.llm_cache", ("key", "at", "body"), [("k", 5, '{"root_cause": 1}')])
    assert await ClickHouseCache(store).find("k") is None


async def test_rows_leave_by_themselves(store):
    [(sql,)] = await store.query("SHOW CREATE TABLE aiops.llm_cache")
    assert "TTL toDateTime(stored_at) + toIntervalMinute(45)" in sql
