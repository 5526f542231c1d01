"""``policies/slo.yaml``: the promises that ``/api/v3/stats`` measures compliance against."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from aiops_core.policy import Policy, Section


class PathSlo(Section):
    """Milliseconds that one case of a path may take."""

    latency_ms: float = Field(gt=0)


class SloPolicy(Policy):
    file: ClassVar[str] = "slo.yaml"

    fast_path: PathSlo
    insight_path: PathSlo
