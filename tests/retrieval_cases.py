"""Parts of retrieval for tests: passages, incidents, a policy, and a stand-in for the model of
embeddings that knows a few synonyms. As a process: ``python -m tests.retrieval_cases FOLDER``."""

from __future__ import annotations

import math
import sys
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiops_core.errors import Unavailable
from aiops_core.models import Incident
from llm_enricher.question import Question
from llm_enricher.retrieval.incident_table import ResolvedPage
from llm_enricher.retrieval.passage import Passage
from llm_enricher.retrieval.policy import RetrievalPolicy
from llm_enricher.retrieval.terms import terms
from llm_enricher.retrieval.worker import RetrievalWorker, serve
from llm_enricher.retrieval.worker_process import result_of

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICY = RetrievalPolicy.model_validate(
    {
        "documents": 5,
        "candidates": 20,
        "rank_constant": 60,
        "budget_ms": 5000,
        "refresh_s": 1,
        "batch": 3,
        "runbooks": {"similarity": 0.2, "words": 0.1, "filters": ("ship", "domain")},
        "incidents": {
            "similarity": 0.2,
            "words": 0.1,
            "filters": ("ship",),
            "kept": 50,
        },
    }
)
SYNONYMS = {"dish": "antenna", "sky": "satellit", "sailor": "guest", "passeng": "guest"}


class WordEmbedder:
    """Texts with the same words, or synonyms of them, have the same direction."""

    def __init__(self, size: int = 1024, name: str = "words") -> None:
        self.size, self.name = size, name

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        counts = Counter(SYNONYMS.get(term, term) for term in terms(text))
        vector = [0.0] * self.size
        for term, count in counts.items():
            vector[zlib.crc32(term.encode()) % self.size] += count
        length = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / length for x in vector]


class InlineVectors:
    """A worker in this process. *away*: why it does not answer."""

    def __init__(self, worker: RetrievalWorker | None) -> None:
        self.worker = worker
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def ask(self, do: str, **request: Any) -> Any:
        if self.worker is None:
            raise Unavailable("there is none")
        self.asked.append((do, request))
        answer = self.worker.answer({"id": 1, "do": do, **request})
        return result_of(answer)

    def embedded(self) -> list[str]:
        """Ids of the passages that were embedded, in order."""
        puts = (request for do, request in self.asked if do == "put")
        return [one["id"] for request in puts for one in request["passages"]]


class TableOf:
    """A table of resolved incidents. *away*: it does not answer."""

    def __init__(self, *passages: Passage) -> None:
        self.passages = list(passages)
        self.open: list[str] = []
        self.away = False

    async def changed(self, since: tuple[datetime, str]) -> ResolvedPage:
        if self.away:
            raise Unavailable("clickhouse does not answer")
        return ResolvedPage(list(self.passages), list(self.open), since, False)


def runbook(id: str, text: str, title: str = "", **fields: Any) -> Passage:
    return Passage(kind="runbook", id=id, title=title or id, text=text, **fields)


def resolved(id: str, text: str, resolution: str = "", **fields: Any) -> Passage:
    base = {"kind": "incident", "id": id, "title": text, "text": text, "resolution": resolution}
    return Passage.model_validate(base | {"ship": ("s1",), "domain": ("net",)} | fields)


def asking(title: str, **fields: Any) -> Question:
    base = {
        "tracking_id": "t",
        "ship_id": "s1",
        "ts": NOON,
        "id": "asked",
        "title": title,
        "severity": "high",
        "domain": "net",
        "first_seen": NOON,
        "last_seen": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Question(incident=Incident.model_validate(base | fields))


def write_runbooks(policies: Path, files: Mapping[str, str]) -> None:
    folder = policies / "runbooks"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text)


if __name__ == "__main__":
    serve(WordEmbedder, sys.argv[1])
