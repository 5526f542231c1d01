"""The worker as a child process: it is started, asked, and started again when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aiops_core.errors import Unavailable
from aiops_core.utils import core_logger

log = core_logger("retrieval")

LINE_MOST = 64 * 1024 * 1024  # bytes of an answer: all passages of a collection
LOADS_WITHIN = 300.0  # seconds that the model may take to load, on a busy host
ANSWERS_WITHIN = 60.0  # seconds for one request; then the process hangs and is ended
WAITS = (1.0, 5.0, 30.0, 60.0)  # seconds before each next start
LOADING = "the model of embeddings is being loaded"
LATE = "the process of embeddings is late with an answer that nobody waits for any more"


class RefusedByWorker(Unavailable):
    """A library raises on what was asked; other requests are answered."""


class Vectors(Protocol):
    """What has the vectors; ``worker.py`` says what it can do. Raises Unavailable, of which
    RefusedByWorker is one."""

    async def ask(self, do: str, **request: Any) -> Any: ...


class NoVectors:
    """In the place of a worker that cannot be; *reason* says why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def ask(self, do: str, **request: Any) -> Any:
        raise Unavailable(self._reason)


class WorkerProcess:
    """One process at a time. *on_state* is told why there is none that answers, or None."""

    def __init__(self, command: Sequence[str], on_state: Callable[[str | None], None]) -> None:
        self._command, self._on_state = command, on_state
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = itertools.count(1)
        self._turn = asyncio.Lock()
        self._problem: str | None = LOADING
        self._late: asyncio.Future[dict[str, Any]] | None = None  # what nobody waits for any more
        self._fruitless = 0  # starts in a row after which it did not answer

    async def keep(self) -> None:
        """Keep one running until cancelled; it is then ended.

        Returns when a worker says that it cannot work here.
        """
        self._say(LOADING)
        while await self._run():
            await asyncio.sleep(WAITS[min(self._fruitless, len(WAITS) - 1)])
            self._say(LOADING)

    async def ask(self, do: str, **request: Any) -> Any:
        """Its result. Raises Unavailable without a process, or when Qdrant is away.

        Who is cancelled leaves the answer to come. Until then ``find`` is refused at once, and
        everything else waits: questions that nobody waits for never pile up in the process.
        """
        if do == "find" and self._is_late:
            raise Unavailable(LATE)
        async with self._turn:
            if self._late:
                await asyncio.wait({self._late})
            process = self._process
            if process is None or self._problem:
                raise Unavailable(self._problem or LOADING)
            number = next(self._numbers)
            answering = asyncio.ensure_future(
                self._answer(process, {"id": number, "do": do, **request})
            )
            try:
                answer = await asyncio.shield(answering)
            except asyncio.CancelledError:
                self._late = answering
                raise
        return result_of(answer)

    @property
    def _is_late(self) -> bool:
        return self._late is not None and not self._late.done()

    async def _answer(
        self, process: asyncio.subprocess.Process, request: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                answer = await self._exchange(process, request)
        except (OSError, ValueError, TimeoutError) as exc:
            problem = f"the process of embeddings has failed: {exc or 'no answer'}"
            self._end(process, problem)
            return {"away": problem}
        self._fruitless = 0
        return answer

    async def _exchange(
        self, process: asyncio.subprocess.Process, request: dict[str, Any]
    ) -> dict[str, Any]:
        assert process.stdin
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
        answer = await _read(process)
        if answer.get("id") != request["id"]:
            raise ValueError("it answers what it was not asked")
        return answer

    async def _run(self) -> bool:
        """Start a process and wait until it ends; whether another one may do better."""
        self._fruitless += 1
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_MOST,
            )
        except OSError as exc:
            self._say(f"the process of embeddings does not start: {exc.strerror}")
            return True
        try:
            refused = await self._greet(process)
            code = await process.wait()
            self._say(refused or self._problem or f"the process of embeddings ended with {code}")
            return refused is None
        finally:
            self._process = None
            if self._late:
                self._late.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _greet(self, process: asyncio.subprocess.Process) -> str | None:
        """Wait until it is ready; why it says that it never will be."""
        try:
            async with asyncio.timeout(LOADS_WITHIN):
                greeting = await _read(process)
        except (OSError, ValueError, TimeoutError) as exc:
            self._end(process, f"the process of embeddings did not load: {exc or 'no answer'}")
            return None
        if refused := greeting.get("problem"):
            return str(refused)
        self._process = process
        self._say(None)
        return None

    def _end(self, process: asyncio.subprocess.Process, problem: str) -> None:
        self._say(problem)
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def _say(self, problem: str | None) -> None:
        if problem != self._problem:
            log.info("vectors", problem=problem)
        self._problem = problem
        self._on_state(problem)


def result_of(answer: Mapping[str, Any]) -> Any:
    """Raises what *answer* says instead of a result."""
    if away := answer.get("away"):
        raise Unavailable(away)
    if refused := answer.get("refused"):
        raise RefusedByWorker(refused)
    return answer["result"]


async def _read(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next line. Raises OSError at the end, ValueError for what is no JSON."""
    assert process.stdout
    line = await process.stdout.readline()
    if not line:
        raise BrokenPipeError("it has ended")
    answer: dict[str, Any] = json.loads(line)
    return answer


def command(place: str) -> list[str]:
    """How the worker of this service is started, over *place*."""
    return [sys.executable, "-m", "llm_enricher.retrieval.worker", os.fspath(place)]
