"""What an operator should know though nothing is away: counted, shown in ``/ready``, and logged now and then."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field

import anomaly_detection
from aiops_core.observability import metrics
from aiops_core.utils import StructuredLogger

LOGGED = 10  # of one kind that are logged each; then only when their number doubles
SHOWN = 300  # characters

log = StructuredLogger.get_logger(
    name="noticed", service="anomaly-detection", version=anomaly_detection.__version__
)


@dataclass
class Noticed:
    """*notes* are those of the process's readiness."""

    notes: MutableMapping[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def step(self, kind: str, text: str) -> None:
        """A clock was set."""
        metrics.CLOCK_STEPS.labels(kind).inc()
        if self._counted(f"clock {kind}", text):
            log.warning("clock step", kind=kind, step=text)

    def failure(self, detector: str, exc: Exception) -> None:
        """A detector raised; its findings on the entry in hand are missing if it did so twice."""
        metrics.DETECTOR_FAILURES.labels(detector).inc()
        if self._counted(f"detector {detector}", f"raised {exc!r}"):
            log.error("a detector failed", detector=detector, exc_info=exc)

    def _counted(self, topic: str, text: str) -> bool:
        """Whether this one is worth a line in the log."""
        count = self._counts[topic] = self._counts.get(topic, 0) + 1
        self.notes[topic] = f"{count} times, the newest: {text[:SHOWN]}"
        return count <= LOGGED or count.bit_count() == 1
