"""What was seen in a series, what was expected and since when, for a watch officer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anomaly_detection.detectors.base import clock, shown, span
from anomaly_detection.detectors.series import Series, length, moment
from anomaly_detection.detectors.views import View


@dataclass(frozen=True, slots=True)
class Seen:
    """One number that is new: *number* of *view*, *ratio* times farther than ever."""

    view: View
    number: float
    ratio: float
    above: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """What sentences are made of, as text with the unit."""

    name: str
    reading: str
    number: str
    low: str
    high: str
    mean: str
    slow: str


def why(name: str, unit: str, x: float, seen: Seen, series: Series) -> str:
    """``cpu_percent on srv-1 is 97 %, expected is 12 % to 61 % ...``."""
    known, at = span(length(series.seen - series.first)), clock(moment(series.seen))
    texts = _texts(name, unit, x, seen, series)
    return f"{_SAY[seen.view](texts, seen.above)}, as in the last {known}; seen at {at}."


def over(name: str, unit: str, x: float, series: Series) -> str:
    """That the episode of *series* has ended."""
    episode = series.episode
    low, high = (f"{shown(edge)}{unit}" for edge in series.records[View.VALUE].range())
    return (
        f"{name} is {shown(x)}{unit}, as expected again ({low} to {high}); it was unusual from "
        f"{clock(moment(episode.started))} on, for {span(length(series.seen - episode.started))}, "
        f"at worst {shown(episode.peak)}{unit}."
    )


def _texts(name: str, unit: str, x: float, seen: Seen, series: Series) -> Shown:
    now = series.now
    numbers = [seen.number, *series.records[seen.view].range()]
    if seen.view is View.NOISE:
        numbers = [math.exp(number) for number in numbers]
    return Shown(name, *(f"{shown(y)}{unit}" for y in (x, *numbers, now.mean, now.slow)))


def _value(t: Shown, above: bool) -> str:
    return f"{t.name} is {t.number}, expected is {t.low} to {t.high}"


def _jump(t: Shown, above: bool) -> str:
    where = "above" if above else "below"
    return (
        f"{t.name} went to {t.reading} at once, {t.number.lstrip('-')} {where} its mean of the "
        f"moment before; expected are moves of {t.low} to {t.high}"
    )


def _mean(t: Shown, above: bool) -> str:
    return f"{t.name} is {t.number} on average of late, expected is {t.low} to {t.high}"


def _shift(t: Shown, above: bool) -> str:
    return (
        f"{t.name} is {t.mean} on average of late and was {t.slow} before; expected are shifts of "
        f"{t.low} to {t.high}"
    )


def _noise(t: Shown, above: bool) -> str:
    state, edge = ("unsteady", f"{t.high} at most") if above else ("stuck", f"{t.low} at least")
    return (
        f"{t.name} is {state}: it moves by {t.number} from reading to reading, expected is {edge}"
    )


def _season(t: Shown, above: bool) -> str:
    where = "above" if above else "below"
    return (
        f"{t.name} is {t.mean} on average of late, {t.number.lstrip('-')} {where} what is usual at "
        f"this hour; expected is a distance of {t.low} to {t.high}"
    )


_SAY: Mapping[View, Callable[[Shown, bool], str]] = {
    View.VALUE: _value,
    View.JUMP: _jump,
    View.MEAN: _mean,
    View.SHIFT: _shift,
    View.NOISE: _noise,
    View.SEASON: _season,
}
