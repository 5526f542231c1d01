"""The timeline of a run as a PNG: anomalies coloured by incident, over bars of the real faults."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiops_lab.evaluation.correlation.judged import JudgedRun

COLOURS = [matplotlib.colormaps["tab20"](n) for n in range(20)]
TITLE = 60  # characters of an incident's title in the legend


def plot(judged: JudgedRun, folder: Path) -> None:
    """Write the picture of *judged* into *folder*: one row a device."""
    rows = _rows(judged)
    figure = Figure(figsize=(13, 2.5 + 0.2 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    _bars(axes, judged, rows)
    _dots(axes, judged, rows)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axes.set_xlabel("seconds since the start of the run")
    axes.margins(y=0.01)
    scores = judged.scores
    axes.set_title(
        f"{judged.run.name}: F1 {scores.f1:.3f}, adjusted Rand {scores.ari:.3f}, "
        f"{scores.incidents} incidents of {scores.anomalies} anomalies"
    )
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    path = folder / f"{judged.run.name.replace(', ', '-').replace(' ', '_')}.png"
    figure.savefig(path, dpi=110)


def _rows(judged: JudgedRun) -> dict[str, int]:
    """Device -> row. Devices of one fault are together, the failed one on top."""
    order = {fault.id: n for n, fault in enumerate(judged.run.faults)}
    roots = {fault.root for fault in judged.run.faults}
    first: dict[str, tuple[int, bool, float]] = {}
    for one in sorted(judged.anomalies, key=lambda a: (a.fault is None, a.at)):
        fault = order.get(one.fault or "", len(order))
        first.setdefault(one.device, (fault, one.device not in roots, one.at))
    devices = sorted(first, key=lambda device: first[device], reverse=True)
    return {device: n for n, device in enumerate(devices)}


def _bars(axes: Axes, judged: JudgedRun, rows: dict[str, int]) -> None:
    """A bar on each device that a fault reached, hatched on the device that failed."""
    for n, fault in enumerate(judged.run.faults):
        reached = {one.device for one in judged.anomalies if one.fault == fault.id}
        for device in reached:
            axes.barh(
                rows[device],
                fault.end - fault.start,
                left=fault.start,
                height=0.9,
                color=("0.85", "0.93")[n % 2],
                hatch="//" if device == fault.root else None,
                edgecolor="0.7",
                linewidth=0.3,
                zorder=0,
            )


def _dots(axes: Axes, judged: JudgedRun, rows: dict[str, int]) -> None:
    sizes: dict[str | None, int] = {}
    for one in judged.anomalies:
        sizes[one.incident] = sizes.get(one.incident, 0) + 1
    for n, incident in enumerate(sorted(sizes, key=lambda i: -sizes[i])):
        mine = [one for one in judged.anomalies if one.incident == incident]
        title = judged.titles.get(incident or "", "hidden by a rule")
        axes.scatter(
            [one.at for one in mine],
            [rows[one.device] for one in mine],
            s=14,
            color=[COLOURS[n % len(COLOURS)]],
            label=f"{len(mine)}: {title[:TITLE]}",
            zorder=2,
        )
