"""Static limits of readings, to be exceeded for a time before anybody is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache

from pydantic import JsonValue, TypeAdapter

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    Ended,
    Finding,
    Key,
    Lru,
    Memoryless,
    Origin,
    Snapshot,
    Verdict,
    clock,
    device_of,
    globs,
    labels,
    next_due,
    short,
    shown,
    span,
    worst,
)
from anomaly_detection.detectors.late import Late
from anomaly_detection.detectors.table import SENDERS
from anomaly_detection.policy import Threshold

SHORTEST_GAP = timedelta(
    minutes=5
)  # without a sample; after a longer one nothing is known any more
ZERO = timedelta(0)


@dataclass(slots=True)
class Series:
    """One limit of one metric of one device: last sample, since when beyond, last alarm.

    *started* and *peak* are of the episode that was told and whose end was not.
    """

    seen: datetime | None = None
    since: datetime | None = None
    alarmed: datetime | None = None
    started: datetime | None = None
    peak: float = 0.0
    late: Late = field(default_factory=Late)

    def copy(self) -> Series:
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


_SERIES = TypeAdapter(Series)


class ThresholdDetector(Memoryless):
    """One verdict when an episode has lasted ``for``, and again every ``repeat_every`` while it does.
    It is over with the first sample within the limit.

    Who replays the last ``memory`` of samples gets the same future, see ``next_due``.
    """

    name = "threshold"

    def __init__(self, thresholds: Sequence[Threshold], series_kept: int) -> None:
        self._rules = [
            (rule, globs([rule.metric]), globs(rule.services), globs(rule.hosts))
            for rule in thresholds
        ]
        self._of_sender = lru_cache(SENDERS)(self._applicable)
        self.state: Lru[Series] = Lru(series_kept)
        self.memory = max((rule.memory for rule in thresholds), default=timedelta(0))

    def observe(self, entry: MetricSample, /) -> Sequence[Finding]:
        device = device_of(entry)
        rules = self._of_sender(entry.metric, entry.service, device)
        judged = [self._judge(rule, entry, device) for rule in rules]
        told = worst(finding for _, _, finding in judged if finding)
        self.state.put_all((key, series) for key, series, _ in judged)
        return told

    def snapshot(self) -> Snapshot:
        return self.state.dump(_SERIES)

    def image(self) -> Iterator[Snapshot]:
        return self.state.image(_SERIES)

    def restore(self, state: Mapping[str, JsonValue], /) -> None:
        self.state.load(_SERIES, state)

    def _applicable(self, metric: str, service: str, device: str) -> tuple[Threshold, ...]:
        return tuple(
            rule
            for rule, of_metric, of_service, of_host in self._rules
            if of_metric(metric) and of_service(service) and of_host(device)
        )

    def _judge(
        self, rule: Threshold, sample: MetricSample, device: str
    ) -> tuple[Key, Series, Finding | None]:
        key = short(rule.id, sample.ship_id, device, sample.service, sample.metric, *labels(sample))
        series = self.state.get(key, Series).copy()
        if not series.advance(sample.ts, max(3 * rule.hold, SHORTEST_GAP)):
            return key, series, None
        return key, series, _judge(rule, sample, series)


def _judge(rule: Threshold, sample: MetricSample, series: Series) -> Finding | None:
    if not rule.broken_by(sample.value):
        return _end(rule, sample, series)
    since = series.since = series.since or sample.ts
    if series.started:
        series.peak = rule.worse_of(series.peak, sample.value)
    due = next_due(series.alarmed, rule.repeat_every) if series.alarmed else since + rule.hold
    if sample.ts < due:
        return None
    if series.started is None:
        series.started, series.peak = since, sample.value
    series.alarmed = sample.ts
    return _verdict(rule, sample, since)


def _end(rule: Threshold, sample: MetricSample, series: Series) -> Ended | None:
    started, peak = series.started, series.peak
    series.since = series.alarmed = series.started = None
    if started is None:
        return None
    return Ended(
        Origin.of(sample),
        sample.ts,
        anomaly_types=(rule.anomaly_type,),
        detector=ThresholdDetector.name,
        reason=(
            f"{sample.metric} on {device_of(sample)} is {shown(sample.value)}{_unit(rule, sample)} "
            f"again, expected is at {_expected(rule)}{_unit(rule, sample)}; it was beyond that from "
            f"{clock(started)} to {clock(sample.ts)}, for {span(sample.ts - started)}, at worst "
            f"{shown(peak)}{_unit(rule, sample)}."
        ),
        started=started,
        metric=sample.metric,
        peak=peak,
    )


def _unit(rule: Threshold, sample: MetricSample) -> str:
    return f" {unit}" if (unit := rule.unit or sample.unit or "") else ""


def _expected(rule: Threshold) -> str:
    return f"{'most' if rule.above is not None else 'least'} {shown(rule.limit)}"


def _verdict(rule: Threshold, sample: MetricSample, since: datetime) -> Verdict:
    unit, side = _unit(rule, sample), "above" if rule.above is not None else "below"
    return Verdict(
        Origin.of(sample),
        sample.ts,
        anomaly_type=rule.anomaly_type,
        domain=rule.domain,
        severity=rule.severity,
        score=rule.score,
        detector=ThresholdDetector.name,
        reason=(
            f"{sample.metric} on {device_of(sample)} is {shown(sample.value)}{unit}, expected is at "
            f"{_expected(rule)}{unit}; it has been {side} that since {clock(since)}, for "
            f"{span(sample.ts - since)} (tolerated: {span(rule.hold)})."
        ),
        meta={**sample.labels, "rule": rule.id, "since": since.isoformat()},
        metric=sample.metric,
        value=sample.value,
        threshold=rule.limit,
    )
