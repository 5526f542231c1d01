"""What every finding of a policy is called, and lengths of time."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from aiops_core.models import Fraction, Severity, Text
from aiops_core.policy.file import Section

Positive = Annotated[timedelta, Field(gt=timedelta(0))]


class Judgement(Section):
    """What a finding is called and how bad it is; *score* is the certainty, 0..1."""

    anomaly_type: Text
    severity: Severity
    score: Fraction
