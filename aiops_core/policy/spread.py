"""The section of ``policies/correlate.yaml`` about one item over many devices.

correlation-service says what is of one spread, incident-api shows it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import ConfigDict, Field

from aiops_core.policy.file import Policy, Section


class SpreadRules(Section):
    """Problems of one kind on *devices* devices or more are one spread. Each begins *within* this
    time of another one, or while another one is open."""

    devices: int = Field(ge=2)
    within: timedelta = Field(gt=timedelta(0))


class _Problems(Section):
    model_config = ConfigDict(extra="ignore")

    spread: SpreadRules


class SpreadPolicy(Policy):
    """What showing spreads needs of the file; correlation-service validates all of it."""

    model_config = ConfigDict(extra="ignore")

    file: ClassVar[str] = "correlate.yaml"

    problems: _Problems
