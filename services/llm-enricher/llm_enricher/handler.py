"""Facts about incidents in, the incidents with their explanations out.

Whenever an explanation is due anew the first answer is made at once, and the model is asked for a
second one. Which explanations exist is read from those that are published.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiops_core.models import (
    EnrichedIncident,
    Incident,
    IncidentCleared,
    IncidentTransitioned,
    IncidentUpdated,
    Message,
    Stages,
)
from aiops_core.observability import metrics
from aiops_core.runtime.bus import Bus, Outgoing, Stored
from aiops_core.runtime.publishing import Publishing
from aiops_core.runtime.received import Handled, HandledBatch, Received
from aiops_core.runtime.service import Background, Handler, Service, Tuning
from aiops_core.runtime.unreadable import read_stored, skip
from aiops_core.runtime.watched import Watched
from aiops_core.suppression.ship import Ship
from llm_enricher import NAME
from llm_enricher.answering.cache import AnswerCache
from llm_enricher.answering.current import (
    CurrentIncident,
    IncidentFact,
    Incidents,
    answer_of,
)
from llm_enricher.answering.due import ExplainedState, Reason, due
from llm_enricher.answering.first import FirstAnswers
from llm_enricher.answering.policy import AnsweringPolicy
from llm_enricher.answering.ports import GathererPort, ModelPort, RetrieverPort, RulesPort
from llm_enricher.answering.questions import Questions
from llm_enricher.answering.second import NO_PLACE, SecondAnswers
from llm_enricher.attempt import attempt

CONCURRENCY = 32  # facts at once; each waits for what its first answer is made of
CAUGHT_UP_WITHIN = 5.0  # seconds, of one incident
WHERE = "llm-enricher.facts"  # what is skipped at the start
LOAD_WITHIN = 5.0  # seconds, for what people declared
FACTS: tuple[type[Message], ...] = (
    Incident,
    IncidentUpdated,
    IncidentCleared,
    IncidentTransitioned,
)
OLDER = [kind.subject for kind in (Incident, IncidentCleared, IncidentTransitioned)]
OLDER.append(EnrichedIncident.subject)
HISTORY = [*(kind.subject for kind in FACTS), EnrichedIncident.subject]


def message_id(answer: EnrichedIncident) -> str:
    """The same for every answer to the same state from the same source."""
    insights = answer.llm_insights
    state = f"{insights.of_revision}.{insights.of_change}"
    return f"{NAME}/{answer.id}/{state}/{insights.source}"


@dataclass(frozen=True)
class Sources:
    """What answers are made of. None: this ship does not have it. *cache* keeps the answers of
    *model*; *ship* is what people declared, which *gatherer* reads."""

    rules: RulesPort
    gatherer: GathererPort | None = None
    retriever: RetrieverPort | None = None
    model: ModelPort | None = None
    cache: AnswerCache | None = None
    ship: Watched[Ship] | None = None


class Insight:
    """The incidents that are known, and what makes answers to them. *sink* publishes."""

    def __init__(self, policy: AnsweringPolicy, sources: Sources, sink: Publishing) -> None:
        self._policy, self._sink, self._ship = policy, sink, sources.ship
        questions = Questions(sources.gatherer, sources.retriever)
        cache = sources.cache if sources.model else None
        self._first = FirstAnswers(questions, sources.rules, cache, policy)
        self.incidents = Incidents()
        self._in_hand: dict[str, ExplainedState] = {}  # states that are being explained
        self.second: SecondAnswers | None = None
        if sources.model:
            self.second = SecondAnswers(
                policy,
                sources.model,
                questions,
                self._first,
                cache,
                incidents=lambda: self.incidents,
                publish=self._publish,
            )

    @property
    def handlers(self) -> dict[type[Message], Handler]:
        return dict.fromkeys(FACTS, self.handle)

    async def handle(self, received: Received[Any]) -> Sequence[EnrichedIncident]:
        fact = received.message
        current = self.incidents.fold(fact)
        if current is None:
            return ()
        if self.second:
            self.second.follow(current)
        returned = isinstance(fact, IncidentUpdated) and fact.reopens
        answer = await self.renewed(current.incident.id, fact.stages, returned=returned)
        return [answer] if answer else ()

    async def renewed(
        self, incident_id: str, stages: Stages, *, returned: bool = False
    ) -> EnrichedIncident | None:
        """The first answer to the state that the incident has now, if one is due. *returned*: a
        fact says that it is open again."""
        current = self.incidents.get(incident_id)
        if current is None or not self._due(current, returned):
            return None
        state = self._in_hand[incident_id] = current.state
        try:
            made = await self._first.answer(current)
        finally:
            if self._in_hand.get(incident_id) is state:
                del self._in_hand[incident_id]
        insights = made.insights
        if insights.source == "rules":
            missing = (*insights.missing, *self._asked_for(incident_id))
            insights = insights.model_copy(update={"missing": missing})
        answer = answer_of(current, insights, made.similar, stages)
        self.incidents.fold(answer)
        return answer

    def _due(self, current: CurrentIncident, returned: bool) -> Reason | None:
        """Why an answer is due. What is over is explained only if nothing has explained it yet.

        What has *returned* is always explained: a later process may not read that fact.
        """
        before = self._in_hand.get(current.incident.id) or current.answered
        reason = due(before, current.state, self._policy.renewal)
        if reason is None and returned and before and before.place < current.state.place:
            reason = "occurrence"
        return reason if current.is_open or reason == "first" else None

    def _asked_for(self, incident_id: str) -> tuple[str, ...]:
        """Ask the model about the incident as it is by now; what the first answer lacks if not."""
        if self.second is None:
            metrics.LLM_FALLBACKS.labels("no_model").inc()
            return ()
        current = self.incidents.get(incident_id)
        if current and current.is_open and not self.second.offer(current):
            return (NO_PLACE,)
        return ()

    async def _publish(self, answer: EnrichedIncident) -> None:
        """Of an answer that no single fact has caused."""
        await self._sink.put(HandledBatch([Handled([Outgoing(answer, message_id(answer))])]))

    # -- starting ---------------------------------------------------------------------------------

    @property
    def background(self) -> Sequence[Background]:
        watching = [self._ship.keep] if self._ship else []
        return [self._catch_up, *watching, *(self.second.background if self.second else ())]

    async def recover(self, bus: Bus) -> None:
        """Read what people declared, then fold what is published. It can be interrupted and
        repeated.

        Of what is older than ``memory`` no updates are read, which are most of all facts: the last
        explanation contains the incident as it was, and none of those after it made one due.
        """
        if self._ship:
            await self._ship.load(LOAD_WITHIN)
        incidents = Incidents()
        newest = [stored for subject in HISTORY if (stored := await bus.newest(subject))]
        if newest:
            since = max(stored.at for stored in newest) - self._policy.memory
            older = bus.history(OLDER, since=since - self._policy.older)
            await _fold(incidents, older, until=since)
            await _fold(incidents, bus.history(HISTORY, since=since))
        self.incidents = incidents
        if self.second:
            self.second.begin(incidents.open())

    async def _catch_up(self) -> None:
        """Explain anew what a former process did not, as it judged otherwise. What it had not
        acknowledged comes again by itself."""
        explained = [one.incident.id for one in self.incidents.open() if one.answered]
        for incident_id in explained:
            made = await attempt(self.renewed(incident_id, {}), CAUGHT_UP_WITHIN, "renewal")
            if made.value:
                await self._publish(made.value)

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        """Tell how much there is."""
        sizes = {
            "incidents": len(self.incidents),
            "waiting": self.second.waiting if self.second else 0,
        }
        for name, size in sizes.items():
            metrics.STATE_SIZE.labels(NAME, name).set(size)
        return ()


async def _fold(
    incidents: Incidents, history: AsyncIterator[Stored], until: datetime | None = None
) -> None:
    async for stored in history:
        if until and stored.at >= until:
            break
        fact = read_stored(stored, WHERE)
        if not isinstance(fact, IncidentFact):
            continue
        try:
            incidents.fold(fact)
        except Exception as exc:  # noqa: BLE001 - a bug; live, the runtime buries such a fact
            skip(WHERE, f"{stored.subject} {stored.sequence}", exc)


def insight_service(
    policy: AnsweringPolicy, sources: Sources, loops: Sequence[Background] = ()
) -> Service:
    """*loops* are those of the sources, which live with the service."""
    sink = Publishing(stage="insight")
    insight = Insight(policy, sources, sink)
    return Service(
        NAME,
        insight.handlers,
        sink,
        path="insight",
        tuning=Tuning(concurrency=CONCURRENCY),
        recover=insight.recover,
        tick=insight.tick,
        background=[*insight.background, *loops],
    )
