"""Sentences about a series: observed, expected, since when."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anomaly_detection.detectors.base import clock, shown, span
from anomaly_detection.detectors.series import MetricSeries, length, moment
from anomaly_detection.detectors.views import View

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


def why(name: str, unit: str, x: float, found: Novelty, series: MetricSeries) -> str:
    """``cpu_percent on srv-1 is 97 %, expected is 12 % to 61 % ...``."""
    number, (low, high) = found.number, series.extremes[found.view].range()
    if found.view is View.NOISE:
        number, low, high = math.exp(number), math.exp(low), math.exp(high)
    numbers = {"reading": x, "number": number, "low": low, "high": high}
    numbers |= {"mean": series.now.mean, "slow": series.now.slow}
    texts = {key: f"{shown(value)}{unit}" for key, value in numbers.items()}
    side, distance = "above" if found.above else "below", texts["number"].lstrip("-")
    said = found.sentence.format(**texts, side=side, distance=distance)
    known, at = span(length(series.seen - series.first)), clock(moment(series.seen))
    return f"{name} {said}, as in the last {known}; seen at {at}."


def over(name: str, unit: str, x: float, series: MetricSeries) -> str:
    """The end of the alarm of *series*."""
    alarm = series.alarm
    low, high = (f"{shown(edge)}{unit}" for edge in series.extremes[View.VALUE].range())
    return (
        f"{name} is {shown(x)}{unit}, as expected again ({low} to {high}); it was unusual from "
        f"{clock(moment(alarm.started))} on, for {span(length(series.seen - alarm.started))}, "
        f"at worst {shown(alarm.peak)}{unit}."
    )
