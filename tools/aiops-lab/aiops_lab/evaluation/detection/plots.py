"""One picture per series: its values with windows and alarms, and below it the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiops_core.errors import Misconfigured
from aiops_lab.evaluation.detection.nab import Series, Tally
from aiops_lab.evaluation.detection.run import FIXED, Results, Told

SIZE = (11, 5)  # inches
INK, WINDOW, LEARNING = "#27374d", "#f4c95d", "#e8e8e8"
FOUND, FALSE, AGAIN = "#1a936f", "#c1292e", "#8d99ae"


def plot(results: Results, folder: Path) -> int:
    """Write ``folder/category/name.png`` for every series; returns how many."""
    figure_of = _pyplot()
    for series, told, tally in zip(
        results.corpus, results.told, results.tallies[FIXED], strict=True
    ):
        path = (folder / series.name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure, (above, below) = figure_of(
            2, 1, sharex=True, figsize=SIZE, height_ratios=(3, 1), layout="constrained"
        )
        _values(above, series, told[FIXED], tally)
        _scores(below, series, told[FIXED])
        figure.savefig(path, dpi=110)
        figure.clear()
    return len(results.corpus)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as exc:
        raise Misconfigured("plots need matplotlib: install anomaly-detection[eval]") from exc
    matplotlib.use("Agg")
    matplotlib.rcParams |= {"figure.max_open_warning": 0, "axes.spines.top": False}
    matplotlib.rcParams |= {"axes.spines.right": False, "font.size": 9}
    from matplotlib import pyplot

    return pyplot.subplots


def _values(axes: Any, series: Series, told: Told, tally: Tally) -> None:
    axes.set_title(
        f"{series.name}: {len(tally.found)} of {len(series.windows)} windows found, "
        f"{len(tally.false)} false alarms",
        loc="left",
    )
    axes.plot(series.times, series.values, color=INK, linewidth=0.7)
    _background(axes, series)
    first = set(tally.found.values())
    for name, colour, rows in (
        ("found", FOUND, [row for row in told.alarms if row in first]),
        ("false alarm", FALSE, tally.false),
        (
            "again, or while learning",
            AGAIN,
            [row for row in told.alarms if row not in {*first, *tally.false}],
        ),
    ):
        xs, ys = [series.times[row] for row in rows], [series.values[row] for row in rows]
        axes.scatter(xs, ys, color=colour, s=38, zorder=3, label=name, edgecolors="white")
    axes.set_ylabel("value")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=5, frameon=False)


def _background(axes: Any, series: Series) -> None:
    times = series.times
    axes.axvspan(times[0], times[series.probation], color=LEARNING, zorder=0, label="learning")
    for n, (first, last) in enumerate(series.windows):
        label = "anomalous" if n == 0 else None
        axes.axvspan(times[first], times[last], color=WINDOW, alpha=0.45, zorder=0, label=label)


def _scores(axes: Any, series: Series, told: Told) -> None:
    axes.plot(series.times, told.scores, color=INK, linewidth=0.6)
    axes.axhline(FIXED, color=FALSE, linewidth=0.9, linestyle="--")
    axes.set_ylim(0, 1)
    axes.set_ylabel("score")
