"""How one sender is judged: what ``aiops policy show detect --service S --device D`` says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aiops_core.policy.file import Setting
from anomaly_detection.detectors.base import globs
from anomaly_detection.layers import Layers, Sender
from anomaly_detection.policy import Burst, DetectPolicy, Pattern, Recovery, Threshold
from anomaly_detection.policy_layers import DetectorName

RULES = {  # who obeys them
    "patterns": "pattern",
    "recoveries": "recovery",
    "bursts": "burst",
    "thresholds": "threshold",
}

WARM_UPS = {
    DetectorName.NEW_TEMPLATE: ("templates", "new", "warm_up"),
    DetectorName.RATE: ("templates", "rate", "warm_up"),
    DetectorName.MIX: ("templates", "mix", "warm_up"),
    DetectorName.SILENCE: ("templates", "silence", "warm_up"),
    DetectorName.METRIC: ("metrics", "known_for"),
}


def explain(policy: DetectPolicy, about: Mapping[str, str]) -> Sequence[Setting]:
    """Domain, detectors and rules in force for whom *about* names, with their places."""
    sender = Sender(
        about.get("ship", ""),
        about.get("service", "unknown"),
        about.get("device", ""),
        about.get("metric", ""),
    )
    layers = Layers(policy)
    return [
        Setting("domain", layers.domain(sender).value, _place_of_domain(policy, sender)),
        *_detectors(policy, layers, sender),
        *_rules(policy, layers, sender),
    ]


def _place_of_domain(policy: DetectPolicy, sender: Sender) -> tuple[int | str, ...]:
    for n, poll in enumerate(policy.polls):
        if poll.name == sender.metric and poll.domain:
            return ("polls", n, "domain")
    for n, rule in enumerate(policy.domains):
        if globs(rule.services)(sender.service):
            return ("domains", n)
    return ("default_domain",)


def _detectors(policy: DetectPolicy, layers: Layers, sender: Sender) -> Iterator[Setting]:
    for detector in DetectorName:
        for setting in layers.explain(detector, sender):
            if setting.key == "warm_up" and setting.value is None:
                yield _own_warm_up(policy, detector)
            else:
                yield Setting(f"{detector}.{setting.key}", setting.value, setting.place)


def _own_warm_up(policy: DetectPolicy, detector: DetectorName) -> Setting:
    """What the detector's own section says, where no layer says more."""
    place, value = WARM_UPS[detector], policy
    for name in place:
        value = getattr(value, name)
    return Setting(f"{detector}.warm_up", value, place)


def _rules(policy: DetectPolicy, layers: Layers, sender: Sender) -> Iterator[Setting]:
    """The rules that may find something in what this sender says, if their detector is asked."""
    for table, detector in RULES.items():
        if not layers.tuning(DetectorName(detector), sender).enabled:
            continue
        for n, rule in enumerate(getattr(policy, table)):
            of_metric = globs([getattr(rule, "metric", "*")])
            fits = globs(rule.services)(sender.service) and globs(rule.hosts)(sender.device)
            if fits and (not sender.metric or (table == "thresholds" and of_metric(sender.metric))):
                yield Setting(f"{table}.{rule.id}", _said(rule), (table, n))


def _said(rule: Pattern | Recovery | Burst | Threshold) -> str:
    """What a finding of *rule* is called, how bad it is, and its limit."""
    if isinstance(rule, Recovery):
        return f"clears {', '.join(rule.clears)}"
    words = [rule.anomaly_type, rule.severity.value]
    for name in ("above", "below", "count"):
        if (value := getattr(rule, name, None)) is not None:
            words.append(f"{name} {value:g}")
    return ", ".join(words)
