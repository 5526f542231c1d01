"""Which detectors judge a sender, and with which settings: ``layers`` of detect.yaml. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from aiops_core.models import Domain, MetricSample
from aiops_core.policy.file import Place, Setting
from anomaly_detection.detectors.base import SENDERS, device_of, globs
from anomaly_detection.policy_layers import DetectorName, Layer, Poll, Sensitivity, Tuned
from anomaly_detection.policy_learned import Metrics
from anomaly_detection.policy_rules import ServiceDomain

# How much more unusual than normally something must be for a detector that learns.
SCALE = {Sensitivity.LOW: 1.5, Sensitivity.NORMAL: 1.0, Sensitivity.HIGH: 0.75}


@dataclass(frozen=True, slots=True)
class LayerTarget:
    """A sender, as layers match it. *device_id* may be a host; *metric* is empty for lines."""

    ship_id: str
    service: str
    device_id: str
    metric: str = ""


@dataclass(frozen=True, slots=True)
class DetectorTuning:
    """The settings of one detector for one sender. Without *warm_up* the detector's own."""

    enabled: bool = True
    sensitivity: Sensitivity = Sensitivity.NORMAL
    warm_up: timedelta | None = None

    @property
    def scale(self) -> float:
        return SCALE[self.sensitivity]


TuningOf = Callable[[str, str, str], DetectorTuning]  # of one detector, by ship, service and device
_DEFAULTS = {
    name: getattr(DetectorTuning(), name) for name in ("enabled", "sensitivity", "warm_up")
}


class Layers:
    """All layers that match a sender apply in the order of the file: later ones win, key by key."""

    def __init__(
        self,
        layers: Sequence[Layer],
        polls: Sequence[Poll],
        domains: Sequence[ServiceDomain],
        default_domain: Domain,
    ) -> None:
        self._layers = [(n, layer, _matcher(layer)) for n, layer in enumerate(layers)]
        self._polls = {poll.name: (n, poll) for n, poll in enumerate(polls)}
        self._domains = [(globs(rule.services), rule.domain) for rule in domains]
        self._default = default_domain
        self.domain_of_service = lru_cache(SENDERS)(self._domain_of_service)

    def settings(self, detector: DetectorName, target: LayerTarget) -> list[Setting]:
        """Every setting of *detector* for *target*, with its place in the file."""
        defaults = _DEFAULTS if detector.learns else {"enabled": True}
        found = {key: Setting(key, value, None) for key, value in defaults.items()}
        for place, tuned in self._matching(detector, target):
            for key, value in tuned:
                if value is not None and key in defaults:
                    found[key] = Setting(key, value, place)
        return list(found.values())

    def tuning(self, detector: DetectorName, target: LayerTarget) -> DetectorTuning:
        values = {setting.key: setting.value for setting in self.settings(detector, target)}
        return DetectorTuning(**values)  # type: ignore[arg-type]  # keys and types are those of Tuned

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
            tuning = self.tuning(DetectorName.METRIC, target)
            return metrics.tuned(tuning.scale, tuning.warm_up)

        return lambda sample: tuned(
            LayerTarget(sample.ship_id, sample.service, device_of(sample), sample.metric)
        )

    def domain_of_poll(self, metric: str | None) -> Domain | None:
        _, poll = self._polls.get(metric or "", (0, None))
        return poll.domain if poll else None

    def domain(self, target: LayerTarget) -> tuple[Domain, Place]:
        """The domain of *target*, and where the file says so."""
        n, poll = self._polls.get(target.metric, (0, None))
        if poll and poll.domain:
            return poll.domain, ("polls", n, "domain")
        for place, (matches, domain) in enumerate(self._domains):
            if matches(target.service):
                return domain, ("domains", place)
        return self._default, ("default_domain",)

    def _domain_of_service(self, service: str) -> Domain:
        return self.domain(LayerTarget("", service, ""))[0]

    def _matching(
        self, detector: DetectorName, target: LayerTarget
    ) -> Iterator[tuple[Place, Tuned]]:
        """The settings that apply to *detector*; within a layer its name beats ``*``."""
        domain, _ = self.domain(target)
        n, poll = self._polls.get(target.metric, (0, None))
        if poll and poll.detectors:
            yield ("polls", n, "detectors"), Tuned(enabled=detector in poll.detectors)
        for place, layer, matches in self._layers:
            if matches(target, domain):
                for name in ("*", detector):
                    if tuned := layer.detectors.get(name):
                        yield ("layers", place, "detectors", name), tuned


def _matcher(layer: Layer) -> Callable[[LayerTarget, Domain], bool]:
    of_ship, of_service = globs(layer.ships), globs(layer.services)
    of_device, of_metric = globs(layer.device_id), globs(layer.metrics)

    def matches(target: LayerTarget, domain: Domain) -> bool:
        return (
            (layer.domains is None or domain in layer.domains)
            and of_ship(target.ship_id)
            and of_service(target.service)
            and of_device(target.device_id)
            and of_metric(target.metric)
        )

    return matches
