"""What makes no incident: the sections of ``policies/correlate.yaml`` that correlation-service obeys and
against which incident-api checks the silences that operators want."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from aiops_core.models import Domain, Severity
from aiops_core.policy.file import Policy, Section
from aiops_core.suppression.labels import NAMES, is_label
from aiops_core.suppression.silences import Matcher


def _known_label(name: str) -> str:
    if not is_label(name):
        raise ValueError(f"there is no label {name}; there are {', '.join(NAMES)}")
    return name


Id = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Reason = Annotated[str, StringConstraints(min_length=1)]
LabelName = Annotated[str, AfterValidator(_known_label)]
SharedLabel = Literal["device", "host", "service", "domain", "anomaly_type", "detector"]
ZERO = timedelta(0)


class Traits(Section):
    """Conditions on what an incident keeps of an anomaly, all of which must hold; globs, compared
    without case."""

    anomaly_type: str = "*"
    service: str = "*"
    device: str = "*"
    domain: Domain | None = None
    severity_at_least: Severity = Severity.LOW
    severity_at_most: Severity = Severity.CRITICAL

    @model_validator(mode="after")
    def _not_everything(self) -> Self:
        given = self.model_dump(exclude_defaults=True)
        if not given.keys() - {"severity_at_least", "severity_at_most"}:
            raise ValueError("it matches every anomaly; name at least one condition")
        return self


class Match(Traits):
    """Conditions on an anomaly. *maintenance*: whether its device is under maintenance."""

    msg: str = "*"
    maintenance: bool | None = None


class SuppressRule(Section):
    id: Id
    reason: Reason
    match: Match


class Inhibition(Section):
    """While an open incident has something like *source*, what is like *target* and equal in the labels
    *equal* is a consequence of it. The ship must always be the same."""

    id: Id
    reason: Reason
    source: Traits
    target: Match
    equal: tuple[SharedLabel, ...] = Field(min_length=1)


class Outages(Section):
    """What a known outage of a link explains: *downstream* on the link itself and on what hangs on it;
    *unknown_devices* on devices that the inventory does not know, so that nobody can tell what they need.

    *margin*: a link fails a little before the time that was foretold, and comes back a little later.
    """

    margin: timedelta = Field(ge=ZERO, le=timedelta(minutes=30))
    severity_at_most: Severity
    downstream: tuple[Match, ...]
    unknown_devices: tuple[Match, ...]


class SilenceLimits(Section):
    """What operators may silence themselves."""

    longest: timedelta = Field(gt=ZERO, le=timedelta(days=90))
    most: int = Field(ge=1, le=5000)
    keep_expired: timedelta = Field(ge=ZERO)
    not_alone: tuple[LabelName, ...]


class NeverSuppress(Section):
    """What nothing may hide."""

    severities: tuple[Severity, ...] = ()
    anomaly_types: tuple[str, ...] = ()

    def covers(self, anomaly_type: str, severity: Severity) -> bool:
        return severity in self.severities or anomaly_type in self.anomaly_types

    def refusal(self, matchers: tuple[Matcher, ...]) -> str | None:
        """Why a silence with *matchers* could never hide anything, None when it could."""
        never: dict[str, set[str]] = {
            "severity": {str(severity) for severity in self.severities},
            "anomaly_type": set(self.anomaly_types),
        }
        for matcher in matchers:
            if matcher.words and set(matcher.words) <= never.get(matcher.name, set()):
                return (
                    f"{matcher} is never hidden: never_suppress of policies/correlate.yaml names it"
                )
        return None


class SuppressPolicy(Policy):
    """The part of the file that several services read; correlation-service reads, and checks, all."""

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
