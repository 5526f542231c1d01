"""Static limits of readings, reported when they are exceeded for a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    SENDERS,
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    bounded_key,
    clock,
    device_of,
    labels,
    next_due,
    shown,
    span,
    worst,
)
from anomaly_detection.detectors.state import Key, Late, SegmentedLru
from anomaly_detection.rules import Threshold, globs

SHORTEST_GAP = timedelta(minutes=5)  # without a sample; a longer one resets the state
ZERO = timedelta(0)


@dataclass(slots=True)
class LimitState:
    """One limit of one series: last sample, since when beyond the limit, last alarm.

    *started* and *peak* belong to the alarm that was reported and not cleared.
    """

    seen: datetime | None = None
    since: datetime | None = None
    alarmed: datetime | None = None
    started: datetime | None = None
    peak: float = 0.0
    late: Late = field(default_factory=Late)

    def copy(self) -> LimitState:
        return replace(self, late=replace(self.late))

    def advance(self, at: datetime, gap: timedelta) -> bool:
        """False for a duplicate or late sample. A gap, or a clock set back, starts anew."""
        if self.seen is not None:
            passed = at - self.seen
            if abs(passed) > gap or (passed < ZERO and self.late.proves(at.timestamp())):
                self.since = self.alarmed = None
            elif passed <= ZERO:
                return False
        self.late.over()
        if self.started is not None:
            self.started = min(self.started, at)
        self.seen = at
        return True


class ThresholdDetector(Detector[MetricSample]):
    """One Detected when a limit was exceeded for ``for``, then every ``repeat_every``.

    The first sample within the limit clears it. A replay of the last ``memory`` of samples gives
    the same future, see ``next_due``.
    """

    name = "threshold"

    def __init__(self, thresholds: Sequence[Threshold], series_kept: int) -> None:
        self._rules = thresholds
        self._of_sender = lru_cache(SENDERS)(self._applicable)
        self.state: SegmentedLru[LimitState] = SegmentedLru(series_kept, LimitState)

    def observe(self, entry: MetricSample, /) -> Sequence[Finding]:
        device = device_of(entry)
        rules = self._of_sender(entry.metric, entry.service, device)
        judged = [self._judge(rule, entry, device) for rule in rules]
        findings = worst(finding for _, _, finding in judged if finding)
        self.state.put_all((key, state) for key, state, _ in judged)
        return findings

    def _applicable(self, metric: str, service: str, device: str) -> tuple[Threshold, ...]:
        return tuple(
            rule
            for rule in self._rules
            if globs((rule.metric,))(metric) and rule.concerns(service, device)
        )

    def _judge(
        self, rule: Threshold, sample: MetricSample, device: str
    ) -> tuple[Key, LimitState, Finding | None]:
        names = (rule.id, sample.ship_id, device, sample.service, sample.metric)
        key = bounded_key(*names, *labels(sample))
        state = self.state.get(key, LimitState).copy()
        if not state.advance(sample.ts, max(3 * rule.hold, SHORTEST_GAP)):
            return key, state, None
        return key, state, _judge(rule, sample, state)


def _judge(rule: Threshold, sample: MetricSample, state: LimitState) -> Finding | None:
    if not rule.broken_by(sample.value):
        return _clear(rule, sample, state)
    since = state.since = state.since or sample.ts
    if state.started:
        state.peak = rule.worse_of(state.peak, sample.value)
    due = next_due(state.alarmed, rule.repeat_every) if state.alarmed else since + rule.hold
    if sample.ts < due:
        return None
    if state.started is None:
        state.started, state.peak = since, sample.value
    state.alarmed = sample.ts
    return _detected(rule, sample, since)


def _clear(rule: Threshold, sample: MetricSample, state: LimitState) -> Cleared | None:
    started, peak = state.started, state.peak
    state.since = state.alarmed = state.started = None
    if started is None:
        return None
    unit = _unit(rule, sample)
    return Cleared(
        EntrySource.of(sample),
        sample.ts,
        anomaly_types=(rule.anomaly_type,),
        detector=ThresholdDetector.name,
        reason=(
            f"{sample.metric} on {device_of(sample)} is {shown(sample.value)}{unit} "
            f"again, expected is at {_expected(rule)}{unit}; it was beyond that from "
            f"{clock(started)} to {clock(sample.ts)}, for {span(sample.ts - started)}, at worst "
            f"{shown(peak)}{unit}."
        ),
        started=started,
        metric=sample.metric,
        peak=peak,
    )


def _unit(rule: Threshold, sample: MetricSample) -> str:
    return f" {unit}" if (unit := rule.unit or sample.unit or "") else ""


def _expected(rule: Threshold) -> str:
    return f"{'most' if rule.above is not None else 'least'} {shown(rule.limit)}"


def _detected(rule: Threshold, sample: MetricSample, since: datetime) -> Detected:
    unit, side = _unit(rule, sample), "above" if rule.above is not None else "below"
    reason = (
        f"{sample.metric} on {device_of(sample)} is {shown(sample.value)}{unit}, expected is at "
        f"{_expected(rule)}{unit}; it has been {side} that since {clock(since)}, for "
        f"{span(sample.ts - since)} (tolerated: {span(rule.hold)})."
    )
    return Detected.by(
        ThresholdDetector.name,
        rule,
        EntrySource.of(sample),
        sample.ts,
        reason,
        domain=rule.domain,
        meta={**sample.labels, "rule": rule.id, "since": since.isoformat()},
        metric=sample.metric,
        value=sample.value,
        threshold=rule.limit,
    )
