"""Readings beyond the history of their series, whatever it measures: no limits, no labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from aiops_core.models import MetricSample
from anomaly_detection.detectors.base import (
    Cleared,
    Detected,
    Detector,
    EntrySource,
    Finding,
    bounded_key,
    clock,
    device_of,
    labels,
    shown,
    span,
)
from anomaly_detection.detectors.series import Alarm, MetricSeries, length, moment
from anomaly_detection.detectors.state import Key, SegmentedLru
from anomaly_detection.detectors.views import View
from anomaly_detection.rules import DeviationJudgement, Metrics

CALM = 50  # readings without a new extreme until an alarm may be cleared
WELL = 5  # readings in a row within the known range until it is
REPORT = 0.5  # score from which a number is reported
PACKED = Annotated[Any, PlainSerializer(MetricSeries.pack), PlainValidator(MetricSeries.unpack)]
SENTENCES = {
    View.VALUE: "is {number}, expected is {low} to {high}",
    View.JUMP: (
        "went to {reading} at once, {distance} {side} its mean of the moment before; "
        "expected are moves of {low} to {high}"
    ),
    View.MEAN: "is {number} on average of late, expected is {low} to {high}",
    View.SHIFT: (
        "is {mean} on average of late and was {slow} before; expected are shifts of {low} to {high}"
    ),
    View.SEASON: (
        "is {mean} on average of late, {distance} {side} what is usual at this hour; "
        "expected is a distance of {low} to {high}"
    ),
}
UNSTEADY = "is unsteady: it moves by {number} from reading to reading, expected is {high} at most"
STUCK = "is stuck: it moves by {number} from reading to reading, expected is {low} at least"
RulesOf = Callable[[MetricSample], Metrics]


@dataclass(frozen=True, slots=True)
class Novelty:
    """A new number of one view, *ratio* times farther than any before."""

    view: View
    number: float
    ratio: float
    above: bool

    @property
    def sentence(self) -> str:
        if self.view is View.NOISE:
            return UNSTEADY if self.above else STUCK
        return SENTENCES[self.view]


class MetricDetector(Detector[MetricSample]):
    """One Detected when an alarm begins, one Cleared at its end.

    New values are not learned until they have lasted so long that they are normal: then the alarm
    ends without a Cleared, because nothing has recovered.
    """

    name = "metric"

    def __init__(self, rules_of: RulesOf, series_kept: int) -> None:
        self._rules_of = rules_of
        self.state: SegmentedLru[MetricSeries] = SegmentedLru(series_kept, PACKED)
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
            severity=rule.severity,
            score=self.score,
            detector=self.name,
            reason=_why(sample, found, series),
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
            reason=_over(sample, series),
            started=moment(alarm.started),
            metric=sample.metric,
            peak=alarm.peak,
        )


def score(ratio: float) -> float:
    """0.5 at the limit (*ratio* 1), 1 far beyond it."""
    return 1 - (1 - REPORT) / ratio if ratio > 1 else REPORT * ratio


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
    if view is View.NOISE:
        return rules.kinds["unsteady" if above else "stuck"]
    return rules.kinds["shift" if view in (View.MEAN, View.SHIFT) else "outlier"]


def _why(sample: MetricSample, found: Novelty, series: MetricSeries) -> str:
    """``cpu_percent on srv-1 is 97 %, expected is 12 % to 61 % ...``."""
    number, (low, high) = found.number, series.extremes[found.view].range()
    if found.view is View.NOISE:
        number, low, high = math.exp(number), math.exp(low), math.exp(high)
    numbers = {"reading": sample.value, "number": number, "low": low, "high": high}
    numbers |= {"mean": series.now.mean, "slow": series.now.slow}
    texts = {key: _shown(value, sample) for key, value in numbers.items()}
    side, distance = "above" if found.above else "below", texts["number"].lstrip("-")
    said = found.sentence.format(**texts, side=side, distance=distance)
    known, at = span(length(series.seen - series.first)), clock(moment(series.seen))
    return f"{sample.metric} on {device_of(sample)} {said}, as in the last {known}; seen at {at}."


def _over(sample: MetricSample, series: MetricSeries) -> str:
    """The end of the alarm of *series*."""
    alarm = series.alarm
    low, high = (_shown(edge, sample) for edge in series.extremes[View.VALUE].range())
    return (
        f"{sample.metric} on {device_of(sample)} is {_shown(sample.value, sample)}, as expected "
        f"again ({low} to {high}); it was unusual from {clock(moment(alarm.started))} on, for "
        f"{span(length(series.seen - alarm.started))}, at worst {_shown(alarm.peak, sample)}."
    )


def _shown(value: float, sample: MetricSample) -> str:
    return f"{shown(value)} {sample.unit}" if sample.unit else shown(value)
