"""The documents for an explanation: by meaning and by words, in one ranking."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from aiops_core.errors import Unavailable
from aiops_core.models import SimilarIncident
from aiops_core.observability import metrics
from llm_enricher.question import WARNING, Document, Question
from llm_enricher.retrieval.corpus import KINDS, Corpus
from llm_enricher.retrieval.fusion import fused
from llm_enricher.retrieval.lexical import LexicalHit
from llm_enricher.retrieval.passage import ANYWHERE, Kind, Passage, Redact, Scope
from llm_enricher.retrieval.policy import CollectionPolicy, RetrievalPolicy
from llm_enricher.retrieval.resolved import scope_of, words_of
from llm_enricher.retrieval.worker_process import Vectors

# Characters of a question that are embedded: each word takes time, and what matters stands first.
# By words all of it is asked for.
EMBEDDED_MOST = 100
WAITING_MOST = 8  # questions that wait for a vector; the next ones are answered by words at once


class FoundDocuments(NamedTuple):
    """*documents* of both kinds, best first; *similar*: the incidents among all that fit.

    *lexical*: words alone decided, as the model of embeddings or Qdrant was away or late.
    """

    documents: tuple[Document, ...] = ()
    similar: tuple[SimilarIncident, ...] = ()
    lexical: bool = False


class Ranked(NamedTuple):
    """A passage with its rank in the fusion (greater is better) and what it is shown with."""

    rank: float
    document: Document


class Retriever:
    """Never raises, and never waits longer for vectors than it may."""

    def __init__(
        self, corpus: Corpus, vectors: Vectors, policy: RetrievalPolicy, redact: Redact
    ) -> None:
        self._corpus, self._vectors, self._policy, self._redact = corpus, vectors, policy, redact
        self._waiting = 0

    async def find(self, question: Question, within: float | None = None) -> FoundDocuments:
        """What is known of such an incident; itself is left out. Vectors are waited for *within*
        seconds, unless told otherwise ``budget_ms``."""
        text = words_of(question, self._redact)
        own = question.incident.id
        scope = scope_of(question.incident)
        ranked, lexical = await self._ranked(text, KINDS, scope, own, within)
        documents = self._with_warnings(_best(ranked, self._policy.documents))
        incidents = [one.document for one in ranked if one.document.kind == "incident"]
        similar = [_similar(document) for document in incidents[: self._policy.documents]]
        return FoundDocuments(tuple(documents), tuple(similar), lexical)

    def _with_warnings(self, documents: Sequence[Document]) -> list[Document]:
        """And, after them, what each runbook among them says not to do, whatever part was found."""
        shown = {one.id for one in documents}
        runbooks = {one.id.partition("#")[0] for one in documents if one.kind == "runbook"}
        warnings = (
            _document(passage, None, None)
            for id, passage in self._corpus.passages("runbook").items()
            if passage.source in runbooks and id not in shown and WARNING.search(passage.title)
        )
        return [*documents, *warnings]

    async def search(
        self, text: str, kinds: Sequence[Kind] = KINDS, scope: Scope = ANYWHERE, limit: int = 5
    ) -> FoundDocuments:
        """What fits to *text*, as a person asks it."""
        ranked, lexical = await self._ranked(self._redact(text), kinds, scope, "", None)
        return FoundDocuments(tuple(_best(ranked, limit)), (), lexical)

    async def _ranked(
        self, text: str, kinds: Sequence[Kind], scope: Scope, own: str, within: float | None
    ) -> tuple[list[Ranked], bool]:
        near = await self._nearest(text, kinds, scope, within)
        metrics.RETRIEVALS.labels("words" if near is None else "both").inc()
        ranked = [
            one
            for kind in kinds
            for one in self._of_kind(kind, text, scope, own, (near or {}).get(kind, ()))
        ]
        return sorted(ranked, key=lambda one: -one.rank), near is None

    async def _nearest(
        self, text: str, kinds: Sequence[Kind], scope: Scope, within: float | None
    ) -> Mapping[Kind, Sequence[tuple[str, float]]] | None:
        """None when vectors cannot be had in time."""
        if self._waiting >= WAITING_MOST or not text:
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(self._policy.budget_ms / 1000 if within is None else within):
                asked = {kind: self._asked(kind, scope) for kind in kinds}
                found = await self._vectors.ask("find", text=text[:EMBEDDED_MOST], kinds=asked)
        except (Unavailable, TimeoutError):
            return None
        finally:
            self._waiting -= 1
        metrics.EMBED_SECONDS.observe(found["embed_seconds"])
        near: Mapping[Kind, Sequence[tuple[str, float]]] = found["hits"]
        return near

    def _asked(self, kind: Kind, scope: Scope) -> dict[str, object]:
        limits = self._limits(kind)
        return {
            "wanted": scope.only(limits.filters),
            "limit": self._policy.candidates,
            "similarity": limits.similarity,
        }

    def _of_kind(
        self, kind: Kind, text: str, scope: Scope, own: str, near: Sequence[tuple[str, float]]
    ) -> Iterator[Ranked]:
        """The passages of one collection: the best of each runbook, by both rankings."""
        wanted = scope.only(self._limits(kind).filters)
        known = self._corpus.passages(kind)
        cosines = {id: cosine for id, cosine in near if id in known and id != own}
        hits = {hit.passage.id: hit for hit in self._by_words(kind, text, wanted, own)}
        told: set[str] = set()
        rankings = [list(cosines), list(hits)]
        for id, rank in fused(rankings, self._policy.rank_constant).items():
            if (passage := known[id]).source not in told:
                told.add(passage.source)
                yield Ranked(rank, _document(passage, cosines.get(id), hits.get(id)))

    def _by_words(
        self, kind: Kind, text: str, wanted: dict[str, str], own: str
    ) -> list[LexicalHit]:
        found = self._corpus.index(kind).search(
            text, self._policy.candidates, lambda one: one.id != own and one.fits(wanted)
        )
        least = self._limits(kind).words
        return [hit for hit in found if hit.covered >= least]

    def _limits(self, kind: Kind) -> CollectionPolicy:
        return self._policy.incidents if kind == "incident" else self._policy.runbooks


def _document(passage: Passage, cosine: float | None, hit: LexicalHit | None) -> Document:
    if cosine is not None:
        return passage.document(cosine, lexical=False)
    return passage.document(hit.covered if hit else 0.0, lexical=True)


def _best(ranked: Sequence[Ranked], limit: int) -> list[Document]:
    return [one.document for one in ranked[:limit]]


def _similar(document: Document) -> SimilarIncident:
    return SimilarIncident(
        id=document.id,
        score=document.score,
        title=document.title,
        resolution=document.resolution or None,
    )
