"""The process that has the model of embeddings and Qdrant: a JSON object in each line of standard
input, the answer in a line of standard output. It yields to all others (``nice``), and ends with
its standard input.

``{"id": 1, "do": "find", …}`` → ``{"id": 1, "result": …}``, or instead of the result ``away`` or
``refused`` with the reason: others will be answered later, or already now.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, BinaryIO

from aiops_core.errors import Misconfigured, Unavailable
from llm_enricher.retrieval.embedding import Embedder, MiniLm
from llm_enricher.retrieval.passage import Passage
from llm_enricher.retrieval.vectors import VectorStore

NICE = 10
Request = Mapping[str, Any]


class RetrievalWorker:
    """Answers one request after the other."""

    def __init__(self, embedder: Embedder, store: VectorStore) -> None:
        self._embedder, self._store = embedder, store
        self._known: Mapping[str, Callable[[Request], Any]] = {
            "ensure": self._ensure,
            "stored": lambda it: self._store.stored(it["kind"]),
            "passages": lambda it: list(self._store.passages(it["kind"])),
            "put": self._put,
            "drop": lambda it: self._store.drop(it["kind"], it["points"]),
            "find": self._find,
        }

    def answer(self, request: Request) -> dict[str, Any]:
        try:
            return {"id": request["id"], "result": self._known[request["do"]](request)}
        except Unavailable as exc:
            return {"id": request["id"], "away": str(exc)}
        except Exception as exc:  # noqa: BLE001 - of a library; only what was asked is not done
            reason = " ".join(f"{request['do']} failed: {type(exc).__name__}: {exc}".split())
            return {"id": request["id"], "refused": reason[:300]}

    def _ensure(self, request: Request) -> dict[str, Any]:
        made = self._store.ensure()
        problems, self._store.problems = self._store.problems, []
        return {"made": made, "points": self._store.counts(), "problems": problems}

    def _put(self, request: Request) -> None:
        passages = [Passage.model_validate(one) for one in request["passages"]]
        vectors = self._embedder.embed([one.whole for one in passages])
        self._store.put(request["kind"], passages, vectors)

    def _find(self, request: Request) -> dict[str, Any]:
        started = time.perf_counter()
        [vector] = self._embedder.embed([request["text"]])
        embedded = time.perf_counter() - started
        hits = {
            kind: self._store.search(
                kind,
                vector,
                wanted=asked["wanted"],
                limit=asked["limit"],
                similarity=asked["similarity"],
            )
            for kind, asked in request["kinds"].items()
        }
        return {"hits": hits, "embed_seconds": embedded}


def serve(load: Callable[[], Embedder], place: str) -> None:
    """Answer until standard input ends. The first line says ``ready``, or why it never will be."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; we end with it
    os.nice(NICE)
    requests, answers = _requests(), _own_output()
    try:
        embedder = load()
        embedder.embed(["warm up"])
    except (Misconfigured, ImportError, OSError, ValueError, RuntimeError) as exc:
        _write(answers, {"problem": " ".join(str(exc).split())[:300]})
        return
    _write(answers, {"ready": embedder.name})
    store = VectorStore(place, embedder.name, embedder.size)
    worker = RetrievalWorker(embedder, store)
    while True:
        _write(answers, worker.answer(json.loads(requests.get())))


def _requests() -> SimpleQueue[bytes]:
    """The lines of standard input. With its end the process ends, whatever it does: its owner is
    gone, another one may be loading, and what is half stored is made anew."""
    requests: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            requests.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return requests


def _own_output() -> BinaryIO:
    """Standard output, for answers only: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _write(answers: BinaryIO, line: Mapping[str, Any]) -> None:
    try:
        answers.write(json.dumps(line).encode() + b"\n")
        answers.flush()
    except BrokenPipeError:  # whoever asked is gone
        os._exit(0)


if __name__ == "__main__":
    serve(MiniLm, sys.argv[1])
