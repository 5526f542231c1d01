"""``policies/correlate.yaml``: what belongs together, for how long, and what makes no incident."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from aiops_core.models import Anomaly, Domain, Severity
from aiops_core.policy import Policy, Section

KeyKind = Literal["peer", "service", "device", "attacked", "type"]


Reach = Literal["any", "family", "none"]


class Grouping(Section):
    """How anomalies of a type group: by which keys, the strongest first, and along the graph.

    *spreads*: what a device downstream may show because of it; *follows*: of what upstream it may be a
    symptom. ``family``: only anomalies of the same family, by default its own type alone.
    """

    by: tuple[KeyKind, ...]
    spreads: Reach = "any"
    follows: Reach = "any"


class Wording(Section):
    """How incidents that begin with a type are called; ``{device}``, ``{service}``, ``{peer}``,
    ``{metric}`` stand for values of its anomalies."""

    category: str
    title: str


class Match(Section):
    """Conditions on an anomaly, all of which must hold; globs, compared without case."""

    anomaly_type: str = "*"
    service: str = "*"
    device: str = "*"
    msg: str = "*"
    domain: Domain | None = None
    severity_at_most: Severity = Severity.CRITICAL


class SuppressRule(Section):
    id: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    match: Match

    @model_validator(mode="after")
    def not_everything(self) -> SuppressRule:
        conditions = self.match.model_dump(exclude={"severity_at_most"}, exclude_defaults=True)
        if not conditions:
            raise ValueError(f"rule {self.id!r} matches every anomaly; name at least one condition")
        return self


class NeverSuppress(Section):
    """What no rule may hide."""

    severities: tuple[Severity, ...] = ()
    anomaly_types: tuple[str, ...] = ()

    def covers(self, anomaly: Anomaly) -> bool:
        return anomaly.severity in self.severities or anomaly.anomaly_type in self.anomaly_types


class CorrelatePolicy(Policy):
    """Times are ISO 8601 durations."""

    file: ClassVar[str] = "correlate.yaml"

    window: timedelta = Field(ge=timedelta(minutes=1), le=timedelta(minutes=30))
    windows: dict[str, timedelta]
    max_length: timedelta
    settle: timedelta
    default_grouping: Grouping
    grouping: dict[str, Grouping]
    families: dict[str, tuple[str, ...]]
    escalate_devices: int = Field(ge=2)
    default_wording: Wording
    wording: dict[str, Wording]
    suppress: tuple[SuppressRule, ...] = ()
    never_suppress: NeverSuppress

    def window_of(self, anomaly_type: str) -> timedelta:
        return self.windows.get(anomaly_type, self.window)

    def grouping_of(self, anomaly_type: str) -> Grouping:
        return self.grouping.get(anomaly_type, self.default_grouping)

    def family_of(self, anomaly_type: str) -> str:
        """The family that names *anomaly_type*, or the type itself."""
        return next((f for f, kin in self.families.items() if anomaly_type in kin), anomaly_type)

    def wording_of(self, anomaly_type: str) -> Wording:
        return self.wording.get(anomaly_type, self.default_wording)

    @property
    def longest_memory(self) -> timedelta:
        """How far back facts can matter for an incident that is still open."""
        return self.max_length + max([self.window, *self.windows.values()]) + self.settle
