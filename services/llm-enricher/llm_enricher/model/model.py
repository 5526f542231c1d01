"""The language model of the service: what it is asked, while it may be asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Final

from aiops_core.errors import Unavailable
from aiops_core.models import LlmInsights, Severity
from aiops_core.observability import metrics
from aiops_core.observability.probe import Readiness
from aiops_core.policy.settings import Settings
from aiops_core.runtime.bus import Bucket
from aiops_core.runtime.service import utc_now
from aiops_core.runtime.unreadable import skip
from aiops_core.utils import core_logger
from llm_enricher.attempt import attempt
from llm_enricher.model.acceptance import Examination, ModelVerdict, found, judge, key_of
from llm_enricher.model.asking import Asked, Asking
from llm_enricher.model.client import DEPENDENCY, HttpModelServer
from llm_enricher.model.examination import examine, this_host
from llm_enricher.model.policy import ModelPolicy
from llm_enricher.model.privacy import PrivacyPolicy
from llm_enricher.model.server import ModelCard, ModelFailure, ModelServer
from llm_enricher.question import Question
from llm_enricher.rules.harm import HarmfulAdvice

BUCKET: Final = "models"  # examinations, by model, host and way of asking
NOTE: Final = "model"  # in /ready
LOOK_EVERY: Final = 30.0  # seconds between two looks at what the server has
LOOK_WITHIN: Final = (
    3600.0  # seconds of one look with an examination, each call of which has limits
)
WHERE: Final = "llm-enricher.examinations"
log = core_logger("model")


class Model:
    """One model on one server. ``watch`` runs beside ``explain`` and decides whether it answers."""

    def __init__(
        self,
        server: ModelServer,
        policy: ModelPolicy,
        privacy: PrivacyPolicy,
        *,
        kept: Bucket,
        readiness: Readiness,
        host: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """*clock* gives the time of examinations. Raises Misconfigured."""
        self._server, self._policy = server, policy
        self._asking = Asking(server, policy, privacy)
        self._kept, self._readiness, self._host, self._clock = kept, readiness, host, clock
        self._examined: tuple[str, Examination] | None = None  # and its key
        self._verdict = ModelVerdict("unchecked", f"{policy.name} was not examined yet")
        readiness.needs(DEPENDENCY, required=False)
        self._rule(self._verdict)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        policy: ModelPolicy,
        privacy: PrivacyPolicy,
        kept: Bucket,
        readiness: Readiness,
    ) -> AsyncIterator[Model | None]:
        """None when the settings name no server. Raises Misconfigured."""
        url = settings.llm_url
        if not url:
            yield None
            return
        async with HttpModelServer.open(url, settings.llm_api, settings.llm_token) as server:
            host = await this_host(url)
            yield cls(server, policy, privacy, kept=kept, readiness=readiness, host=host)

    @property
    def verdict(self) -> ModelVerdict:
        return self._verdict

    @property
    def identity(self) -> str:
        """Of the model, this host and how it is asked: "" until it was examined."""
        return self._examined[0] if self._examined else ""

    async def explain(
        self, question: Question, first: LlmInsights, forbidden: Sequence[HarmfulAdvice] = ()
    ) -> LlmInsights | None:
        """An explanation of which every part was checked; None when too little is left of it.

        *first* is the explanation that stands now, *forbidden* what must not be advised. Raises
        ModelFailure. A cancelled call ends the work of the server as well.
        """
        self.admit(question.incident.severity)
        try:
            asked = await self._asking.ask(question, first, forbidden)
        except ModelFailure as failure:
            metrics.LLM_FAILURES.labels(failure.kind).inc()
            raise
        _count(asked)
        return asked.insights

    def admit(self, severity: Severity) -> None:
        """Raises ModelFailure when the model is not asked about an incident of *severity*."""
        try:
            self._verdict.admit(severity, self._policy.acceptance)
        except ModelFailure as failure:
            metrics.LLM_FAILURES.labels(failure.kind).inc()
            raise

    async def watch(self) -> None:
        """Look for ever whether the server has the model, and examine one that is new; whatever
        became of the look before."""
        while True:
            await attempt(self.look(), LOOK_WITHIN, "look at the model")
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """One look. What was found out stays in force while the server is away."""
        try:
            cards = tuple(await self._server.models())
            self._readiness.up(DEPENDENCY)
            card = found(cards, self._policy.name)
            if card is None:
                self._rule(ModelVerdict("missing", self._remedy()))
            else:
                await self._examine(card)
        except ModelFailure as failure:
            self._readiness.down(DEPENDENCY, f"{failure.kind}: {failure}")

    def _remedy(self) -> str:
        name = self._policy.name
        return f"the server lacks {name}: {self._server.pull(name)}"

    async def _examine(self, card: ModelCard) -> None:
        key = key_of(card, self._host, self._policy)
        known = await self._known(key)
        rules = self._policy.acceptance
        if known is None or judge(known, rules).stale(known, self._clock(), rules):
            if known is None:
                self._rule(ModelVerdict("unchecked", f"{card.name} is being examined"))
            known = await examine(self._asking, self._policy, card, self._host, self._clock())
            await self._keep(key, known)
        self._examined = key, known
        self._rule(judge(known, rules))

    async def _known(self, key: str) -> Examination | None:
        if self._examined and self._examined[0] == key:
            return self._examined[1]
        try:
            stored = await self._kept.get(key)
            return None if stored is None else Examination.model_validate_json(stored)
        except Unavailable:
            return None
        except ValueError as exc:  # ValidationError is one
            skip(WHERE, key, exc)
            return None

    async def _keep(self, key: str, examined: Examination) -> None:
        try:
            await self._kept.put(key, examined.model_dump_json().encode())
        except Unavailable as exc:
            log.warning("examination not kept", reason=str(exc))

    def _rule(self, verdict: ModelVerdict) -> None:
        if verdict != self._verdict:
            log.info("model", standing=verdict.standing, reason=verdict.text)
        self._verdict = verdict
        self._readiness.notes[NOTE] = verdict.text
        metrics.LLM_ACCEPTED.set(verdict.standing in ("accepted", "too_slow"))


def _count(asked: Asked) -> None:
    for reason in asked.verification.dropped:
        metrics.LLM_DROPPED.labels(reason).inc()
