"""From a line, a reading or the passing of time to what is wrong, and to what is well again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from aiops_core.bus import Outgoing
from aiops_core.models import (
    AnomalyCleared,
    AnomalyDetected,
    LogEntry,
    Message,
    MetricSample,
    derived_id,
)
from aiops_core.utils import extract_error_message
from anomaly_detection.detectors.base import (
    Detector,
    Ended,
    Finding,
    Verdict,
    shown,
    worst,
)
from anomaly_detection.detectors.domains import domains
from anomaly_detection.detectors.gap import GapDetector
from anomaly_detection.detectors.metric import MetricDetector
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.gate import Gated
from anomaly_detection.layers import Layers, tuned
from anomaly_detection.line_watch import LineWatch
from anomaly_detection.policy import DetectPolicy

MSG_KEPT = 4000  # characters of a line that an anomaly carries

Entry = TypeVar("Entry", LogEntry, MetricSample)


class Detection:
    """The detectors and the order in which they are believed: anything before the bare level."""

    def __init__(self, policy: DetectPolicy) -> None:
        layers = Layers(policy)
        kept = policy.series_kept
        self._threshold = ThresholdDetector(policy.thresholds, kept)
        self._watch = LineWatch(policy, layers)
        self.of_lines: Sequence[Gated[LogEntry]] = self._watch.detectors
        self.metric = MetricDetector(tuned(policy.metrics, layers), domains(policy), kept)
        self.of_samples: Sequence[Gated[MetricSample]] = (
            Gated(self._threshold, layers),
            Gated(self.metric, layers),
            Gated(GapDetector(policy.gaps, domains(policy), kept), layers),
        )
        self.detectors: Sequence[Gated[LogEntry] | Gated[MetricSample]] = (
            *self.of_lines,
            *self.of_samples,
        )
        self.memory = max(self._watch.burst.memory, self._threshold.memory)

    async def on(self, entry: LogEntry | MetricSample) -> Sequence[Message]:
        return await (self.on_line(entry) if isinstance(entry, LogEntry) else self.on_sample(entry))

    async def on_line(self, line: LogEntry) -> Sequence[Message]:
        found = self._watch.findings(line)
        return [_message(finding, line) for finding in found] if found else []

    async def on_sample(self, sample: MetricSample) -> Sequence[Message]:
        findings = self._findings(self.of_samples, sample)
        return [_message(finding, sample) for finding in worst(findings)]

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        """What is wrong because nothing came. The ids derive from the finding: it is published once."""
        findings = [finding for detector in self.of_lines for finding in detector.elapse(now)]
        findings += [finding for detector in self.of_samples for finding in detector.elapse(now)]
        return [_outgoing(finding, now) for finding in findings]

    def _findings(self, detectors: Sequence[Detector[Entry]], entry: Entry) -> list[Finding]:
        return [finding for detector in detectors for finding in detector.observe(entry)]


def _message(finding: Finding, cause: Message) -> Message:
    """What to tell about *finding*, as an effect of *cause*."""
    if isinstance(finding, Ended):
        return _cleared(finding, cause)
    return _anomaly(finding, cause)


def _outgoing(finding: Finding, now: datetime) -> Outgoing:
    """A message that no entry caused; its tracking id begins here."""
    about = finding.origin
    told = finding.anomaly_types if isinstance(finding, Ended) else (finding.anomaly_type,)
    id_ = derived_id(
        *(about.ship_id, about.device, about.service, finding.metric or "", finding.detector),
        *(*told, finding.at.isoformat()),
    )
    cause = Message(tracking_id=id_, ship_id=about.ship_id, ts=finding.at, stages={"ingest": now})
    return Outgoing(_message(finding, cause), f"anomaly-detection/{id_}")


def _said(finding: Verdict, cause: Message) -> str:
    """The line itself, or the one that a reading does not have."""
    if finding.msg is not None:
        return finding.msg
    if isinstance(cause, LogEntry):
        # A line of half a megabyte must not travel in every incident; logs.raw has all of it.
        return cause.msg if len(cause.msg) <= MSG_KEPT else f"{cause.msg[:MSG_KEPT]}…"
    if finding.metric is None or finding.value is None or finding.threshold is None:
        return finding.reason
    unit = f" {cause.unit}" if isinstance(cause, MetricSample) and cause.unit else ""
    limit = shown(finding.threshold)
    return f"{finding.metric} is {shown(finding.value)}{unit}, limit {limit}{unit}"


def _anomaly(finding: Verdict, cause: Message) -> AnomalyDetected:
    msg = _said(finding, cause)
    return cause.derive(
        AnomalyDetected,
        service=finding.origin.service,
        device_id=finding.origin.device_id,
        host=finding.origin.host,
        msg=msg,
        error_msg=extract_error_message(msg) if isinstance(cause, LogEntry) else None,
        domain=finding.domain,
        anomaly_type=finding.anomaly_type,
        detector=finding.detector,
        score=finding.score,
        severity=finding.severity,
        metric=finding.metric,
        value=finding.value,
        threshold=finding.threshold,
        template_id=finding.template_id,
        template=finding.template,
        reason=finding.reason,
        meta=finding.meta,
    )


def _cleared(finding: Ended, cause: Message) -> AnomalyCleared:
    return cause.derive(
        AnomalyCleared,
        device_id=finding.origin.device_id,
        host=finding.origin.host,
        service=finding.origin.service,
        anomaly_types=finding.anomaly_types,
        detector=finding.detector,
        metric=finding.metric,
        peer=finding.peer,
        started=finding.started,
        reason=finding.reason,
    )
