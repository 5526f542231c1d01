"""``policies/slo.yaml`` and ``policies/ship.yaml``."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from aiops_core.policy.file import Policy, Section


class PathSlo(Section):
    """Milliseconds that one case of a path may take."""

    latency_ms: float = Field(gt=0)


class LedgerSlo(Section):
    """An anomaly that has not ended anywhere after this time is unaccounted for."""

    settled_after_s: float = Field(60.0, ge=1, le=3600)

    @property
    def settle(self) -> timedelta:
        return timedelta(seconds=self.settled_after_s)


class SloPolicy(Policy):
    """The promises that ``/api/v3/stats`` and ``/api/v3/ledger`` measure against."""

    file: ClassVar[str] = "slo.yaml"

    fast_path: PathSlo
    insight_path: PathSlo
    ledger: LedgerSlo = LedgerSlo()


class DeclarationLimits(Section):
    """Limits of one kind of declaration."""

    longest_hours: float = Field(gt=0)
    most: int = Field(ge=1)

    @property
    def longest(self) -> timedelta:
        return timedelta(hours=self.longest_hours)


class ShipPolicy(Policy):
    """Limits of what operators may declare about the ship."""

    file: ClassVar[str] = "ship.yaml"

    maintenance: DeclarationLimits
    outages: DeclarationLimits
    remembered_days: float = Field(ge=0)

    @property
    def remembered(self) -> timedelta:
        return timedelta(days=self.remembered_days)
