"""Resolved incidents from ClickHouse, where incident-api keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import NamedTuple

from aiops_core.adapters.clickhouse import ClickHouse, Row
from aiops_core.runtime.unreadable import only_text, read_all
from llm_enricher.retrieval.passage import Passage, Redact
from llm_enricher.retrieval.resolved import ENDINGS, Ended, passage_of

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
OVERLAP = timedelta(seconds=30)  # rows of one write are not visible in the order of their times
PAGE = 200
EVIDENCE_READ = 20  # of each incident

# Mostly nothing has changed, and a body with all its evidence has up to 200 KB: so first who has,
# then of those only what is searched.
CHANGED = """
SELECT id, stored_at, status = 'resolved' AND NOT startsWith(resolve_reason, 'merged into ') AS over
FROM aiops.incidents FINAL
WHERE (stored_at, id) > (fromUnixTimestamp64Micro(%(since)s), %(after)s)
ORDER BY stored_at, id LIMIT %(most)s
"""
DETAILS = """
WITH arraySlice(JSONExtractArrayRaw(body, 'evidence'), 1, %(evidence)s) AS evidence
SELECT id, ship_id, domain, category, title,
    arrayMap(x -> JSONExtractString(x, 'anomaly_type'), evidence),
    arrayMap(x -> substringUTF8(JSONExtractString(x, 'msg'), 1, 400), evidence),
    arrayMap(x -> JSONExtractString(x, 'text'), arrayFilter(
        x -> has(%(endings)s, JSONExtractString(x, 'kind')),
        JSONExtractArrayRaw(body, 'timeline'))),
    updated_at
FROM aiops.incidents FINAL WHERE id IN %(ids)s
"""


class ResolvedPage(NamedTuple):
    """*passages* of incidents that are over, *open* ids of those that are not (any more).

    *next* is where the following page begins; *full*: there may be one.
    """

    passages: Sequence[Passage]
    open: Sequence[str]
    next: tuple[datetime, str]
    full: bool


class ResolvedIncidents:
    """Pages of what has changed, oldest first. Raises Unavailable, or QueryFailed without table."""

    def __init__(self, store: ClickHouse, redact: Redact) -> None:
        self._store, self._redact = store, redact

    async def changed(self, since: tuple[datetime, str] = (EARLIEST, "")) -> ResolvedPage:
        """The first page of what was written after *since*: a time and an id."""
        at, after = since
        micros = (at - EARLIEST) // timedelta(microseconds=1)
        bound = {"since": micros, "after": after, "most": PAGE}
        rows = await self._store.query(CHANGED, bound)
        over = [id for id, _, is_over in rows if is_over]
        return ResolvedPage(
            await self._passages(over),
            [id for id, _, is_over in rows if not is_over],
            (_utc(rows[-1][1]), rows[-1][0]) if rows else since,
            len(rows) == PAGE,
        )

    async def _passages(self, ids: Sequence[str]) -> list[Passage]:
        if not ids:
            return []
        bound = {"ids": tuple(ids), "evidence": EVIDENCE_READ, "endings": list(ENDINGS)}
        rows = await self._store.query(DETAILS, bound)
        return read_all(rows, "retrieval.incidents", self._passage, name=itemgetter(0))

    def _passage(self, row: Row) -> Passage:
        only_text(row)
        id, ship, domain, category, title, types, messages, said, updated = row
        ended = Ended(id, ship, domain, category, title, types, messages, said, _utc(updated))
        return passage_of(ended, self._redact)


def _utc(at: datetime) -> datetime:
    """Naive times of the driver are UTC."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
