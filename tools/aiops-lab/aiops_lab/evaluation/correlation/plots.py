"""The timeline of a run as a PNG: anomalies coloured by incident, over bars of the real faults."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiops_core.models import EnrichedAnomaly
from aiops_lab.evaluation.correlation.scores import JudgedRun

COLOURS = [matplotlib.colormaps["tab20"](n) for n in range(20)]
TITLE = 60  # characters of an incident's title in the legend


def plot(judged: JudgedRun, folder: Path) -> None:
    """Write the picture of *judged* into *folder*: one row a device."""
    anomalies = sorted(judged.run.anomalies, key=lambda one: one.ts)
    rows = _rows(judged, anomalies)
    figure = Figure(figsize=(13, 2.5 + 0.2 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    _bars(axes, judged, anomalies, rows)
    _dots(axes, judged, anomalies, rows)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axes.set_xlabel("seconds since the first anomaly")
    axes.margins(y=0.01)
    scores = judged.scores
    axes.set_title(
        f"{judged.run.name}: F1 {scores.f1:.3f}, adjusted Rand {scores.ari:.3f}, "
        f"{scores.incidents} incidents of {scores.anomalies} anomalies"
    )
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    path = folder / f"{judged.run.name.replace(', ', '-').replace(' ', '_')}.png"
    figure.savefig(path, dpi=110)


def _rows(judged: JudgedRun, anomalies: list[EnrichedAnomaly]) -> dict[str, int]:
    """Device -> row. Devices of one fault are together, the failed one on top."""
    order = {fault: n for n, fault in enumerate(judged.run.roots)}
    roots = set(judged.run.roots.values())
    first: dict[str, tuple[int, bool, datetime]] = {}
    for one in sorted(anomalies, key=lambda a: judged.run.fault_of[a.anomaly_id] is None):
        fault = order.get(judged.run.fault_of[one.anomaly_id] or "", len(order))
        first.setdefault(one.device, (fault, one.device not in roots, one.ts))
    devices = sorted(first, key=lambda device: first[device], reverse=True)
    return {device: n for n, device in enumerate(devices)}


def _bars(
    axes: Axes, judged: JudgedRun, anomalies: list[EnrichedAnomaly], rows: dict[str, int]
) -> None:
    """A bar from the first to the last anomaly of a fault on each device that has some, hatched on
    the device that failed."""
    for n, (fault, root) in enumerate(judged.run.roots.items()):
        mine = [one for one in anomalies if judged.run.fault_of[one.anomaly_id] == fault]
        for device in {one.device for one in mine}:
            start, end = (_seconds(anomalies, one) for one in (mine[0], mine[-1]))
            axes.barh(
                rows[device],
                end - start,
                left=start,
                height=0.9,
                color=("0.85", "0.93")[n % 2],
                hatch="//" if device == root else None,
                edgecolor="0.7",
                linewidth=0.3,
                zorder=0,
            )


def _dots(
    axes: Axes, judged: JudgedRun, anomalies: list[EnrichedAnomaly], rows: dict[str, int]
) -> None:
    groups: dict[str | None, list[EnrichedAnomaly]] = {}
    for one in anomalies:
        groups.setdefault(judged.outcome.place.get(one.anomaly_id), []).append(one)
    for n, (incident, mine) in enumerate(sorted(groups.items(), key=lambda it: -len(it[1]))):
        title = judged.outcome.incidents[incident].title if incident else "suppressed by a rule"
        axes.scatter(
            [_seconds(anomalies, one) for one in mine],
            [rows[one.device] for one in mine],
            s=14,
            color=[COLOURS[n % len(COLOURS)]],
            label=f"{len(mine)}: {title[:TITLE]}",
            zorder=2,
        )


def _seconds(anomalies: list[EnrichedAnomaly], one: EnrichedAnomaly) -> float:
    return (one.ts - anomalies[0].ts).total_seconds()
