"""From a line, a reading or the passing of time to what is wrong, and to what is well again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from aiops_core.models import (
    AnomalyCleared,
    AnomalyDetected,
    LogEntry,
    Message,
    MetricSample,
    derived_id,
)
from aiops_core.runtime.bus import Outgoing
from aiops_core.utils import extract_error_message
from anomaly_detection.detectors.base import (
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
from anomaly_detection.failures import Failed, asked, raising
from anomaly_detection.gate import Gated
from anomaly_detection.layers import Layers, tuned
from anomaly_detection.line_watch import LineWatch
from anomaly_detection.policy import DetectPolicy

MSG_KEPT = 4000  # characters of a line that an anomaly carries

E = TypeVar("E")
T = TypeVar("T")


class Detection:
    """The detectors and the order in which they are believed: anything before the bare level.

    What a detector raises goes to *failed*; the findings of the others are told.
    """

    def __init__(self, policy: DetectPolicy, failed: Failed = raising) -> None:
        layers = self._layers = Layers(policy)
        kept = policy.series_kept
        self._failed = failed
        self._threshold = ThresholdDetector(policy.thresholds, kept)
        self._watch = LineWatch(policy, layers, failed)
        self._gap = GapDetector(policy.gaps, domains(policy), kept)
        self.of_lines: Sequence[Gated[LogEntry]] = self._watch.detectors
        self.metric = MetricDetector(tuned(policy.metrics, layers), domains(policy), kept)
        self.of_samples: Sequence[Gated[MetricSample]] = (
            Gated(self._threshold, layers),
            Gated(self.metric, layers),
            Gated(self._gap, layers),
        )
        self.detectors: Sequence[Gated[LogEntry] | Gated[MetricSample]] = (
            *self.of_lines,
            *self.of_samples,
        )
        self._by_name = {detector.name: detector for detector in self.detectors}
        self._judges = [(detector.name, detector.observe) for detector in self.of_samples]
        self._watches = [(detector.name, detector.elapse) for detector in self.detectors]
        self.memory = max(self._watch.burst.memory, self._threshold.memory)

    async def on(self, entry: LogEntry | MetricSample) -> Sequence[Message]:
        return await (self.on_line(entry) if isinstance(entry, LogEntry) else self.on_sample(entry))

    async def on_line(self, line: LogEntry) -> Sequence[Message]:
        found = self._watch.findings(line)
        return self._told(self._worst(found), line, self._of_line) if found else []

    async def on_sample(self, sample: MetricSample) -> Sequence[Message]:
        found = asked(self._judges, sample, self._failed)
        return self._told(self._worst(found), sample, self._of_sample) if found else []

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        """What is wrong because nothing came. The ids derive from the finding: it is published once."""
        found = asked(self._watches, now, self._failed)
        return self._told(found, now, self._of_time)

    def resume(self, now: datetime) -> None:
        """The clock of this host was set to *now*."""
        self._gap.resume(now)

    def _worst(self, found: Sequence[Finding]) -> Sequence[Finding]:
        return asked((("detection", worst),), found, self._failed)

    def _told(
        self, found: Sequence[Finding], by: E, tell: Callable[[Finding, E], Sequence[T]]
    ) -> Sequence[T]:
        """A detector says nothing twice: so what cannot be told of one finding keeps back no other."""
        ways = [(finding.detector, partial(tell, finding)) for finding in found]
        return asked(ways, by, self._failed)

    def _of_line(self, finding: Finding, line: LogEntry) -> Sequence[Message]:
        return [_message(self._watch.described(finding, line), line)]

    def _of_sample(self, finding: Finding, sample: MetricSample) -> Sequence[Message]:
        return [_message(self._placed(finding), sample)]

    def _of_time(self, finding: Finding, now: datetime) -> Sequence[Outgoing]:
        if not self._by_name[finding.detector].lets_tell(finding):
            return []
        return [_outgoing(self._placed(finding), now)]

    def _placed(self, finding: Finding) -> Finding:
        """A poll may say to which domain its anomalies belong."""
        domain = self._layers.domain_of_poll(finding.metric)
        return (
            replace(finding, domain=domain) if domain and isinstance(finding, Verdict) else finding
        )


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
