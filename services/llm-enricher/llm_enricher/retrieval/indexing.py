"""Runbooks and resolved incidents are read again and again; vectors follow what has changed.

The state is the folder and the table: after a kill, or without Qdrant's folder, the next round
makes what is missing. A round that breaks off is continued by the next one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from aiops_core.adapters.clickhouse import QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.observability import metrics
from aiops_core.runtime.unreadable import skip
from aiops_core.utils import core_logger
from llm_enricher.attempt import attempt
from llm_enricher.retrieval.corpus import KINDS, Corpus
from llm_enricher.retrieval.incident_table import EARLIEST, OVERLAP, ResolvedPage
from llm_enricher.retrieval.passage import Kind, Passage
from llm_enricher.retrieval.policy import RetrievalPolicy
from llm_enricher.retrieval.runbooks import read_folder
from llm_enricher.retrieval.worker_process import RefusedByWorker, Vectors

log = core_logger("retrieval")

ROUND_WITHIN = 600.0  # seconds; the next round does the rest
REREAD = timedelta(hours=1)  # then the whole table: what has expired there is no longer found


class ResolvedTable(Protocol):
    """Where resolved incidents are kept."""

    async def changed(self, since: tuple[datetime, str]) -> ResolvedPage: ...


class Round(NamedTuple):
    """What one round has found and done, as ``aiops runbooks index`` tells it."""

    runbooks: int
    passages: int
    incidents: int
    embedded: int
    dropped: int
    left_out: Mapping[str, str]
    away: Mapping[str, str]


@dataclass
class StoredPoints:
    """The points of one collection: what *made* said when they were read, and which corpus they
    are of. *points*: id of each point and digest of its passage, by the id of the passage."""

    made: str
    points: dict[str, tuple[str, str]]
    version: int = -1


class Indexing:
    """Fills *corpus* and the vectors. Rounds never overlap."""

    def __init__(
        self,
        corpus: Corpus,
        vectors: Vectors,
        table: ResolvedTable,
        policies: Path,
        policy: RetrievalPolicy,
    ) -> None:
        self._corpus, self._vectors, self._table = corpus, vectors, table
        self._policies, self._policy = policies, policy
        self._turn = asyncio.Lock()
        self._place: tuple[datetime, str] | None = None  # up to which the table was read
        self._reread_at = EARLIEST.replace(tzinfo=UTC)
        self._stored: dict[Kind, StoredPoints] = {}
        self.left_out: Mapping[str, str] = {}

    async def keep(self) -> None:
        """A round every ``refresh_s`` until cancelled, whatever became of the one before."""
        while True:
            await attempt(self.round(), ROUND_WITHIN, "indexing")
            await asyncio.sleep(self._policy.refresh_s)

    async def round(self) -> Round:
        async with self._turn:
            away: dict[str, str] = {}
            await self._read_runbooks()
            try:
                await self._read_incidents()
            except (Unavailable, QueryFailed) as exc:
                away["clickhouse"] = str(exc)
            embedded = dropped = 0
            try:
                embedded, dropped = await self._sync()
            except Unavailable as exc:
                away["vectors"] = str(exc)
            return self._round(embedded, dropped, away)

    def _round(self, embedded: int, dropped: int, away: Mapping[str, str]) -> Round:
        sizes = {kind: len(self._corpus.passages(kind)) for kind in KINDS}
        for kind, size in sizes.items():
            metrics.STATE_SIZE.labels("llm-enricher", f"{kind} passages").set(size)
        metrics.RUNBOOKS_LEFT_OUT.set(len(self.left_out))
        return Round(
            len(self._corpus.runbooks),
            sizes["runbook"],
            sizes["incident"],
            embedded,
            dropped,
            self.left_out,
            away,
        )

    async def _read_runbooks(self) -> None:
        folder = await asyncio.to_thread(read_folder, self._policies)
        for path, reason in folder.left_out.items():
            if self.left_out.get(path) != reason:
                log.warning("runbook left out", path=path, reason=reason)
        self.left_out = folder.left_out
        self._corpus.set_runbooks(folder.runbooks)

    async def _read_incidents(self) -> None:
        """What has changed in the table; from time to time all, then others are forgotten."""
        now = datetime.now(UTC)
        if self._place is None or now - self._reread_at > REREAD:
            seen = await self._pages((EARLIEST, ""))
            gone = [id for id in self._corpus.passages("incident") if id not in seen]
            self._corpus.drop("incident", gone)
            self._reread_at = now
        else:
            at, _ = self._place
            await self._pages((max(at - OVERLAP, EARLIEST), ""))

    async def _pages(self, place: tuple[datetime, str]) -> set[str]:
        """Read on from *place*; the ids of incidents that are over."""
        seen: set[str] = set()
        while True:
            page = await self._table.changed(place)
            self._corpus.put(page.passages)
            self._corpus.drop("incident", page.open)
            seen |= {one.id for one in page.passages}
            place = page.next
            if not page.full:
                self._place = place
                return seen

    async def _sync(self) -> tuple[int, int]:
        """Make the points those of the corpus; how many were embedded and dropped."""
        state = await self._vectors.ask("ensure")
        for problem in state["problems"]:
            skip("retrieval.vectors", "points", problem)
        embedded = dropped = 0
        for kind in KINDS:
            stored = self._stored.get(kind)
            known = (state["made"][kind], state["points"][kind])
            if stored is None or known != (stored.made, len(stored.points)):
                stored = await self._read_points(kind, state["made"][kind])
            if stored.version != self._corpus.version[kind]:
                dropped += await self._drop_points(kind, stored)
                embedded += await self._put_points(kind, stored)
                stored.version = self._corpus.version[kind]
        return embedded, dropped

    async def _read_points(self, kind: Kind, made: str) -> StoredPoints:
        if kind == "incident" and self._place is None:
            await self._remember()
        points: dict[str, tuple[str, str]] = {}
        doubled = []
        for point, id, digest in await self._vectors.ask("stored", kind=kind):
            if id in points:
                doubled.append(point)
            points.setdefault(id, (point, digest))
        if doubled:
            await self._vectors.ask("drop", kind=kind, points=doubled)
        stored = self._stored[kind] = StoredPoints(made, points)
        return stored

    async def _drop_points(self, kind: Kind, stored: StoredPoints) -> int:
        passages = self._corpus.passages(kind)
        gone = {id: point for id, (point, _) in stored.points.items() if id not in passages}
        if gone:
            await self._vectors.ask("drop", kind=kind, points=list(gone.values()))
        for id in gone:
            del stored.points[id]
        return len(gone)

    async def _put_points(self, kind: Kind, stored: StoredPoints) -> int:
        passages = self._corpus.passages(kind).values()
        new = [p for p in passages if stored.points.get(p.id, ("", ""))[1] != p.digest]
        return sum(
            [await self._put(kind, stored, batch) for batch in _batches(new, self._policy.batch)]
        )

    async def _put(self, kind: Kind, stored: StoredPoints, batch: Sequence[Passage]) -> int:
        """How many of *batch* have a point now; what cannot be embedded is left out by itself."""
        json = [one.model_dump(mode="json") for one in batch]
        try:
            await self._vectors.ask("put", kind=kind, passages=json)
        except RefusedByWorker as exc:
            if len(batch) > 1:
                return sum([await self._put(kind, stored, [one]) for one in batch])
            skip("retrieval.vectors", batch[0].id, exc)
            return 0
        stored.points |= {one.id: (one.point, one.digest) for one in batch}
        return len(batch)

    async def _remember(self) -> None:
        """While the table cannot be read, incidents come from what was stored with their points."""
        found = []
        for id, stored in await self._vectors.ask("passages", kind="incident"):
            try:
                found.append(_stored_incident(id, stored))
            except ValueError as exc:  # ValidationError is one
                skip("retrieval.vectors", id, exc)
        self._corpus.put(found)


def _stored_incident(id: str, stored: object) -> Passage:
    passage = Passage.model_validate(stored)
    if passage.kind != "incident" or passage.id != id:
        raise ValueError("it is another passage than its point says")
    return passage


def _batches(items: Sequence[Passage], size: int) -> list[list[Passage]]:
    source = iter(items)
    return list(iter(lambda: list(itertools.islice(source, size)), []))
