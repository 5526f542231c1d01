"""Readings beyond the history of their series, whatever it measures: no limits, no labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    DomainOf,
    EntrySource,
    Finding,
    bounded_key,
    device_of,
    labels,
)
from anomaly_detection.detectors.metric_words import Novelty, over, why
from anomaly_detection.detectors.series import Alarm, MetricSeries, moment
from anomaly_detection.detectors.state import Key, SegmentedLru
from anomaly_detection.detectors.views import View
from anomaly_detection.policy_learned import Deviation, DeviationJudgement, Metrics

CALM = 50  # readings without a new extreme until an alarm may be cleared
WELL = 5  # readings in a row within the known range until it is
REPORT = 0.5  # score from which a number is reported
_SERIES: TypeAdapter[MetricSeries] = TypeAdapter(
    Annotated[Any, PlainSerializer(MetricSeries.pack), PlainValidator(MetricSeries.unpack)]
)
RulesOf = Callable[[MetricSample], Metrics]


class MetricDetector(Detector[MetricSample]):
    """One Detected when an alarm begins, one Cleared at its end.

    New values are not learned until they have lasted so long that they are normal: then the alarm
    ends without a Cleared, because nothing has recovered.
    """

    name = "metric"

    def __init__(self, rules_of: RulesOf, domain_of: DomainOf, series_kept: int) -> None:
        self._rules_of = rules_of
        self._domain_of = domain_of
        self.state: SegmentedLru[MetricSeries] = SegmentedLru(series_kept, _SERIES)
        self.score = 0.0  # of the last reading, reported or not

    def observe(self, entry: MetricSample, /) -> Sequence[Finding]:
        if not math.isfinite(entry.value):
            return ()
        key = _key(entry)
        series = self.state.get(key, MetricSeries).copy()
        findings = self._judge(entry, series)
        self.state.put(key, series)
        return findings

    def _judge(self, entry: MetricSample, series: MetricSeries) -> Sequence[Finding]:
        """The findings of *entry*, which is added to *series*, a copy."""
        rules = self._rules_of(entry)
        before = series.now.last if series.first else entry.value
        if not series.advance(entry.ts.timestamp(), entry.value):
            return ()
        numbers = series.now.look(entry.value, entry.ts, series.season)
        required = 1 + rules.margin
        found = _newest(series, numbers, required, reported=True)
        self.score = score(found.ratio / required)
        new = self.score >= REPORT and series.known(rules.readings, rules.known_for)
        strange = new or _still_strange(series, numbers, required)
        findings = self._report(entry, rules, series, found if new else None, strange)
        if not strange:
            _learn(entry, series, numbers, entry.value - before)
        accepted = strange and not series.alarm.started
        for view, number in numbers.items():
            series.extremes[view].fade()
            if new or accepted:
                series.extremes[view].report(number)
        return findings

    def _report(
        self,
        sample: MetricSample,
        rules: Metrics,
        series: MetricSeries,
        found: Novelty | None,
        strange: bool,
    ) -> Sequence[Finding]:
        """Begin, continue or end the alarm."""
        alarm = series.alarm
        if strange:
            _note(sample, series, new=found is not None)
        if not alarm.started:
            return (self._detected(sample, rules, series, found),) if found else ()
        if series.now.readings - alarm.new_at < CALM:
            return ()
        if strange:
            if series.seen - alarm.started > rules.accept_after.total_seconds():
                series.alarm = Alarm()  # without a Cleared: nothing has recovered
            return ()
        if series.now.readings - alarm.strange_at < WELL:
            return ()
        cleared = self._cleared(sample, rules, series)
        series.alarm = Alarm()
        return (cleared,)

    def _detected(
        self, sample: MetricSample, rules: Metrics, series: MetricSeries, found: Novelty
    ) -> Detected:
        alarm = series.alarm
        alarm.started, alarm.view, alarm.above = series.seen, found.view, found.above
        rule = _judgement(rules, found.view, found.above)
        view, since = found.view.name.lower(), sample.ts.isoformat()
        return Detected(
            EntrySource.of(sample),
            sample.ts,
            anomaly_type=rule.anomaly_type,
            domain=self._domain_of(sample.service),
            severity=rule.severity,
            score=self.score,
            detector=self.name,
            reason=why(_name(sample), _unit(sample), sample.value, found, series),
            meta={**sample.labels, "view": view, "since": since},
            metric=sample.metric,
            value=sample.value,
        )

    def _cleared(self, sample: MetricSample, rules: Metrics, series: MetricSeries) -> Cleared:
        alarm = series.alarm
        rule = _judgement(rules, View(alarm.view), bool(alarm.above))
        return Cleared(
            EntrySource.of(sample),
            sample.ts,
            anomaly_types=(rule.anomaly_type,),
            detector=self.name,
            reason=over(_name(sample), _unit(sample), sample.value, series),
            started=moment(alarm.started),
            metric=sample.metric,
            peak=alarm.peak,
        )


def score(ratio: float) -> float:
    """0.5 at the limit (*ratio* 1), 1 far beyond it."""
    return 1 - (1 - REPORT) / ratio if ratio > 1 else REPORT * ratio


def ratio_of(score: float) -> float:
    """The inverse of ``score``."""
    return (1 - REPORT) / (1 - score) if score > REPORT else score / REPORT


def _key(sample: MetricSample) -> Key:
    names = (sample.ship_id, device_of(sample), sample.service, sample.metric)
    return bounded_key(*names, *labels(sample))


def _newest(
    series: MetricSeries, numbers: Mapping[View, float], required: float, *, reported: bool
) -> Novelty:
    """The number farthest beyond its history; the value itself if it is new, as people see it."""
    haste = series.haste()
    best = Novelty(View.VALUE, 0.0, 0.0, True)
    for view, number in numbers.items():
        extremes = series.extremes[view]
        ratio = extremes.ratio(number, reported=reported) / haste
        above = number >= extremes.centre
        if ratio > best.ratio and series.believes(view, above):
            best = Novelty(view, number, ratio, above)
        if best.view is View.VALUE and best.ratio >= required:
            break
    return best


def _still_strange(series: MetricSeries, numbers: Mapping[View, float], required: float) -> bool:
    """Whether an open alarm continues: the numbers are still beyond the learned range."""
    if not series.alarm.started > 0:
        return False
    return _newest(series, numbers, required, reported=False).ratio >= required


def _learn(
    sample: MetricSample, series: MetricSeries, numbers: Mapping[View, float], step: float
) -> None:
    series.now.learn(sample.value, step)
    series.season.learn(sample.ts, sample.value)
    for view, number in numbers.items():
        series.extremes[view].learn(number)


def _note(sample: MetricSample, series: MetricSeries, *, new: bool) -> None:
    alarm = series.alarm
    alarm.strange_at = series.now.readings
    if new:
        alarm.new_at = series.now.readings
    away = abs(sample.value - series.extremes[View.VALUE].centre)
    if away >= alarm.away:
        alarm.away, alarm.peak = away, sample.value


def _judgement(rules: Metrics, view: View, above: bool) -> DeviationJudgement:
    kinds = {View.MEAN: Deviation.SHIFT, View.SHIFT: Deviation.SHIFT}
    if view is View.NOISE:
        return rules.kinds[Deviation.UNSTEADY if above else Deviation.STUCK]
    return rules.kinds[kinds.get(view, Deviation.OUTLIER)]


def _name(sample: MetricSample) -> str:
    return f"{sample.metric} on {device_of(sample)}"


def _unit(sample: MetricSample) -> str:
    return f" {sample.unit}" if sample.unit else ""
