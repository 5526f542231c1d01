"""``policies/ship.yaml``: the limits of what operators may declare about the ship."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from aiops_core.policy.file import Policy, Section


class Spells(Section):
    """Limits of one kind of declaration, in hours."""

    longest_hours: float = Field(gt=0)
    most: int = Field(ge=1)

    @property
    def longest(self) -> timedelta:
        return timedelta(hours=self.longest_hours)


class ShipPolicy(Policy):
    file: ClassVar[str] = "ship.yaml"

    maintenance: Spells
    outages: Spells
    remembered_days: float = Field(ge=0)

    @property
    def remembered(self) -> timedelta:
        return timedelta(days=self.remembered_days)
