"""A picture of each series: values with windows and alarms, and the score below."""

from __future__ import annotations

from pathlib import Path
from typing import Any  # the stubs of matplotlib do not take datetimes

import matplotlib
from matplotlib.figure import Figure

from aiops_lab.evaluation.detection.nab import NabSeries, Tally
from aiops_lab.evaluation.detection.run import FIXED, DetectedSeries, Results

SIZE = (11, 5)  # inches
INK, WINDOW, LEARNING = "#27374d", "#f4c95d", "#e8e8e8"
FOUND, FALSE, AGAIN = "#1a936f", "#c1292e", "#8d99ae"
STYLE: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}


def plot(results: Results, folder: Path) -> int:
    """Write ``folder/category/name.png`` for every series; return their number."""
    tallies = results.tallies[FIXED]
    for series, by_threshold, tally in zip(results.corpus, results.detected, tallies, strict=True):
        path = (folder / series.name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=SIZE, layout="constrained")
            above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
            _values(above, series, by_threshold[FIXED], tally)
            _scores(below, series, by_threshold[FIXED])
            figure.savefig(path, dpi=110)
    return len(results.corpus)


def _values(axes: Any, series: NabSeries, detected: DetectedSeries, tally: Tally) -> None:
    axes.set_title(
        f"{series.name}: {len(tally.found)} of {len(series.windows)} windows found, "
        f"{len(tally.false)} false alarms",
        loc="left",
    )
    times, values = series.times, series.values
    axes.plot(times, values, color=INK, linewidth=0.7)
    axes.axvspan(times[0], times[series.probation], color=LEARNING, zorder=0, label="learning")
    for n, (start, end) in enumerate(series.windows):
        label = "anomalous" if n == 0 else None
        axes.axvspan(times[start], times[end], color=WINDOW, alpha=0.45, zorder=0, label=label)
    first = set(tally.found.values())
    again = [row for row in detected.alarms if row not in {*first, *tally.false}]
    for name, colour, rows in (
        ("found", FOUND, [row for row in detected.alarms if row in first]),
        ("false alarm", FALSE, tally.false),
        ("again, or while learning", AGAIN, again),
    ):
        xs, ys = [times[row] for row in rows], [values[row] for row in rows]
        axes.scatter(xs, ys, color=colour, s=38, zorder=3, label=name, edgecolors="white")
    axes.set_ylabel("value")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=5, frameon=False)


def _scores(axes: Any, series: NabSeries, detected: DetectedSeries) -> None:
    axes.plot(series.times, detected.scores, color=INK, linewidth=0.6)
    axes.axhline(FIXED, color=FALSE, linewidth=0.9, linestyle="--")
    axes.set_ylim(0, 1)
    axes.set_ylabel("score")
