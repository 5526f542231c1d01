"""Speeds of single paths, measured by the services themselves: the core does not know them.

A distribution announces a function in the entry-point group ``aiops.bench``; it is given the folder of
the policies and returns ``Speed`` rows, each with a limit that was taken in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "aiops.bench"


@dataclass(frozen=True)
class Speed:
    """*measured* per second, and the *limit* that *limited_by* alone reaches on this machine now."""

    label: str
    measured: float
    limit: float
    limited_by: str

    @property
    def ratio(self) -> float:
        return self.measured / self.limit


Measure = Callable[[Path], Sequence[Speed]]


def speeds(policies: Path) -> list[Speed]:
    """Every speed that an installed distribution measures, one distribution after the other."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    measures: list[Measure] = [point.load() for point in points]
    return [speed for measure in measures for speed in measure(policies)]
