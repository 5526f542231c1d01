"""Sections ``metrics`` and ``gaps`` of ``policies/detect.yaml``: what is learned from readings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from aiops_core.models import Severity, Text
from aiops_core.policy.file import Section
from anomaly_detection.judgement import Judgement, Positive


class Kind(StrEnum):
    """What can be wrong with the readings of a series that nobody wrote a rule for."""

    OUTLIER = "outlier"
    SHIFT = "shift"
    UNSTEADY = "unsteady"
    STUCK = "stuck"


class Named(Section):
    """What a finding is called and how bad it is; its score is measured."""

    anomaly_type: Text
    severity: Severity


class Gaps(Judgement):
    """A sender of more than *readings* is missing after *factor* times its longest pause, and *least*."""

    readings: int = Field(ge=2)
    least: Positive
    factor: float = Field(gt=1)


class Metrics(Section):
    """How the readings of one series are judged by what was seen of it before."""

    margin: float = Field(gt=0)
    readings: int = Field(ge=50)
    known_for: Positive
    accept_after: Positive
    kinds: Mapping[Kind, Named]

    @model_validator(mode="after")
    def _all_kinds(self) -> Self:
        if missing := set(Kind) - set(self.kinds):
            raise ValueError(f"kinds lacks {', '.join(sorted(missing))}")
        return self

    def tuned(self, scale: float, warm_up: timedelta | None) -> Metrics:
        """For a series of which something must be *scale* times more unusual than normally.

        What lies within all that was seen is never told, however eager somebody is.
        """
        margin = (1 + self.margin) * scale - 1 if scale > 1 else self.margin * scale
        tuned = {"margin": margin, "known_for": warm_up or self.known_for}
        return self.model_copy(update=tuned)
