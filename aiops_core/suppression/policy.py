"""The sections of ``policies/correlate.yaml`` about anomalies that make no incident.

correlation-service obeys them; incident-api checks new silences against them.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from aiops_core.models import Domain, Severity
from aiops_core.policy.file import Policy, Section
from aiops_core.suppression.labels import NAMES, is_label


def _known_label(name: str) -> str:
    if not is_label(name):
        raise ValueError(f"there is no label {name}; there are {', '.join(NAMES)}")
    return name


Id = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Reason = Annotated[str, StringConstraints(min_length=1)]
LabelName = Annotated[str, AfterValidator(_known_label)]
SharedLabel = Literal["device_id", "host", "service", "domain", "anomaly_type", "detector"]
ZERO = timedelta(0)


class Traits(Section):
    """Conditions on an anomaly, all of which must hold; globs, in any case."""

    anomaly_type: str = "*"
    service: str = "*"
    device_id: str = "*"
    domain: Domain | None = None
    severity_at_least: Severity = Severity.LOW
    severity_at_most: Severity = Severity.CRITICAL

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        given = self.model_dump(exclude_defaults=True)
        if not given.keys() - {"severity_at_least", "severity_at_most"}:
            raise ValueError("it matches every anomaly; name at least one condition")
        return self


class AnomalyMatch(Traits):
    """Further conditions. *maintenance*: whether a maintenance window covers the device."""

    msg: str = "*"
    maintenance: bool | None = None


class SuppressRule(Section):
    id: Id
    reason: Reason
    match: AnomalyMatch


class Inhibition(Section):
    """Anomalies like *target* are a consequence of an open incident with one like *source*.

    Both have the same ship and the same labels *equal*.
    """

    id: Id
    reason: Reason
    source: Traits
    target: AnomalyMatch
    equal: tuple[SharedLabel, ...] = Field(min_length=1)


class Outages(Section):
    """Anomalies that a declared outage of a link explains.

    *downstream*: on the link and on the devices that need it. *unknown_devices*: on devices that
    the inventory lacks. *margin* extends the declared time at both ends.
    """

    margin: timedelta = Field(ge=ZERO, le=timedelta(minutes=30))
    severity_at_most: Severity
    downstream: tuple[AnomalyMatch, ...]
    unknown_devices: tuple[AnomalyMatch, ...]


class SilenceLimits(Section):
    """Limits of the silences of operators."""

    longest: timedelta = Field(gt=ZERO, le=timedelta(days=90))
    most: int = Field(ge=1, le=5000)
    keep_expired: timedelta = Field(ge=ZERO)
    not_alone: tuple[LabelName, ...]


class NeverSuppress(Section):
    """Anomalies that no rule, silence or inhibition hides."""

    severities: tuple[Severity, ...] = ()
    anomaly_types: tuple[str, ...] = ()

    def covers(self, anomaly_type: str, severity: Severity) -> bool:
        return severity in self.severities or anomaly_type in self.anomaly_types


class SuppressPolicy(Policy):
    """The sections that several services read; correlation-service validates the whole file."""

    model_config = ConfigDict(extra="ignore")

    file: ClassVar[str] = "correlate.yaml"

    suppress: tuple[SuppressRule, ...] = ()
    inhibit: tuple[Inhibition, ...] = ()
    outages: Outages
    silences: SilenceLimits
    never_suppress: NeverSuppress

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = Counter([*(r.id for r in self.suppress), *(r.id for r in self.inhibit)])
        if twice := [id for id, times in ids.items() if times > 1]:
            raise ValueError(
                f"several rules of suppress and inhibit have the id {', '.join(twice)}"
            )
        return self
