"""The section ``model`` of ``policies/llm.yaml``: which model, how much of it, what is believed."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from aiops_core.models import Fraction, Severity, Text
from aiops_core.policy.file import Section

Seconds = Annotated[float, Field(gt=0, le=600)]


class ModelLimits(Section):
    """What one question may cost. Tokens are estimated for the prompt, counted for the answer."""

    prompt_tokens: int = Field(300, ge=150, le=8000)
    answer_tokens: int = Field(120, ge=40, le=2000)
    first_token: Seconds = 10  # until the model begins to answer, reading the prompt included
    whole_answer: Seconds = 60

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first_token > self.whole_answer:
            raise ValueError("first_token is longer than whole_answer")
        return self


class AcceptanceRules(Section):
    """What a model must show on this host before it is used.

    A model below *tokens_per_second* or above *seconds* per answer is slow; then it is asked only
    about incidents of *slow_severities*. Refusals and slowness may be due to a busy host: they are
    examined again after *again_after* hours.
    """

    valid: Fraction = 1.0  # share of answers that are JSON by the schema
    verified: Fraction = 0.6  # share of answers that keep a cause and a citation after the checks
    tokens_per_second: float = Field(8, gt=0)
    seconds: Seconds = 20
    slow_severities: tuple[Severity, ...] = (Severity.CRITICAL,)
    again_after: float = Field(24, gt=0)


class ConfidenceTable(Section):
    """How far an answer is believed, by what the checks found; the model's own word only lowers."""

    documented: Fraction = 0.7  # nothing was dropped, and a document is cited as well
    complete: Fraction = 0.6  # nothing was dropped
    reduced: Fraction = 0.45  # something was dropped, the cause stands
    unsure: Fraction = 0.35  # at most this much when the model itself calls it unsure


class VerificationRules(Section):
    """Regexes, without regard to case, of what an answer may not say; and words that need no fact.

    *steering*: text in a fact that speaks to the model instead of about the ship. *denials*: that
    nothing is wrong. *advice*: free text tells nobody what to do, recommendations are chosen from
    what is offered. *forbidden*: advice that is harmful, whoever offers it.
    """

    model_config = ConfigDict(ignored_types=(cached_property,))

    steering: tuple[Text, ...]
    denials: tuple[Text, ...]
    advice: tuple[Text, ...]
    forbidden: tuple[Text, ...]
    general_words: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _compile(self) -> Self:
        for pattern in (*self.steering, *self.denials, *self.advice, *self.forbidden):
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"{pattern!r} is no regular expression: {exc}") from exc
        return self

    def steers(self, text: str) -> bool:
        return self._any["steering"].search(text) is not None

    def denies(self, text: str) -> bool:
        return self._any["denials"].search(text) is not None

    def advises(self, text: str) -> bool:
        return self._any["advice"].search(text) is not None

    def forbids(self, text: str) -> bool:
        return self._any["forbidden"].search(text) is not None

    @cached_property
    def _any(self) -> dict[str, re.Pattern[str]]:
        kinds = ("steering", "denials", "advice", "forbidden")
        return {kind: _either(getattr(self, kind)) for kind in kinds}


def _either(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{it})" for it in patterns) or r"(?!)", re.IGNORECASE)


class ModelPolicy(Section):
    """*name* as its server calls it. *options* go to the server as they are, under Ollama's names;
    *prompt* is a file of ``prompts/``, whose name is its version."""

    name: Text = "phi3:mini"
    prompt: Text = "explain-1"
    keep_alive: Text = "30m"
    options: dict[str, float | int | str] = Field(default_factory=dict)
    limits: ModelLimits = ModelLimits()
    acceptance: AcceptanceRules = AcceptanceRules()
    confidence: ConfidenceTable = ConfidenceTable()
    verification: VerificationRules
