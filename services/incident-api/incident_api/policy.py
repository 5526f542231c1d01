"""``policies/slo.yaml``: the promises that ``/api/v3/stats`` measures compliance against."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from aiops_core.policy.file import Policy, Section


class PathSlo(Section):
    """Milliseconds that one case of a path may take."""

    latency_ms: float = Field(gt=0)


class LedgerSlo(Section):
    """When an anomaly must have ended somewhere: what has not by then is unaccounted for."""

    settled_after_s: float = Field(60.0, ge=1, le=3600)

    @property
    def settle(self) -> timedelta:
        return timedelta(seconds=self.settled_after_s)


class SloPolicy(Policy):
    file: ClassVar[str] = "slo.yaml"

    fast_path: PathSlo
    insight_path: PathSlo
    ledger: LedgerSlo = LedgerSlo()
