"""``aiops.llm_cache`` in ClickHouse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.models import LlmInsights
from aiops_core.runtime.unreadable import skip
from llm_enricher.answering.cache import KeptAnswer

COLUMNS = ("key", "at", "model", "body")
FIND = (
    "SELECT body, toUnixTimestamp64Micro(at) FROM aiops.llm_cache"
    " WHERE key = %(key)s ORDER BY at DESC LIMIT 1"
)
WHERE = "llm-enricher.cache"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class ClickHouseCache:
    def __init__(self, store: ClickHouse) -> None:
        self._store = store

    async def find(self, key: str) -> KeptAnswer | None:
        """The newest answer; one that cannot be read is none."""
        rows = await self._store.query(FIND, {"key": key})
        return _read(key, *rows[0]) if rows else None

    async def keep(self, key: str, answer: KeptAnswer) -> None:
        body = answer.insights.model_dump_json()
        row = (key, (answer.at - EPOCH) // MICROSECOND, answer.insights.model or "", body)
        await self._store.insert("aiops.llm_cache", COLUMNS, [row])


def _read(key: str, body: str, at: int) -> KeptAnswer | None:
    try:
        return KeptAnswer(LlmInsights.model_validate_json(body), EPOCH + at * MICROSECOND)
    except ValueError as exc:  # ValidationError is one
        skip(WHERE, key, exc)
        return None
