"""The detectors that learn from log lines, as the policy wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiops_core.models import LogEntry
from anomaly_detection.detectors.base import Detector
from anomaly_detection.detectors.domains import domains
from anomaly_detection.detectors.lines import Lines
from anomaly_detection.detectors.mix import MixDetector
from anomaly_detection.detectors.new_template import NewTemplateDetector
from anomaly_detection.detectors.rate import RateDetector
from anomaly_detection.detectors.silence import SilenceDetector
from anomaly_detection.policy import DetectPolicy


def learned(
    policy: DetectPolicy, lines: Lines, harmless: Callable[[LogEntry], bool]
) -> Sequence[Detector[LogEntry]]:
    """All of them; *harmless* says which error lines are none."""
    rules, kept, of = policy.templates, policy.series_kept, domains(policy)
    return (
        NewTemplateDetector(rules.new, lines, of, kept),
        RateDetector(rules, lines, harmless, of, kept),
        MixDetector(rules.mix, lines, of, kept),
        SilenceDetector(rules.silence, kept),
    )
