"""Static limits of readings, to be exceeded for a time before anybody is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    Lru,
    Verdict,
    clock,
    device_of,
    globs,
    next_due,
    shown,
    span,
    worst,
)
from anomaly_detection.detectors.table import SENDERS
from anomaly_detection.policy import Threshold

SHORTEST_GAP = timedelta(
    minutes=5
)  # without a sample; after a longer one nothing is known any more
SPARSE = timedelta(minutes=1)  # between two samples of a series, usually less
Key = tuple[str, ...]


@dataclass(slots=True)
class Series:
    """One limit of one metric of one device: last sample, since when beyond, last alarm."""

    seen: datetime | None = None
    since: datetime | None = None
    alarmed: datetime | None = None

    def advance(self, at: datetime, gap: timedelta) -> bool:
        """False for a duplicate or late sample. A gap, or a clock set back by as much, starts anew."""
        if self.seen is not None:
            if abs(at - self.seen) > gap:
                self.since = self.alarmed = None
            elif at <= self.seen:
                return False
        self.seen = at
        return True


class ThresholdDetector:
    """One verdict when an episode has lasted ``for``, and again every ``repeat_every`` while it does.

    Who replays the last ``memory`` of samples gets the same future, see ``next_due``.
    """

    def __init__(self, thresholds: Sequence[Threshold], series_kept: int) -> None:
        self._rules = [
            (rule, globs([rule.metric]), globs(rule.services), globs(rule.hosts))
            for rule in thresholds
        ]
        self._of_sender = lru_cache(SENDERS)(self._applicable)
        self.state: Lru[Key, Series] = Lru(series_kept)
        needed = (t.hold + t.repeat_every / 2 + 2 * SPARSE for t in thresholds)
        self.memory = max(needed, default=timedelta(0))

    def observe(self, entry: MetricSample, /) -> Verdict | None:
        device = device_of(entry)
        rules = self._of_sender(entry.metric, entry.service, device)
        return worst([self._judge(rule, entry, device) for rule in rules])

    def _applicable(self, metric: str, service: str, device: str) -> tuple[Threshold, ...]:
        return tuple(
            rule
            for rule, of_metric, of_service, of_host in self._rules
            if of_metric(metric) and of_service(service) and of_host(device)
        )

    def _judge(self, rule: Threshold, sample: MetricSample, device: str) -> Verdict | None:
        labels = (f"{k}={v}" for k, v in sorted(sample.labels.items()))
        key = (rule.id, sample.ship_id, device, sample.service, sample.metric, *labels)
        series = self.state.get(key, Series)
        if not series.advance(sample.ts, max(3 * rule.hold, SHORTEST_GAP)):
            return None
        if not rule.broken_by(sample.value):
            series.since = series.alarmed = None
            return None
        since = series.since = series.since or sample.ts
        due = next_due(series.alarmed, rule.repeat_every) if series.alarmed else since + rule.hold
        if sample.ts < due:
            return None
        series.alarmed = sample.ts
        return _verdict(rule, sample, device, since)


def _verdict(rule: Threshold, sample: MetricSample, device: str, since: datetime) -> Verdict:
    unit = f" {unit}" if (unit := rule.unit or sample.unit or "") else ""
    side, expected = ("above", "most") if rule.above is not None else ("below", "least")
    return Verdict(
        anomaly_type=rule.anomaly_type,
        domain=rule.domain,
        severity=rule.severity,
        score=rule.score,
        detector="threshold",
        reason=(
            f"{sample.metric} on {device} is {shown(sample.value)}{unit}, expected is at {expected} "
            f"{shown(rule.limit)}{unit}; it has been {side} that since {clock(since)}, for "
            f"{span(sample.ts - since)} (tolerated: {span(rule.hold)})."
        ),
        meta={**sample.labels, "rule": rule.id, "since": since.isoformat()},
        metric=sample.metric,
        value=sample.value,
        threshold=rule.limit,
    )
