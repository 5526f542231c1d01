"""Sections of ``policies/detect.yaml`` about what detectors learn: templates, metrics, gaps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from aiops_core.models import Fraction, Severity, Text
from aiops_core.policy.file import Section
from anomaly_detection.policy_rules import Judgement, Positive


class NewTemplateRule(Judgement):
    """A template seen for the first time, on a device known for *warm_up*."""

    warm_up: Positive
    most_per_day: int = Field(ge=1, le=100)


class ExcessRule(Judgement):
    """More lines in a window than *least*, and *factor* times more than the recent maximum."""

    least: int = Field(ge=2)
    factor: float = Field(gt=1)


class RateRule(ExcessRule):
    """The same for one template; *window* and *warm_up* hold for all counts."""

    window: Positive
    warm_up: Positive


class DropRule(Judgement):
    """No lines for *windows* in a row of a template that usually has *least* or more in each."""

    least: int = Field(ge=2)
    windows: int = Field(ge=2)


class MixRule(Judgement):
    """A *share* of the lines of a *window* differs from the usual mix.

    The share must be *factor* times the recent maximum, in a window of *least* lines or more.
    """

    window: Positive
    warm_up: Positive
    least: int = Field(ge=10)
    share: Fraction
    factor: float = Field(gt=1)


class SilenceRule(Judgement):
    """A device with *lines* over *warm_up* is silent while others speak.

    Silent means: for *least*, and for *factor* times its longest pause so far.
    """

    warm_up: Positive
    lines: int = Field(ge=2)
    least: Positive
    factor: float = Field(gt=1)


class Templates(Section):
    """*kept*: template groups of one ship; the least recently used are evicted."""

    kept: int = Field(ge=16, le=100_000)
    new: NewTemplateRule
    rate: RateRule
    drop: DropRule
    errors: ExcessRule
    mix: MixRule
    silence: SilenceRule

    def excess(self, of_errors: bool) -> ExcessRule:
        return self.errors if of_errors else self.rate


class Deviation(StrEnum):
    """The ways in which a series of readings can be abnormal without a rule."""

    OUTLIER = "outlier"
    SHIFT = "shift"
    UNSTEADY = "unsteady"
    STUCK = "stuck"


class DeviationJudgement(Section):
    """Name and severity of a finding whose score is measured."""

    anomaly_type: Text
    severity: Severity


class Gaps(Judgement):
    """A sender of *readings* or more stops for *least*, and *factor* times its longest pause."""

    readings: int = Field(ge=2)
    least: Positive
    factor: float = Field(gt=1)


class Metrics(Section):
    """How the readings of a series are judged by its own history."""

    margin: float = Field(gt=0)
    readings: int = Field(ge=50)
    known_for: Positive
    accept_after: Positive
    kinds: Mapping[Deviation, DeviationJudgement]

    @model_validator(mode="after")
    def _all_kinds(self) -> Self:
        if missing := set(Deviation) - set(self.kinds):
            raise ValueError(f"kinds lacks {', '.join(sorted(missing))}")
        return self

    def tuned(self, scale: float, warm_up: timedelta | None) -> Metrics:
        """For a series that must deviate *scale* times more than normally.

        Readings within the known range are never reported, whatever the sensitivity.
        """
        margin = (1 + self.margin) * scale - 1 if scale > 1 else self.margin * scale
        tuned = {"margin": margin, "known_for": warm_up or self.known_for}
        return self.model_copy(update=tuned)
