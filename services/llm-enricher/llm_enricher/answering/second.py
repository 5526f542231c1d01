"""The second answer: the model's, for the most severe incidents first.

Nothing here is lost by a kill: which open incidents the model has not explained follows from the
published facts, and ``begin`` asks for them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiops_core.models import EnrichedIncident, LlmInsights
from aiops_core.observability import metrics
from aiops_core.utils import core_logger
from llm_enricher.answering.breaker import Breaker
from llm_enricher.answering.cache import AnswerCache
from llm_enricher.answering.current import CurrentIncident, Incidents, answer_of
from llm_enricher.answering.due import ExplainedState, due
from llm_enricher.answering.first import FirstAnswers
from llm_enricher.answering.policy import AnsweringPolicy
from llm_enricher.answering.ports import ModelPort
from llm_enricher.answering.questions import GatheredQuestion, Questions
from llm_enricher.answering.queue import CallQueue, QueuedCall
from llm_enricher.attempt import attempt
from llm_enricher.model.server import ModelFailure

Publish = Callable[[EnrichedIncident], Awaitable[None]]
log = core_logger("second")

NOT_YET = ("unchecked", "missing")  # kinds of failures that end by themselves, or by a person
NOT_YET_FOR = 5.0  # seconds until such a model is asked again
STORED_WITHIN = 0.1  # seconds, for the table of the cache
KEPT_WITHIN = 5.0  # seconds
NO_PLACE = "model: its queue is full"


@dataclass(frozen=True)
class RunningCall:
    """A call about an incident in that state."""

    state: ExplainedState
    task: asyncio.Task[tuple[GatheredQuestion, LlmInsights | None]]


class SecondAnswers:
    """*incidents* gives the table that is in force; *publish* gets every answer once."""

    def __init__(
        self,
        policy: AnsweringPolicy,
        model: ModelPort,
        questions: Questions,
        first: FirstAnswers,
        cache: AnswerCache | None,
        *,
        incidents: Callable[[], Incidents],
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._model, self._questions = policy, model, questions
        self._first, self._cache = first, cache
        self._incidents, self._publish, self._clock = incidents, publish, clock
        self._queue = CallQueue(policy.queue)
        self._calls: dict[str, RunningCall] = {}
        self._changed = asyncio.Event()
        self._not_before = 0.0
        breaker = policy.breaker
        self.breaker = Breaker(breaker.failures, breaker.open_for.total_seconds())

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def background(self) -> Sequence[Callable[[], Coroutine[Any, Any, None]]]:
        """As many loops as there may be calls at once."""
        return [self._work] * self._policy.calls_at_once

    def begin(self, incidents: Iterable[CurrentIncident]) -> None:
        """Ask about all of *incidents* that the model has not explained as they are now; about
        nothing else."""
        self._queue = CallQueue(self._policy.queue)
        for current in incidents:
            if self._needed(current):
                self.offer(current)

    def offer(self, current: CurrentIncident, before: QueuedCall | None = None) -> bool:
        """Whether *current* has a place now: that of *before*, if it is asked about once more. What
        has none, or loses it, is counted and named."""
        incident = current.incident
        offer = self._queue.offer(incident.id, incident.severity, before)
        if offer.left:
            self._left_out(offer.left, "left its place")
        if not offer.placed:
            self._left_out(incident.id, "no place")
        self._changed.set()
        return offer.placed

    def follow(self, current: CurrentIncident) -> None:
        """A fact has changed *current*: nobody needs an answer about what is over, or was."""
        incident_id = current.incident.id
        if not current.is_open:
            self._queue.discard(incident_id)
        elif incident_id in self._queue:
            self._queue.offer(incident_id, current.incident.severity)
        call = self._calls.get(incident_id)
        if call and (not current.is_open or due(call.state, current.state, self._policy.renewal)):
            call.task.cancel()

    @staticmethod
    def _needed(current: CurrentIncident) -> bool:
        """Whether a state that has a first answer has none of the model."""
        answered, modelled = current.answered, current.modelled
        if not current.is_open or answered is None:
            return False
        return modelled is None or modelled.place < answered.place

    @staticmethod
    def _left_out(incident_id: str, reason: str) -> None:
        metrics.LLM_LEFT_OUT.labels(reason).inc()
        log.warning("the model is not asked", incident=incident_id, reason=reason)

    # -- calls ------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            queued = await self._next()
            current = self._incidents().get(queued.incident_id)
            if current and self._needed(current):
                await self._call(queued, current)
                continue
            self.breaker.gave_up()
            if current is None:
                self._left_out(queued.incident_id, "forgotten")

    async def _next(self) -> QueuedCall:
        """The most urgent, once the model may be asked."""
        while True:
            now = self._clock()
            wait = max(self.breaker.wait(now), self._not_before - now)
            if self._queue and wait <= 0 and self.breaker.admits(now):
                queued = self._queue.take()
                assert queued
                return queued
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait if self._queue and wait > 0 else None):
                    await self._changed.wait()

    async def _call(self, queued: QueuedCall, current: CurrentIncident) -> None:
        started = self._clock()
        task = asyncio.ensure_future(self._ask(current))
        self._calls[queued.incident_id] = RunningCall(current.state, task)
        try:
            limit = self._policy.answer_within.total_seconds()
            await asyncio.wait({task}, timeout=limit)
        finally:
            del self._calls[queued.incident_id]
            late = not task.done()
            task.cancel()
        if late:
            self._failed(queued, current, ModelFailure("late"))
        elif task.cancelled():  # by follow
            self.breaker.gave_up()
            self._retry(self._latest(current), queued)
        elif isinstance(failure := task.exception(), ModelFailure):
            self._failed(queued, current, failure)
        elif failure:
            log.error("call failed", incident=queued.incident_id, exc_info=failure)
            self._failed(queued, current, ModelFailure("failed"))
        else:
            await self._succeeded(current, *task.result(), took=self._clock() - started)
        self._tell()

    async def _ask(self, current: CurrentIncident) -> tuple[GatheredQuestion, LlmInsights | None]:
        self._model.admit(current.incident.severity)
        within = self._policy.facts_within.total_seconds()
        asked = await self._questions.about(current, within)
        if kept := await self._first.kept(asked.question, STORED_WITHIN):
            return asked, kept  # of a like one that was asked about meanwhile
        first = self._first.by_rules(asked.question)
        insights = await self._model.explain(asked.question, first.insights, first.forbidden)
        return asked, insights and insights.model_copy(update={"source": "llm"})

    async def _succeeded(
        self,
        current: CurrentIncident,
        asked: GatheredQuestion,
        insights: LlmInsights | None,
        took: float,
    ) -> None:
        is_new = insights is None or insights.source == "llm"
        if is_new:
            self.breaker.succeeded()
        else:
            self.breaker.gave_up()
        if insights is None:
            metrics.LLM_FALLBACKS.labels("unusable").inc()
            return
        missing = tuple(dict.fromkeys((*insights.missing, *asked.question.missing)))
        told = {"latency_ms": took * 1000, "missing": missing}
        insights = insights.model_copy(update=told)
        answer = answer_of(current, insights, asked.similar, {})
        self._incidents().fold(answer)
        await self._publish(answer)
        if self._cache and is_new:
            await attempt(self._cache.keep(asked.question, insights), KEPT_WITHIN, "cache")

    def _failed(self, queued: QueuedCall, current: CurrentIncident, failure: ModelFailure) -> None:
        """Once more, if that may help; otherwise the first answer stands."""
        now, id = self._clock(), queued.incident_id
        if failure.counts:
            self.breaker.failed(now)
        else:
            self.breaker.gave_up()
        latest = self._latest(current)
        again = failure.worth_retry and queued.failures < self._policy.retries
        if failure.kind in NOT_YET:
            self._not_before = now + NOT_YET_FOR
            self._retry(latest, queued)
        elif failure.counts and self.breaker.state(now) != "closed":
            self._retry(latest, queued)  # it is the model, whatever the question
        elif again:
            self._retry(latest, queued._replace(failures=queued.failures + 1))
        else:
            metrics.LLM_FALLBACKS.labels(failure.kind).inc()
            log.warning("no answer of the model", incident=id, kind=failure.kind)

    def _latest(self, current: CurrentIncident) -> CurrentIncident:
        return self._incidents().get(current.incident.id) or current

    def _retry(self, current: CurrentIncident, queued: QueuedCall) -> None:
        if self._needed(current) and current.incident.id not in self._queue:
            self.offer(current, queued)

    def _tell(self) -> None:
        is_open = self.breaker.state(self._clock()) != "closed"
        metrics.LLM_BREAKER_OPEN.set(is_open)
        self._changed.set()
