"""The section of ``policies/correlate.yaml`` about dependencies that nobody typed.

correlation-service uses them, incident-api learns them.
"""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from aiops_core.inventory.cofailures import CofailureRules
from aiops_core.models import Fraction
from aiops_core.policy.file import Policy, Section

_Positive = Annotated[timedelta, Field(gt=timedelta(0))]


class SuggestedEdges(Section):
    """When a suggested edge is used, and when two devices that fail together make one.

    *cost*: what is only suggested counts like this much more distance. The others are explained in
    ``CofailureRules``. *ignored*: types and families of anomalies that say nothing about what a
    device needs.
    """

    min_confidence: Fraction
    cost: timedelta = Field(ge=timedelta(0))
    within: _Positive
    apart: Annotated[timedelta, Field(ge=timedelta(minutes=1))]
    episodes: int = Field(ge=2)
    false_discovery_rate: float = Field(gt=0, le=0.2)
    everywhere: float = Field(gt=0.2, le=1)
    days: int = Field(ge=1, le=365)
    ignored: tuple[str, ...]

    @property
    def rules(self) -> CofailureRules:
        return CofailureRules(
            within=self.within.total_seconds(),
            apart=self.apart.total_seconds(),
            least=self.episodes,
            discovery_rate=self.false_discovery_rate,
            everywhere=self.everywhere,
        )


class LearningPolicy(Policy):
    """What the learning of edges needs of the file; correlation-service validates all of it."""

    model_config = ConfigDict(extra="ignore")

    file: ClassVar[str] = "correlate.yaml"

    families: dict[str, tuple[str, ...]]
    suggested: SuggestedEdges

    def family_of(self, kind: str) -> str | None:
        """The family that names an anomaly type, or the type itself; None if it is ignored."""
        named = (name for name, kinds in self.families.items() if _among(kind, kinds))
        family, ignored = next(named, kind), self.suggested.ignored
        return None if family in ignored or _among(kind, ignored) else family


def _among(kind: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(kind, glob) for glob in globs)
