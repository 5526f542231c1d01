"""Sentences about a series: observed, expected, since when."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anomaly_detection.detectors.base import clock, shown, span
from anomaly_detection.detectors.series import MetricSeries, length, moment
from anomaly_detection.detectors.views import View


@dataclass(frozen=True, slots=True)
class Novelty:
    """A new number of one view, *ratio* times farther than any before."""

    view: View
    number: float
    ratio: float
    above: bool


@dataclass(frozen=True, slots=True)
class ReadingTexts:
    """Numbers as text with their unit."""

    name: str
    reading: str
    number: str
    low: str
    high: str
    mean: str
    slow: str


def why(name: str, unit: str, x: float, found: Novelty, series: MetricSeries) -> str:
    """``cpu_percent on srv-1 is 97 %, expected is 12 % to 61 % ...``."""
    known, at = span(length(series.seen - series.first)), clock(moment(series.seen))
    texts = _texts(name, unit, x, found, series)
    return f"{_SAY[found.view](texts, found.above)}, as in the last {known}; seen at {at}."


def over(name: str, unit: str, x: float, series: MetricSeries) -> str:
    """The end of the alarm of *series*."""
    alarm = series.alarm
    low, high = (f"{shown(edge)}{unit}" for edge in series.extremes[View.VALUE].range())
    return (
        f"{name} is {shown(x)}{unit}, as expected again ({low} to {high}); it was unusual from "
        f"{clock(moment(alarm.started))} on, for {span(length(series.seen - alarm.started))}, "
        f"at worst {shown(alarm.peak)}{unit}."
    )


def _texts(name: str, unit: str, x: float, found: Novelty, series: MetricSeries) -> ReadingTexts:
    now = series.now
    numbers = [found.number, *series.extremes[found.view].range()]
    if found.view is View.NOISE:
        numbers = [math.exp(number) for number in numbers]
    return ReadingTexts(name, *(f"{shown(y)}{unit}" for y in (x, *numbers, now.mean, now.slow)))


def _value(t: ReadingTexts, above: bool) -> str:
    return f"{t.name} is {t.number}, expected is {t.low} to {t.high}"


def _jump(t: ReadingTexts, above: bool) -> str:
    where = "above" if above else "below"
    return (
        f"{t.name} went to {t.reading} at once, {t.number.lstrip('-')} {where} its mean of the "
        f"moment before; expected are moves of {t.low} to {t.high}"
    )


def _mean(t: ReadingTexts, above: bool) -> str:
    return f"{t.name} is {t.number} on average of late, expected is {t.low} to {t.high}"


def _shift(t: ReadingTexts, above: bool) -> str:
    return (
        f"{t.name} is {t.mean} on average of late and was {t.slow} before; expected are shifts of "
        f"{t.low} to {t.high}"
    )


def _noise(t: ReadingTexts, above: bool) -> str:
    state, edge = ("unsteady", f"{t.high} at most") if above else ("stuck", f"{t.low} at least")
    return (
        f"{t.name} is {state}: it moves by {t.number} from reading to reading, expected is {edge}"
    )


def _season(t: ReadingTexts, above: bool) -> str:
    where = "above" if above else "below"
    return (
        f"{t.name} is {t.mean} on average of late, {t.number.lstrip('-')} {where} what is usual at "
        f"this hour; expected is a distance of {t.low} to {t.high}"
    )


_SAY: Mapping[View, Callable[[ReadingTexts, bool], str]] = {
    View.VALUE: _value,
    View.JUMP: _jump,
    View.MEAN: _mean,
    View.SHIFT: _shift,
    View.NOISE: _noise,
    View.SEASON: _season,
}
