"""One question to a model, and what is believed of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiops_core.models import LlmInsights
from llm_enricher.model.answer import CHOSEN_MOST, ModelAnswer, read_answer, schema
from llm_enricher.model.briefing import Briefing, brief
from llm_enricher.model.policy import ModelPolicy
from llm_enricher.model.privacy import PrivacyPolicy, Redaction
from llm_enricher.model.prompt import Prompt, PromptFile, prompt_file
from llm_enricher.model.server import ChatRequest, ModelServer, Reply
from llm_enricher.model.verification import Verification, Verified, verify
from llm_enricher.question import Question
from llm_enricher.rules.harm import HarmfulAdvice


@dataclass(frozen=True)
class Asked:
    """*insights* is None when too little of the answer is believed."""

    prompt: Prompt
    reply: Reply
    answer: ModelAnswer
    verification: Verification
    insights: LlmInsights | None


class Asking:
    """Raises Misconfigured when the policy names a prompt that is not there."""

    def __init__(self, server: ModelServer, policy: ModelPolicy, privacy: PrivacyPolicy) -> None:
        self._server, self._policy, self._privacy = server, policy, privacy
        self._prompts: PromptFile = prompt_file(policy.prompt)

    async def ask(
        self,
        question: Question,
        first: LlmInsights,
        forbidden: Sequence[HarmfulAdvice] = (),
        *,
        first_token: float | None = None,
    ) -> Asked:
        """*first* is the explanation that stands now, *forbidden* what must not be advised.
        *first_token*: other seconds than those of the policy. Raises ModelFailure."""
        redaction = Redaction(self._privacy)
        prompt = self.prompt(question, first, redaction, forbidden)
        reply = await self._server.ask(self._request(prompt, first_token))
        answer = read_answer(reply.text, cut=reply.cut)
        found = verify(answer, prompt.briefing, self._policy.verification, self._policy.confidence)
        insights = self._insights(found.left, prompt.briefing, reply, redaction)
        return Asked(prompt, reply, answer, found, insights)

    def prompt(
        self,
        question: Question,
        first: LlmInsights,
        redaction: Redaction,
        forbidden: Sequence[HarmfulAdvice] = (),
    ) -> Prompt:
        briefing = brief(question, first, redaction, self._policy.verification, forbidden)
        return self._prompts.fill(briefing, self._policy.limits.prompt_tokens)

    def _request(self, prompt: Prompt, first_token: float | None) -> ChatRequest:
        limits = self._policy.limits
        return ChatRequest(
            model=self._policy.name,
            system=prompt.system,
            user=prompt.user,
            schema=schema(prompt.briefing),
            options=self._policy.options,
            keep_alive=self._policy.keep_alive,
            answer_tokens=limits.answer_tokens,
            first_token=first_token or limits.first_token,
            whole_answer=limits.whole_answer,
        )

    def _insights(
        self, left: Verified | None, briefing: Briefing, reply: Reply, redaction: Redaction
    ) -> LlmInsights | None:
        if left is None:
            return None
        return LlmInsights(
            root_cause=redaction.restore(left.root_cause),
            impact=redaction.restore(left.impact),
            recommendations=_recommended(left, briefing.offers, redaction),
            narrative=redaction.restore(left.narrative),
            confidence=left.confidence,
            citations=left.citations,
            source="llm",
            model=self._policy.name,
            latency_ms=reply.total * 1000,
        )


def _recommended(
    left: Verified, offers: Mapping[str, str], redaction: Redaction
) -> tuple[str, ...]:
    """What it chose; of one that chose nothing the first offers."""
    chosen = left.recommendations or tuple(offers.values())[:CHOSEN_MOST]
    return tuple(redaction.restore(text) for text in chosen)
