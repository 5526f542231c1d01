"""The parts of retrieval together, as llm-enricher runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from aiops_core.adapters.clickhouse import ClickHouse
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.launch import Context
from llm_enricher.retrieval.corpus import Corpus
from llm_enricher.retrieval.embedding import missing_package
from llm_enricher.retrieval.endpoints import RunbookEndpoints
from llm_enricher.retrieval.incident_table import ResolvedIncidents
from llm_enricher.retrieval.indexing import Indexing
from llm_enricher.retrieval.passage import Redact
from llm_enricher.retrieval.policy import RetrievalPolicy
from llm_enricher.retrieval.retriever import Retriever
from llm_enricher.retrieval.worker_process import NoVectors, Vectors, WorkerProcess, command

NOTE = "retrieval"  # in ``/ready``


@contextlib.asynccontextmanager
async def retrieval(
    context: Context, policy: RetrievalPolicy, redact: Redact
) -> AsyncIterator[Retriever]:
    """Documents from here on: from the runbooks at once, the rest follows."""
    settings, corpus = context.settings, Corpus(policy.incidents.kept)
    async with (
        ClickHouse.open(settings.clickhouse_url, threads=1) as store,
        _vectors(settings, context.readiness) as vectors,
    ):
        table = ResolvedIncidents(store, redact)
        indexing = Indexing(corpus, vectors, table, settings.policies, policy)
        retriever = Retriever(corpus, vectors, policy, redact)
        context.routes.update(RunbookEndpoints(corpus, retriever, indexing).routes())
        async with _running(indexing.keep()):
            yield retriever


@contextlib.asynccontextmanager
async def _vectors(settings: Settings, readiness: Readiness) -> AsyncIterator[Vectors]:
    def note(problem: str | None) -> None:
        readiness.notes.pop(NOTE, None)
        if problem:
            readiness.notes[NOTE] = f"by words alone: {problem}"

    if missing := missing_package():
        reason = f"{missing} is not installed (embedding.lock of llm-enricher)"
        note(reason)
        yield NoVectors(reason)
        return
    place = settings.qdrant_url or str(settings.vectors)
    worker = WorkerProcess(command(place), note)
    async with _running(worker.keep()):
        yield worker


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """*work* beside what is inside, cancelled after it; its error ends both."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()
