"""``policies/llm.yaml``: the table of explanations by rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import Formatter
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from aiops_core.models import Domain, Fraction, Text
from aiops_core.policy.file import Policy, Section
from llm_enricher.retrieval.policy import RetrievalPolicy

# Placeholders in texts, and their words for an incident without a value.
PLACEHOLDERS = {
    "device": "the affected device",
    "service": "the service",
    "peer": "a remote address",
    "count": "several",
    "user": "an account",
    "interface": "an interface",
    "path": "a volume",
    "process": "a process",
}


def _compiles(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from exc
    if unknown := set(groups) - set(PLACEHOLDERS):
        raise ValueError(f"unknown group {', '.join(sorted(unknown))}: try {_known()}")
    return pattern


def _known() -> str:
    return ", ".join(PLACEHOLDERS)


class Explanation(Section):
    """Texts; ``{placeholders}`` are filled from the incident."""

    root_cause: Text
    impact: Text
    recommendations: Annotated[tuple[Text, ...], Field(min_length=1, max_length=6)]
    confidence: Fraction

    @model_validator(mode="after")
    def _known_placeholders(self) -> Self:
        for text in (self.root_cause, self.impact, *self.recommendations):
            if unknown := set(_placeholders(text)) - set(PLACEHOLDERS):
                raise ValueError(f"unknown placeholder {{{unknown.pop()}}}: try {_known()}")
        return self


def _placeholders(text: str) -> Iterator[str]:
    return (name for _, name, _, _ in Formatter().parse(text) if name is not None)


class ExplanationRule(Explanation):
    """Applies to an anomaly of one of the domains, types and senders whose text matches a pattern.

    ``types`` are globs, ``senders`` globs for device or service, ``patterns`` regular expressions
    without regard to case; named groups fill placeholders. What is not given does not restrict, but
    one of types and patterns must be given.
    """

    id: Text
    domains: tuple[Domain, ...] = ()
    types: tuple[Text, ...] = ()
    senders: tuple[Text, ...] = ()
    patterns: tuple[Text, ...] = ()

    @field_validator("patterns")
    @classmethod
    def _patterns_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_compiles(pattern) for pattern in patterns)

    @model_validator(mode="after")
    def _restricts(self) -> Self:
        if not (self.types or self.patterns):
            raise ValueError("a rule needs types or patterns; what fits all belongs to generic")
        return self


class LlmPolicy(Policy):
    """Rules in the order in which they are tried, and per domain what is said when none applies."""

    file: ClassVar[str] = "llm.yaml"

    retrieval: RetrievalPolicy
    rules: tuple[ExplanationRule, ...]
    generic: dict[Domain, Explanation]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        ids = [rule.id for rule in self.rules]
        if doubled := {id for id in ids if ids.count(id) > 1}:
            raise ValueError(f"two rules are called {doubled.pop()}")
        if missing := set(Domain) - set(self.generic):
            raise ValueError(f"generic lacks the domain {missing.pop()}")
        return self
