"""All detectors: which of them judge an entry, and which of their findings become messages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, TypeVar

from aiops_core.models import LogEntry, Message, MetricSample, derived_id
from aiops_core.normaliser.continuations import CONTINUES
from aiops_core.runtime.bus import Outgoing
from anomaly_detection.detectors.base import (
    SENDERS,
    Cleared,
    Detected,
    Detector,
    Finding,
    device_of,
    worst,
)
from anomaly_detection.detectors.burst import BurstDetector
from anomaly_detection.detectors.clock import ClockDetector
from anomaly_detection.detectors.gap import GapDetector
from anomaly_detection.detectors.line_rules import LevelDetector, PatternDetector, RecoveryDetector
from anomaly_detection.detectors.lines import Lines
from anomaly_detection.detectors.metric import MetricDetector
from anomaly_detection.detectors.mix import MixDetector
from anomaly_detection.detectors.new_template import NewTemplateDetector
from anomaly_detection.detectors.rate import RateDetector
from anomaly_detection.detectors.silence import SilenceDetector
from anomaly_detection.detectors.speaking import SpeakingDetector
from anomaly_detection.detectors.table import RuleTable
from anomaly_detection.detectors.threshold import ThresholdDetector
from anomaly_detection.digest import Digest
from anomaly_detection.layers import LayerTarget
from anomaly_detection.messages import digested_of, message_of, message_without_cause
from anomaly_detection.policy import DetectPolicy
from anomaly_detection.rules import DetectorName
from anomaly_detection.templates.masking import parameters

E = TypeVar("E", LogEntry, MetricSample)
Call = tuple[str, Callable[[E], Sequence[Finding]]]  # the name of a detector, and its observe()
Calls = tuple[Call[E], ...]
OnFailure = Callable[[str, Exception], None]  # gets the name of the detector


def raising(detector: str, exc: Exception) -> None:
    """For evaluations and tests, which must not hide a failure."""
    raise exc


class Detection:
    """A failing detector costs no finding of another one, and its own only if it fails twice."""

    def __init__(self, policy: DetectPolicy, on_failure: OnFailure = raising) -> None:
        self._on_failure = on_failure
        self._layers = layers = policy.resolver()
        kept, tuning, templates = policy.series_kept, layers.tuning_of, policy.templates

        self._lines = lines = Lines(templates.kept)
        self._rules = RuleTable(policy.line_rules)
        self._level = LevelDetector(policy.levels, self._rules)
        self._line_rules = (
            BurstDetector(policy.bursts, kept, self._rules),
            PatternDetector(self._rules),
            RecoveryDetector(self._rules),
        )
        self._clock = ClockDetector(policy.clocks, kept)
        self.digest = Digest(policy.digest, templates, policy.line_rules, kept)
        self._line_learners = (
            NewTemplateDetector(templates.new, lines, tuning("new_template"), kept),
            RateDetector(templates, lines, self._level.harmless, tuning("rate"), kept),
            MixDetector(templates.mix, lines, tuning("mix"), kept),
            SilenceDetector(templates.silence, tuning("silence"), kept),
            SpeakingDetector(self._rules, kept),
        )

        self.metric = MetricDetector(layers.metrics_of(policy.metrics), kept)
        self._gap = GapDetector(policy.gaps, kept)
        self.of_samples = (ThresholdDetector(policy.thresholds, kept), self.metric, self._gap)

        self.detectors: Sequence[Detector[Any]] = (
            *self._line_rules,
            *self._line_learners,
            self._clock,
            *self.of_samples,
        )
        self.memory = policy.memory
        self._elapse = [(detector.name, detector.elapse) for detector in self.detectors]
        self._for_lines_of = lru_cache(SENDERS)(self._line_detectors)
        self._domain_of = lru_cache(SENDERS)(layers.domain)
        self._for_samples_of = lru_cache(SENDERS)(self._sample_detectors)

    def observe(self, entry: LogEntry | MetricSample) -> Sequence[Message]:
        return self.on_line(entry) if isinstance(entry, LogEntry) else self.on_sample(entry)

    def on_line(self, line: LogEntry) -> Sequence[Message]:
        """Rules win over the bare level. Detectors that learn always get the line.

        A line that continues an entry raises nothing. Whether the clock of its sender is right is
        another matter than what the line says: that is a message of its own.
        """
        if CONTINUES in line.labels:
            return []
        rules, level, learners, clock = self._for_lines_of(
            line.ship_id, line.service, device_of(line)
        )
        found: list[Finding] = []
        if self._call((("pattern", self._rules.deciding),), line):
            found = self._call(rules, line)
        if not any(isinstance(finding, Detected) for finding in found):
            found += self._call(level, line)
        found += self._call(learners, line)
        messages = self._messages(found, line, self._of_line) if found else []
        if clocks := self._call(clock, line):
            cause = line.but(tracking_id=derived_id(line.tracking_id, ClockDetector.name))
            messages = [*messages, *self._messages(clocks, cause, self._of_line)]
        return messages

    def on_sample(self, sample: MetricSample) -> Sequence[Message]:
        target = (sample.ship_id, sample.service, device_of(sample), sample.metric)
        found = self._call(self._for_samples_of(*target), sample)
        return self._messages(found, sample, self._of_sample) if found else []

    def tick(self, now: datetime) -> Sequence[Outgoing]:
        """The findings of time without entries, for example of a sender that has stopped."""
        found = self._call(self._elapse, now)
        return self._call([(f.detector, partial(self._of_tick, f)) for f in found], now)

    def resume(self, now: datetime) -> None:
        """The clock of this host was set to *now*."""
        self._gap.resume(now)

    def _line_detectors(
        self, ship_id: str, service: str, device_id: str
    ) -> tuple[Calls[LogEntry], Calls[LogEntry], Calls[LogEntry], Calls[LogEntry]]:
        """The enabled rules, level, learners and clock for one sender of lines."""
        target = LayerTarget(ship_id, service, device_id)
        return (
            self._enabled(self._line_rules, target),
            self._enabled((self._level,), target),
            self._enabled(self._line_learners, target),
            self._enabled((self._clock,), target),
        )

    def _sample_detectors(
        self, ship_id: str, service: str, device_id: str, metric: str
    ) -> Calls[MetricSample]:
        return self._enabled(self.of_samples, LayerTarget(ship_id, service, device_id, metric))

    def _enabled(self, detectors: Sequence[Detector[E]], target: LayerTarget) -> Calls[E]:
        return tuple(
            (detector.name, detector.observe)
            for detector in detectors
            if self._is_enabled(detector.name, target)
        )

    def _is_enabled(self, detector: DetectorName, target: LayerTarget) -> bool:
        return self._layers.tuning(detector, target).enabled

    def _call(self, calls: Any, argument: Any) -> list[Any]:
        """The joined results of *calls*, each with the name of its detector.

        An exception in a detector is a bug, usually about one kind of entry. A retry of the whole
        entry would be a duplicate for the detectors that have seen it. So only the failing one is
        called again, at once: a detector that raises has changed nothing.
        """
        results: list[Any] = []
        for name, call in calls:
            try:
                results += call(argument)
            except Exception as exc:  # noqa: BLE001 - it is counted, logged and shown
                self._on_failure(name, exc)
                with contextlib.suppress(Exception):  # reported already
                    results += call(argument)
        return results

    def _messages(
        self, found: Sequence[Finding], cause: E, message: Callable[[Finding, E], Sequence[Message]]
    ) -> Sequence[Message]:
        """The messages about the worst of *found*; one that cannot be made keeps back no other."""
        chosen = self._call((("detection", worst),), found)
        return self._call([(f.detector, partial(message, f)) for f in chosen], cause)

    def _of_line(self, finding: Finding, line: LogEntry) -> Sequence[Message]:
        """With template and parameters of the line, if the finding is about its text."""
        if isinstance(finding, Detected) and finding.msg is None:
            mined = self._lines.of(line)
            meta = {**parameters(line.msg), **finding.meta}
            finding = replace(
                finding, template_id=mined.template_id, template=mined.template, meta=meta
            )
        return [self._judged(finding, line)]

    def _judged(self, finding: Finding, line: LogEntry) -> Message:
        """The message about a finding in *line*, or that it is digested."""
        if isinstance(finding, Cleared):
            return message_of(finding, line)
        verdict = self.digest.judge(finding, line)
        if not verdict.opens:
            return digested_of(finding, line, verdict.why)
        reason = f"{finding.reason} {verdict.why}".rstrip()
        return message_of(self._with_domain(replace(finding, reason=reason)), line)

    def _of_sample(self, finding: Finding, sample: MetricSample) -> Sequence[Message]:
        return [message_of(self._with_domain(finding), sample)]

    def _of_tick(self, finding: Finding, now: datetime) -> Sequence[Outgoing]:
        if not self._is_enabled(finding.detector, _target(finding)):
            return []
        return [message_without_cause(self._with_domain(finding), now)]

    def _with_domain(self, finding: Finding) -> Finding:
        """The domain of an anomaly is that of its poll, else of its rule, else of its service."""
        if isinstance(finding, Cleared) or (finding.domain and finding.metric is None):
            return finding
        domain, place = self._domain_of(_target(finding))
        of_rule = finding.domain and place[0] != "polls"
        return finding if of_rule else replace(finding, domain=domain)


def _target(finding: Finding) -> LayerTarget:
    source = finding.source
    return LayerTarget(source.ship_id, source.service, source.device, finding.metric or "")
