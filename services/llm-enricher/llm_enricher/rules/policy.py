"""The section ``rules`` of ``policies/llm.yaml``: how causes are weighed, what is said of none."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from aiops_core.models import Domain, Fraction
from aiops_core.policy.file import Section
from llm_enricher.rules.packs import Filled


class UnknownCause(Section):
    """What is said where no rule fits: the impact, and what to look at first."""

    impact: Filled
    recommendations: Annotated[tuple[Filled, ...], Field(min_length=1, max_length=6)]


class Weights(Section):
    """What is added to the confidence of a rule when rules are compared.

    *origin*: at the anomaly that correlation takes for the origin; *origin_device*: on its device.
    *explains*: times the share of the members that it explains. *beside* is taken off when it is
    about a line that was no anomaly.
    """

    origin: Fraction
    origin_device: Fraction
    explains: Fraction
    beside: Fraction


class RulesPolicy(Section):
    """*second_fault*: the least confidence of a cause that is named beside the first one.

    *unsure_below*: with less, an explanation says that the cause is not known yet.
    """

    weights: Weights
    second_fault: Fraction
    unsure_below: Fraction
    unknown: dict[Domain, UnknownCause]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := set(Domain) - set(self.unknown):
            raise ValueError(f"unknown lacks the domain {missing.pop()}")
        return self
