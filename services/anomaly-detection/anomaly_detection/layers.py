"""Which detectors judge a sender, and how eagerly: the layers of detect.yaml that fit it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from aiops_core.models import Domain, MetricSample
from aiops_core.policy.file import Place, Setting
from anomaly_detection.detectors.base import globs
from anomaly_detection.metric_policy import Metrics
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.policy_layers import DetectorName, Layer, Sensitivity, Tuned

SENDERS = 16_384  # whose settings are remembered
# How much more unusual than normally something has to be before a detector that learns says so.
SCALE = {Sensitivity.LOW: 1.5, Sensitivity.NORMAL: 1.0, Sensitivity.HIGH: 0.75}


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose entries are judged; *metric* is empty for lines."""

    ship_id: str
    service: str
    device: str
    metric: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How one detector judges one sender. Without *warm_up* the detector's own."""

    enabled: bool = True
    sensitivity: Sensitivity = Sensitivity.NORMAL
    warm_up: timedelta | None = None

    @property
    def scale(self) -> float:
        return SCALE[self.sensitivity]


TuningOf = Callable[[str, str, str], Tuning]  # of one detector, by ship, service and device


@dataclass(frozen=True)
class _Fitting:
    place: int
    layer: Layer
    fits: Callable[[Sender, Domain], bool]


class Layers:
    """All layers that fit a sender apply, in the order of the file: later ones win, key by key."""

    def __init__(self, policy: DetectPolicy) -> None:
        self._default = policy.default_domain
        self._domains = [(globs(rule.services), rule.domain) for rule in policy.domains]
        self._polls = {poll.name: (n, poll) for n, poll in enumerate(policy.polls)}
        self._layers = [_Fitting(n, layer, _fits(layer)) for n, layer in enumerate(policy.layers)]
        self.domain = lru_cache(SENDERS)(self._domain_of)

    def explain(self, detector: DetectorName, sender: Sender) -> list[Setting]:
        """Every setting of *detector* for *sender*, with its source."""
        has = _DEFAULTS if detector.learns else {"enabled": True}
        found = {key: Setting(key, value, None) for key, value in has.items()}
        for place, tuned in self._chosen(detector, sender):
            for key, value in tuned:
                if value is not None and key in has:
                    found[key] = Setting(key, value, place)
        return list(found.values())

    def tuning(self, detector: DetectorName, sender: Sender) -> Tuning:
        tuning = {setting.key: setting.value for setting in self.explain(detector, sender)}
        return Tuning(**tuning)  # type: ignore[arg-type]  # keys and types are those of Tuned

    def domain_of_poll(self, metric: str | None) -> Domain | None:
        _, poll = self._polls.get(metric or "", (0, None))
        return poll.domain if poll else None

    def _domain_of(self, sender: Sender) -> Domain:
        if domain := self.domain_of_poll(sender.metric):
            return domain
        return next((d for of, d in self._domains if of(sender.service)), self._default)

    def _chosen(self, detector: DetectorName, sender: Sender) -> Iterator[tuple[Place, Tuned]]:
        """What applies to *detector*; within a layer its name beats ``*``."""
        domain = self.domain(sender)
        n, poll = self._polls.get(sender.metric, (0, None))
        if poll and poll.detectors:
            yield ("polls", n, "detectors"), Tuned(enabled=detector in poll.detectors)
        for fitting in self._layers:
            if fitting.fits(sender, domain):
                for name in ("*", detector):
                    if tuned := fitting.layer.detectors.get(name):
                        yield ("layers", fitting.place, "detectors", name), tuned


def tuned(metrics: Metrics, layers: Layers) -> Callable[[MetricSample], Metrics]:
    """How the series of a reading is judged: as *metrics* say, as eagerly as its layers want it."""

    @lru_cache(SENDERS)
    def of(sender: Sender) -> Metrics:
        tuning = layers.tuning(DetectorName.METRIC, sender)
        return metrics.tuned(tuning.scale, tuning.warm_up)

    return lambda entry: of(
        Sender(entry.ship_id, entry.service, entry.device_id or entry.host, entry.metric)
    )


_DEFAULTS = {name: getattr(Tuning(), name) for name in ("enabled", "sensitivity", "warm_up")}


def _fits(layer: Layer) -> Callable[[Sender, Domain], bool]:
    of_ship, of_service = globs(layer.ships), globs(layer.services)
    of_host, of_metric = globs(layer.hosts), globs(layer.metrics)

    def fits(sender: Sender, domain: Domain) -> bool:
        return (
            (layer.domains is None or domain in layer.domains)
            and of_ship(sender.ship_id)
            and of_service(sender.service)
            and of_host(sender.device)
            and of_metric(sender.metric)
        )

    return fits
