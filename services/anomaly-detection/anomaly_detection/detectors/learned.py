"""The detectors that learn from log lines, as the policy wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Detector
from anomaly_detection.detectors.domains import domains
from anomaly_detection.detectors.lines import Lines
from anomaly_detection.detectors.mix import MixDetector
from anomaly_detection.detectors.new_template import NewTemplateDetector
from anomaly_detection.detectors.rate import RateDetector
from anomaly_detection.detectors.silence import SilenceDetector
from anomaly_detection.layers import SENDERS, Layers, Sender, Tuning, TuningOf
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.policy_layers import DetectorName


def learned(
    policy: DetectPolicy, layers: Layers, lines: Lines, harmless: Callable[[LogEntry], bool]
) -> Sequence[Detector[LogEntry]]:
    """All of them; *harmless* says which error lines are none."""
    rules, kept, of = policy.templates, policy.series_kept, domains(policy)
    tuning = partial(_tuning_of, layers)
    return (
        NewTemplateDetector(rules.new, lines, of, tuning(DetectorName.NEW_TEMPLATE), kept),
        RateDetector(rules, lines, harmless, of, tuning(DetectorName.RATE), kept),
        MixDetector(rules.mix, lines, of, tuning(DetectorName.MIX), kept),
        SilenceDetector(rules.silence, tuning(DetectorName.SILENCE), kept),
    )


def _tuning_of(layers: Layers, detector: DetectorName) -> TuningOf:
    @lru_cache(SENDERS)
    def tuning_of(ship: str, service: str, device: str) -> Tuning:
        return layers.tuning(detector, Sender(ship, service, device))

    return tuning_of
