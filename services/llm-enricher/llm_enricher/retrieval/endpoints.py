"""What ``aiops runbooks`` asks: the folder of vectors has one owner, this service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiops_core.models import Domain
from aiops_core.observability.probe import Routes
from llm_enricher.retrieval.corpus import Corpus
from llm_enricher.retrieval.indexing import Indexing
from llm_enricher.retrieval.passage import Scope
from llm_enricher.retrieval.retriever import Retriever

SHOWN, SHOWN_MOST = 5, 50  # documents


class RunbookEndpoints:
    """Each takes the parameters of a request and returns status and JSON."""

    def __init__(self, corpus: Corpus, retriever: Retriever, indexing: Indexing) -> None:
        self._corpus, self._retriever, self._indexing = corpus, retriever, indexing

    def routes(self) -> Routes:
        return {
            "GET /runbooks": self.list,
            "GET /runbooks/search": self.search,
            "POST /runbooks/index": self.index,
        }

    async def list(self, _: Mapping[str, str]) -> tuple[int, object]:
        items = [
            {"name": name, "title": runbook.title, "passages": len(runbook.passages)}
            for name, runbook in sorted(self._corpus.runbooks.items())
        ]
        return 200, {"items": items, "left_out": dict(self._indexing.left_out)}

    async def search(self, asked: Mapping[str, str]) -> tuple[int, object]:
        """``q``: the words of a person; ``domain``, ``ship``, ``limit`` restrict."""
        try:
            text, scope, limit = _question(asked)
        except ValueError as exc:
            return 422, {"title": "wrong question", "detail": str(exc)}
        found = await self._retriever.search(text, ("runbook",), scope, limit)
        items = [one.model_dump(mode="json") for one in found.documents]
        return 200, {"items": items, "lexical": found.lexical}

    async def index(self, _: Mapping[str, str]) -> tuple[int, object]:
        """Read the folder now; answers when the vectors are those of the folder."""
        done: dict[str, Any] = (await self._indexing.round())._asdict()
        return 200, done


def _question(asked: Mapping[str, str]) -> tuple[str, Scope, int]:
    text = asked.get("q", "").strip()
    if not text:
        raise ValueError("q: a text to search for is missing")
    limit = asked.get("limit", str(SHOWN))
    if not (limit.isdecimal() and 1 <= int(limit) <= SHOWN_MOST):
        raise ValueError(f"limit: a number from 1 to {SHOWN_MOST} is expected")
    domain = asked.get("domain", "")
    if domain and domain not in {*Domain}:
        raise ValueError(f"domain: one of {', '.join(Domain)} is expected")
    return text, Scope(asked.get("ship", ""), domain), int(limit)
