"""Counts clock steps and failures of detectors, shows them in ``/ready`` and logs some of them."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field

import anomaly_detection
from aiops_core.observability import metrics
from aiops_core.utils import StructuredLogger

LOGGED = 10  # of one topic that are logged each; then only when their number doubles
SHOWN = 300  # characters

log = StructuredLogger.get_logger(
    name="notes", service=anomaly_detection.NAME, version=anomaly_detection.__version__
)


@dataclass
class Notes:
    """*texts* by topic are those of the readiness of the process."""

    texts: MutableMapping[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def step(self, kind: str, text: str) -> None:
        """A clock was set."""
        metrics.CLOCK_STEPS.labels(kind).inc()
        if self._counted(f"clock {kind}", text):
            log.warning("clock step", kind=kind, step=text)

    def failure(self, detector: str, exc: Exception) -> None:
        """A detector raised. If it raises twice, its findings on the entry are missing."""
        metrics.DETECTOR_FAILURES.labels(detector).inc()
        if self._counted(f"detector {detector}", f"raised {exc!r}"):
            log.error("a detector failed", detector=detector, exc_info=exc)

    def _counted(self, topic: str, text: str) -> bool:
        """Count it; True if it is to be logged."""
        count = self._counts[topic] = self._counts.get(topic, 0) + 1
        self.texts[topic] = f"{count} times, the newest: {text[:SHOWN]}"
        return count <= LOGGED or count.bit_count() == 1
