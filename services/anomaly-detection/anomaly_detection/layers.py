"""``layers`` of detect.yaml: which detectors judge a sender, with which settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from aiops_core.models import Domain, MetricSample, Text
from aiops_core.policy.file import Place, Section, Setting
from anomaly_detection.detectors.base import SENDERS, device_of
from anomaly_detection.polls import Poll
from anomaly_detection.rules import (
    EVERYTHING,
    WARM_UPS,
    DetectorName,
    Globs,
    Metrics,
    Positive,
    ServiceDomain,
    globs,
)

# How much more unusual than normally something must be for a detector that learns.
SCALE = {"low": 1.5, "normal": 1.0, "high": 0.75}


class DetectorTuning(Section):
    """The settings of one detector for a sender; a layer gives some. No *warm_up*: its own."""

    enabled: bool = True
    sensitivity: Literal["low", "normal", "high"] = "normal"
    warm_up: Positive | None = None

    @property
    def scale(self) -> float:
        return SCALE[self.sensitivity]


@dataclass(frozen=True, slots=True)
class LayerTarget:
    """A sender, as layers match it. *device_id* may be a host; *metric* is empty for lines."""

    ship_id: str
    service: str
    device_id: str
    metric: str = ""


class Layer(Section):
    """Settings of detectors for the senders that match the globs; ``*`` is every detector."""

    id: Text
    ships: Globs = EVERYTHING
    domains: frozenset[Domain] | None = None
    services: Globs = EVERYTHING
    device_id: Globs = EVERYTHING
    metrics: Globs = EVERYTHING
    detectors: Annotated[Mapping[Literal["*"] | DetectorName, DetectorTuning], Field(min_length=1)]

    @model_validator(mode="after")
    def _have_an_effect(self) -> Self:
        for name, tuned in self.detectors.items():
            learns = name == "*" or name in WARM_UPS
            if not learns and tuned.model_fields_set - {"enabled"}:
                raise ValueError(f"{name} does not learn: it can only be enabled or not")
        return self

    def matches(self, target: LayerTarget, domain: Domain) -> bool:
        return (
            (self.domains is None or domain in self.domains)
            and globs(self.ships)(target.ship_id)
            and globs(self.services)(target.service)
            and globs(self.device_id)(target.device_id)
            and globs(self.metrics)(target.metric)
        )


_DEFAULTS = DetectorTuning()
TuningOf = Callable[[str, str, str], DetectorTuning]  # of one detector, by ship, service and device


class Layers:
    """All layers that match a sender apply in the order of the file: later ones win, key by key."""

    def __init__(
        self,
        layers: Sequence[Layer],
        polls: Sequence[Poll],
        domains: Sequence[ServiceDomain],
        default_domain: Domain,
    ) -> None:
        self._layers, self._domains, self._default = layers, domains, default_domain
        self._polls = {poll.name: (n, poll) for n, poll in enumerate(polls)}

    def settings(self, detector: DetectorName, target: LayerTarget) -> list[Setting]:
        """Every setting of *detector* for *target*, with its place in the file."""
        keys = DetectorTuning.model_fields if detector in WARM_UPS else ("enabled",)
        found = {key: Setting(key, getattr(_DEFAULTS, key), None) for key in keys}
        for place, tuned in self._matching(detector, target):
            for key in tuned.model_fields_set & found.keys():
                found[key] = Setting(key, getattr(tuned, key), place)
        return list(found.values())

    def tuning(self, detector: DetectorName, target: LayerTarget) -> DetectorTuning:
        values = {setting.key: setting.value for setting in self.settings(detector, target)}
        return DetectorTuning.model_validate(values)

    def tuning_of(self, detector: DetectorName) -> TuningOf:
        """The same for senders of lines, cached."""

        @lru_cache(SENDERS)
        def tuning(ship_id: str, service: str, device_id: str) -> DetectorTuning:
            return self.tuning(detector, LayerTarget(ship_id, service, device_id))

        return tuning

    def metrics_of(self, metrics: Metrics) -> Callable[[MetricSample], Metrics]:
        """*metrics*, tuned for the series of a sample."""

        @lru_cache(SENDERS)
        def tuned(target: LayerTarget) -> Metrics:
            tuning = self.tuning("metric", target)
            return metrics.tuned(tuning.scale, tuning.warm_up)

        return lambda sample: tuned(
            LayerTarget(sample.ship_id, sample.service, device_of(sample), sample.metric)
        )

    def domain(self, target: LayerTarget) -> tuple[Domain, Place]:
        """The domain of *target*, and where the file says so."""
        n, poll = self._polls.get(target.metric, (0, None))
        if poll and poll.domain:
            return poll.domain, ("polls", n, "domain")
        for place, rule in enumerate(self._domains):
            if globs(rule.services)(target.service):
                return rule.domain, ("domains", place)
        return self._default, ("default_domain",)

    def _matching(
        self, detector: DetectorName, target: LayerTarget
    ) -> Iterator[tuple[Place, DetectorTuning]]:
        """The settings that apply to *detector*; within a layer its name beats ``*``."""
        domain, _ = self.domain(target)
        n, poll = self._polls.get(target.metric, (0, None))
        if poll and poll.detectors:
            yield ("polls", n, "detectors"), DetectorTuning(enabled=detector in poll.detectors)
        for place, layer in enumerate(self._layers):
            if layer.matches(target, domain):
                for name in ("*", detector):
                    if tuned := layer.detectors.get(name):
                        yield ("layers", place, "detectors", name), tuned
