"""``policies/detect.yaml``: what counts as an anomaly in a log line or in a reading.

What lines mean stands in the packs beside it, see ``packs``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import ClassVar, Self, get_args

from pydantic import Field, PrivateAttr, model_validator

from aiops_core.models import Domain, Level, Severity, Text
from aiops_core.policy.file import Place, Policy, Replay, Setting
from anomaly_detection.layers import Layer, Layers, LayerTarget
from anomaly_detection.packs import Packs, load_packs, source_of
from anomaly_detection.polls import Poll
from anomaly_detection.rules import (
    WARM_UPS,
    Burst,
    DetectorName,
    DigestRules,
    Gaps,
    Harmless,
    Judgement,
    LineRule,
    Metrics,
    Pattern,
    Positive,
    Recovery,
    ServiceDomain,
    Templates,
    Threshold,
    globs,
)

PACKS = "packs"  # the first part of the place of a rule in a pack
# The section of rules of each detector that has some.
RULES: Mapping[DetectorName, str] = {
    "pattern": "patterns",
    "recovery": "recoveries",
    "burst": "bursts",
    "threshold": "thresholds",
}


class DetectPolicy(Policy):
    """The whole file. *series_kept* bounds memory: least recently used series are evicted.

    *own_domains* of the ship are no part of the name of a device, see ``DeviceNames``.
    """

    file: ClassVar[str] = "detect.yaml"

    series_kept: int = Field(ge=1)
    own_domains: tuple[Text, ...] = ()
    snapshot_every: Positive
    default_domain: Domain
    domains: tuple[ServiceDomain, ...]
    levels: Mapping[Level, Judgement]
    templates: Templates
    digest: DigestRules
    metrics: Metrics
    gaps: Gaps
    clocks: Judgement = Judgement(
        anomaly_type="time_drift", severity=Severity.MEDIUM, score=0.8
    )  # of a device
    thresholds: tuple[Threshold, ...]
    polls: tuple[Poll, ...] = ()
    layers: tuple[Layer, ...] = ()
    _packs: Packs = PrivateAttr(Packs())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """With the packs in *folder*; one with a mistake is left out (``packs.left_out``)."""
        return super().load(folder).using(load_packs(folder))

    def using(self, packs: Packs) -> Self:
        """The same policy with these packs."""
        policy = self.model_copy()
        policy._packs = packs
        return policy

    @property
    def packs(self) -> Packs:
        return self._packs

    @property
    def line_rules(self) -> Sequence[LineRule]:
        return self._packs.rules

    @property
    def bursts(self) -> tuple[Burst, ...]:
        return self._packs.of_kind(Burst)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return self._packs.of_kind(Pattern)

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        return self._packs.of_kind(Recovery)

    @property
    def harmless(self) -> tuple[Harmless, ...]:
        return self._packs.of_kind(Harmless)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        others = (*(layer.id for layer in self.layers), *(poll.name for poll in self.polls))
        ids = [*(rule.id for rule in self.thresholds), *others]
        twice = [id_ for id_, n in Counter(ids).items() if n > 1]
        if twice:
            raise ValueError(f"ids are used twice: {', '.join(sorted(twice))}")
        return self

    def resolver(self) -> Layers:
        return Layers(self.layers, self.polls, self.domains, self.default_domain)

    @property
    def memory(self) -> timedelta:
        """The span of entries that the rules need after a restart without a snapshot."""
        rules: Sequence[Burst | Threshold] = (*self.bursts, *self.thresholds)
        return max((rule.memory for rule in rules), default=timedelta(0))

    def queries(self) -> Mapping[Place, str]:
        return {("polls", n, "query"): poll.query for n, poll in enumerate(self.polls)}

    def replays(self) -> Sequence[Replay]:
        """The entries after the last snapshot; without a snapshot, the memory of the rules."""
        span = max(self.snapshot_every, self.memory)
        return [Replay("logs", span, "snapshot_every, bursts and thresholds")]

    def explain(self, about: Mapping[str, str]) -> Sequence[Setting]:
        """Domain, detectors and rules in force for the sender *about*, with their places."""
        if not about:
            return super().explain(about)
        target = LayerTarget(
            about.get("ship", ""),
            about.get("service", "unknown"),
            about.get("device_id", ""),
            about.get("metric", ""),
        )
        layers = self.resolver()
        domain, place = layers.domain(target)
        return [
            Setting("domain", domain.value, place),
            *self._detector_settings(layers, target),
            *self._rules_for(layers, target),
        ]

    def _detector_settings(self, layers: Layers, target: LayerTarget) -> Iterator[Setting]:
        for detector in get_args(DetectorName):
            for setting in layers.settings(detector, target):
                value, place = setting.value, setting.place
                if setting.key == "warm_up" and value is None:
                    value = attrgetter(".".join(WARM_UPS[detector]))(self)
                    place = WARM_UPS[detector]
                yield Setting(f"{detector}.{setting.key}", value, place)

    def _rules_for(self, layers: Layers, target: LayerTarget) -> Iterator[Setting]:
        """The rules that can match entries of *target*, of detectors that are enabled."""
        files = self._packs.files()
        for detector, section in RULES.items():
            if not layers.tuning(detector, target).enabled:
                continue
            for n, rule in enumerate(getattr(self, section)):
                metric = rule.metric if isinstance(rule, Threshold) else ""
                of_metric = not target.metric or (metric and globs((metric,))(target.metric))
                if of_metric and rule.concerns(target.service, target.device_id):
                    place: Place = (section, n)
                    if isinstance(rule, LineRule):
                        place = (PACKS, files[rule.id], rule.id)
                    yield Setting(f"{section}.{rule.id}", _summary(rule), place)

    @classmethod
    def sources(cls, folder: Path, places: Iterable[Place]) -> Mapping[Place, str]:
        """``file:line``, also of rules in packs."""
        listed = tuple(places)
        of_packs = {place: source_of(folder, *place[1:]) for place in listed if place[0] == PACKS}
        others = [place for place in listed if place not in of_packs]
        return {**super().sources(folder, others), **of_packs}


def _summary(rule: Pattern | Recovery | Burst | Threshold) -> str:
    """Name, severity and limit of a finding by *rule*."""
    if isinstance(rule, Recovery):
        return f"clears {', '.join(rule.clears)}"
    words = [rule.anomaly_type, rule.severity.value]
    for name in ("above", "below", "count"):
        if (value := getattr(rule, name, None)) is not None:
            words.append(f"{name} {value:g}")
    return ", ".join(words)
