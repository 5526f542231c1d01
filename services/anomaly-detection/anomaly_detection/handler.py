"""From a line or a reading to at most one anomaly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from pydantic import ValidationError

from aiops_core.bus import Bus
from aiops_core.models import AnomalyDetected, LogEntry, Message, MetricSample
from aiops_core.runtime import utc_now
from aiops_core.utils import extract_error_message
from anomaly_detection.detectors.base import Detector, Verdict, shown, worst
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.detectors.level import LevelDetector
from anomaly_detection.detectors.pattern import PatternDetector
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.policy import DetectPolicy

LATENESS = timedelta(seconds=15)  # between an event and its arrival at the broker, usually less
MSG_KEPT = 4000  # characters of a line that an anomaly carries

Entry = TypeVar("Entry", LogEntry, MetricSample)


class Detection:
    """The detectors and the order in which they are believed: a pattern before the bare level."""

    def __init__(self, policy: DetectPolicy) -> None:
        self._level = LevelDetector(policy)
        self._pattern = PatternDetector(policy.patterns)
        self._burst = BurstDetector(policy.bursts, policy.series_kept)
        self._threshold = ThresholdDetector(policy.thresholds, policy.series_kept)
        self._answered: dict[str, Verdict] = {}

    async def on_line(self, line: LogEntry) -> Sequence[Message]:
        counted = self._answered.get(line.tracking_id) or self._burst.observe(line)
        verdict = worst((counted, self._pattern.observe(line))) or self._level.observe(line)
        return [_anomaly(line, line.msg, verdict)] if verdict else []

    async def on_sample(self, sample: MetricSample) -> Sequence[Message]:
        verdict = self._answered.get(sample.tracking_id) or self._threshold.observe(sample)
        return [_anomaly(sample, _said(sample, verdict), verdict)] if verdict else []

    async def recover(self, bus: Bus) -> None:
        """Bring counts and series to where they were, without telling anybody.

        What is stored but was not acknowledged comes again after this. Its verdicts are kept, because
        the detectors will not judge the same message twice.
        """
        await self._replay(bus, MetricSample, self._threshold, self._threshold.memory)
        await self._replay(bus, LogEntry, self._burst, self._burst.memory)

    async def _replay(
        self, bus: Bus, kind: type[Entry], detector: Detector[Entry], memory: timedelta
    ) -> None:
        async for stored in bus.history([kind.subject], since=utc_now() - memory - LATENESS):
            try:
                entry = kind.model_validate_json(stored.data)
            except ValidationError:
                continue  # the runtime has buried it, or will
            if verdict := detector.observe(entry):
                self._answered[entry.tracking_id] = verdict


def _shortened(msg: str) -> str:
    """A line of half a megabyte must not travel in every incident; logs.raw has all of it."""
    return msg if len(msg) <= MSG_KEPT else f"{msg[:MSG_KEPT]}…"


def _said(sample: MetricSample, verdict: Verdict) -> str:
    """The line that a reading does not have."""
    unit = f" {sample.unit}" if sample.unit else ""
    limit = shown(verdict.threshold or 0.0)
    return f"{sample.metric} is {shown(sample.value)}{unit}, limit {limit}{unit}"


def _anomaly(entry: LogEntry | MetricSample, msg: str, verdict: Verdict) -> AnomalyDetected:
    short = _shortened(msg)
    return entry.derive(
        AnomalyDetected,
        service=entry.service or "unknown",
        device_id=entry.device_id,
        host=entry.host,
        msg=short,
        error_msg=extract_error_message(short) if isinstance(entry, LogEntry) else None,
        domain=verdict.domain,
        anomaly_type=verdict.anomaly_type,
        detector=verdict.detector,
        score=verdict.score,
        severity=verdict.severity,
        metric=verdict.metric,
        value=verdict.value,
        threshold=verdict.threshold,
        reason=verdict.reason,
        meta=verdict.meta,
    )
