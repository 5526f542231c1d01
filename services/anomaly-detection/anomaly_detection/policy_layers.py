"""Sections ``polls`` and ``layers`` of ``policies/detect.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aiops_core.models import Domain, Text
from aiops_core.policy.file import Section
from anomaly_detection.policy_rules import EVERYTHING, Globs, Positive
from anomaly_detection.sources.promql import mistake


class DetectorName(StrEnum):
    """All detectors, as layers and polls name them."""

    LEVEL = "level"
    PATTERN = "pattern"
    RECOVERY = "recovery"
    BURST = "burst"
    NEW_TEMPLATE = "new_template"
    RATE = "rate"
    MIX = "mix"
    SILENCE = "silence"
    THRESHOLD = "threshold"
    METRIC = "metric"
    GAP = "gap"

    @property
    def learns(self) -> bool:
        """Whether it has a sensitivity and a warm-up; the rules of the others have their own."""
        return self in WARM_UPS


# The warm-up of each detector that learns, where no layer sets it.
WARM_UPS = {
    DetectorName.NEW_TEMPLATE: ("templates", "new", "warm_up"),
    DetectorName.RATE: ("templates", "rate", "warm_up"),
    DetectorName.MIX: ("templates", "mix", "warm_up"),
    DetectorName.SILENCE: ("templates", "silence", "warm_up"),
    DetectorName.METRIC: ("metrics", "known_for"),
}


def _promql(query: str) -> str:
    if found := mistake(query):
        raise ValueError(f"wrong PromQL: {found}")
    return query


class Poll(Section):
    """A PromQL query, evaluated every *interval*; its series are readings of the metric *name*.

    *service* and *device_id* are the labels that name the sender; without a device the reading is
    about the ship. Samples older than *freshness* are ignored, and so are series beyond *most*.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
    query: Annotated[Text, AfterValidator(_promql)]
    interval: Annotated[timedelta, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))]
    freshness: Positive = timedelta(minutes=1)
    domain: Domain | None = None
    detectors: tuple[DetectorName, ...] = ()
    service: Text = "job"
    device_id: Text = "instance"
    unit: str = ""
    most: int = Field(500, ge=1, le=10_000)


class Sensitivity(StrEnum):
    """How unusual something must be for a detector that learns."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Tuned(Section):
    """The settings of one detector in a layer; None leaves them unchanged."""

    enabled: bool | None = None
    sensitivity: Sensitivity | None = None
    warm_up: Positive | None = None


class Layer(Section):
    """Settings of detectors for the senders that match the globs; ``*`` is every detector."""

    id: Text
    ships: Globs = EVERYTHING
    domains: frozenset[Domain] | None = None
    services: Globs = EVERYTHING
    device_id: Globs = EVERYTHING
    metrics: Globs = EVERYTHING
    detectors: Annotated[Mapping[Literal["*"] | DetectorName, Tuned], Field(min_length=1)]

    @model_validator(mode="after")
    def _have_an_effect(self) -> Self:
        for name, tuned in self.detectors.items():
            learns = name == "*" or DetectorName(name).learns
            if not learns and (tuned.sensitivity or tuned.warm_up):
                raise ValueError(f"{name} does not learn: it can only be enabled or not")
        return self
