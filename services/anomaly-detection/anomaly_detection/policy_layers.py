"""The parts of ``policies/detect.yaml`` that say who is judged by which detector, and what is polled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aiops_core.models import Domain, Text
from aiops_core.policy.file import Section
from anomaly_detection.judgement import Positive
from anomaly_detection.sources.promql import mistake

Globs = Annotated[tuple[Text, ...], Field(min_length=1)]
EVERYTHING = ("*",)


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
        """Whether it has a sensitivity and a warm-up; the others have rules that say it themselves."""
        return self in _LEARN


_LEARN = {
    DetectorName.NEW_TEMPLATE,
    DetectorName.RATE,
    DetectorName.MIX,
    DetectorName.SILENCE,
    DetectorName.METRIC,
}


def _promql(query: str) -> str:
    if found := mistake(query):
        raise ValueError(f"wrong PromQL: {found}")
    return query


class Poll(Section):
    """A PromQL query that is asked every *interval*; each series of the answer is a reading of metric
    *name*. *service* and *device* are the labels that tell whose it is; what has no device is about the
    ship. Samples older than *freshness* are none. Of more than *most* series the others are left out.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
    query: Annotated[Text, AfterValidator(_promql)]
    interval: Annotated[timedelta, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))]
    freshness: Positive = timedelta(minutes=1)
    domain: Domain | None = None
    detectors: tuple[DetectorName, ...] = ()
    service: Text = "job"
    device: Text = "instance"
    unit: str = ""
    most: int = Field(500, ge=1, le=10_000)


class Sensitivity(StrEnum):
    """How unusual something must be before a detector that learns says so; rules say it themselves."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Tuned(Section):
    """What a layer says of a detector; None: as before."""

    enabled: bool | None = None
    sensitivity: Sensitivity | None = None
    warm_up: Positive | None = None


class Layer(Section):
    """How the senders of these globs (device id, else host) are judged; ``*`` is every detector."""

    id: Text
    ships: Globs = EVERYTHING
    domains: frozenset[Domain] | None = None
    services: Globs = EVERYTHING
    hosts: Globs = EVERYTHING
    metrics: Globs = EVERYTHING
    detectors: Annotated[Mapping[Literal["*"] | DetectorName, Tuned], Field(min_length=1)]

    @model_validator(mode="after")
    def _have_an_effect(self) -> Self:
        for name, tuned in self.detectors.items():
            learns = name == "*" or DetectorName(name).learns
            if not learns and (tuned.sensitivity or tuned.warm_up):
                raise ValueError(f"{name} does not learn: it can only be enabled or not")
        return self
