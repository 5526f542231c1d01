"""Answers of the model, kept for faults that are alike: in memory, then in ClickHouse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from aiops_core.bounded import BoundedDict
from aiops_core.models import LlmInsights
from aiops_core.runtime.service import utc_now
from llm_enricher.answering.breaker import Breaker
from llm_enricher.answering.likeness import Redact, kept_of, key_of, used_of
from llm_enricher.answering.policy import CachePolicy
from llm_enricher.attempt import attempt
from llm_enricher.question import Question

T = TypeVar("T")

STORE_WITHIN = 2.0  # seconds; nobody waits for it
AWAY_FOR = 30.0  # seconds for which a table that did not answer is not asked


class KeptAnswer(NamedTuple):
    """An answer with placeholders for names, and when it was given."""

    insights: LlmInsights
    at: datetime


class CacheTable(Protocol):
    async def find(self, key: str) -> KeptAnswer | None: ...

    async def keep(self, key: str, answer: KeptAnswer) -> None: ...


class AnswerCache:
    """*identity* gives that of the model and how it is asked, "" while that is not known; then
    nothing is found or kept. *table*: None without ClickHouse."""

    def __init__(
        self,
        policy: CachePolicy,
        identity: Callable[[], str],
        *,
        redact: Redact = str,
        table: CacheTable | None = None,
    ) -> None:
        self._ttl, self._identity, self._redact = policy.ttl, identity, redact
        self._table = table
        self._known = BoundedDict[str, KeptAnswer](policy.kept)
        self._breaker = Breaker(1, AWAY_FOR)

    async def find(self, question: Question, within: float) -> LlmInsights | None:
        """The answer of a like fault, with the names of this one."""
        if not (identity := self._identity()):
            return None
        key = key_of(question, identity, self._redact)
        found = self._fresh(self._known.get(key)) or self._fresh(await self._stored(key, within))
        if found:
            self._known.put(key, found)
        return used_of(question, found.insights) if found else None

    async def keep(self, question: Question, insights: LlmInsights) -> None:
        """Keep *insights*, unless they say what is of this fault alone."""
        kept, identity = kept_of(question, insights, self._redact), self._identity()
        if kept is None or not identity:
            return
        key, answer = key_of(question, identity, self._redact), KeptAnswer(kept, utc_now())
        self._known.put(key, answer)
        if self._table and self._breaker.admits(time.monotonic()):
            await self._tried(self._table.keep(key, answer), STORE_WITHIN)

    async def _stored(self, key: str, within: float) -> KeptAnswer | None:
        if self._table is None or within <= 0 or not self._breaker.admits(time.monotonic()):
            return None
        return await self._tried(self._table.find(key), within)

    async def _tried(self, work: Coroutine[Any, Any, T], within: float) -> T | None:
        """What *work* of the table gives, which the breaker has admitted."""
        try:
            tried = await attempt(work, within, "cache")
        except asyncio.CancelledError:
            self._breaker.gave_up()
            raise
        if tried.problem:
            self._breaker.failed(time.monotonic())
        else:
            self._breaker.succeeded()
        return tried.value

    def _fresh(self, answer: KeptAnswer | None) -> KeptAnswer | None:
        return answer if answer and utc_now() - answer.at < self._ttl else None
